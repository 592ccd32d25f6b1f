# SPDX-License-Identifier: Apache-2.0
"""The stabilizer: flow, ego-motion, prediction and filter in order, and when to start again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import is_pose
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.origins import MotionSource, ResetReason
from clip2depth_ros.settings import StabilizerSettings
from clip2depth_ros.stabilizer.depth_filter import DepthFilter
from clip2depth_ros.stabilizer.ego_motion import EgoMotion, find_ego_motion, typical_miss
from clip2depth_ros.stabilizer.flow import Flow
from clip2depth_ros.stabilizer.landmarks import landmarks
from clip2depth_ros.stabilizer.prediction import Prediction

NAN = float("nan")
UNGUIDED = 0.01
"""Relative standard deviation of a frame's predicted depth when the camera's motion is unknown."""
UNCONFIRMED = 0.007
"""The same when the motion is known from odometry only. With 0, a drive past plain walls kept a wrong scale,
4 % in its error; with 0.01 another drive lost 2 %."""
MAX_MISS, MAX_MISS_PART = 3.0, 4.0
"""An external motion is rejected when its residual at the corners exceeds MAX_MISS pixels, and MAX_MISS_PART
times that of visual odometry."""
SURE_MOTION = 0.02
"""Relative standard deviation of an external motion up to which it is preferred to visual odometry. Visual
odometry is in the unit of this depth: with odometry's meters instead, `mini`'s error on two drives was 2 %
and 4 % larger."""
UNGUIDED_PART = 0.5
"""Relative standard deviation of the image's growth, from which the advance is estimated without a motion."""


@dataclass(slots=True)
class Stable:
    """One frame's stabilized depth. The arrays belong to the stabilizer and are
    valid until its next update."""

    depth: np.ndarray
    """(h, w) float32, meters, NaN = unknown."""
    deviation: np.ndarray
    """(h, w) float32: relative standard deviation of depth, NaN = unknown. It covers variation over time, not
    the systematic error of a network."""
    motion: np.ndarray | None
    """(4, 4) float64, points of the previous optical frame into this one, in the unit of the depth: the
    motion of the prediction; None when no motion was reliable."""
    visual_odometry: np.ndarray | None
    """The same from visual odometry alone; None when it is not reliable."""
    visual_odometry_std_dev: float
    """Relative standard deviation of the length of its translation; NaN without visual odometry."""
    source: MotionSource
    """Source of `motion`."""
    scale_jitter: float
    """The frame's scale over the predicted one; NaN without a past."""
    temporal_error: float
    """Median |log stable depth - log predicted depth|; NaN without a past."""
    corners: tuple[np.ndarray, np.ndarray] | None
    """Input of visual odometry, None without it: (n, 3) float64 points of the previous optical frame, in the
    unit of the depth, and (n, 2) float64, x / z and y / z of their positions in this one."""
    reset: ResetReason
    """Why the past was dropped before this frame; NONE when it was not."""


class Stabilizer:
    """Stabilizes the depth of one stream of frames, from past frames only. Not thread-safe.

    `settings` may be replaced at any time; they take effect with the next frame.
    """

    def __init__(self, settings: StabilizerSettings = StabilizerSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self._camera: Camera | None = None
        self._key: tuple | None = None
        self._stamp: int | None = None
        self._asked = False

    def reset(self) -> None:
        """Drop the past before the next frame."""
        self._asked = True

    def update(
        self,
        depth: np.ndarray,
        image: np.ndarray,
        camera: Camera | None,
        stamp: int,
        *,
        motion: np.ndarray | None = None,
        motion_deviation: float = 0.0,
    ) -> Stable:
        """The stabilized depth of the next frame.

        depth: (h, w) float32, meters; NaN, infinite or not positive = unknown, and unknown in the result.
        image: (h, w, 3) uint8 RGB, the same pixels. camera: of both, rectified, or None for unknown: then
        there is no motion estimate. stamp: nanoseconds.
        motion: (4, 4), external: points of the previous update's optical frame into this one, in the unit of
        the depth; it replaces visual odometry. It is rejected when it is not a rigid motion, or when a
        reliable visual odometry contradicts it.
        motion_deviation: relative standard deviation of its translation; above SURE_MOTION, a reliable visual
        odometry is preferred.
        Raises Clip2DepthError when the sizes differ or the camera is not rectified.
        """
        _check(depth, image, camera)
        why = self._find_reason(depth.shape, camera, stamp)
        seconds = 0.0 if why else (stamp - self._stamp) * 1e-9  # pyright: ignore[reportOperatorIssue]
        self._stamp, self._camera, self._asked = stamp, camera, False
        key = (depth.shape, self.settings.flow_pixels)
        if key != self._key:
            self._make(*key)
            self._key = key
        self._flow.look(image)
        if not why:
            self._flow.step()
            why = ResetReason.CUT if self._flow.is_cut() else ResetReason.NONE
        with np.errstate(all="ignore"):
            if why:
                self._filter.start(depth, self.settings)
                return self._stable(None, None, None, MotionSource.NONE, why)
            visual_odometry, corners, motion = self._find_motions(camera, motion)
            if motion is not None and (visual_odometry is None or motion_deviation <= SURE_MOTION):
                used, source = motion, MotionSource.ODOMETRY
                advance_std_dev = UNCONFIRMED if visual_odometry is None else 0.0
            elif visual_odometry is not None:
                used, source, advance_std_dev = (
                    visual_odometry.motion,
                    MotionSource.VISUAL_ODOMETRY,
                    visual_odometry.advance_std_dev,
                )
            else:
                used, source = None, MotionSource.NONE
                advance_std_dev = UNGUIDED + UNGUIDED_PART * abs(self._flow.growth() - 1)
            kept = self._filter.kept_depth, self._filter.kept_variance
            self._prediction.carry(*kept, depth, camera, used)
            self._filter.update(self._prediction, depth, self._flow, seconds, advance_std_dev, self.settings)
        return self._stable(used, visual_odometry, corners, source, ResetReason.NONE)

    def _find_reason(self, shape: tuple, camera: Camera | None, stamp: int) -> ResetReason:
        """Why this frame has no past; NONE when it has one."""
        if self._stamp is None:
            return ResetReason.FIRST_FRAME
        if self._asked:
            return ResetReason.REQUESTED
        if self._key[0] != shape:
            return ResetReason.SIZE
        if camera != self._camera:
            return ResetReason.CAMERA
        if stamp < self._stamp:
            return ResetReason.TIME_BACKWARDS
        if stamp - self._stamp > self.settings.max_gap * 1e9:
            return ResetReason.GAP
        return ResetReason.NONE if self._key[1] == self.settings.flow_pixels else ResetReason.FLOW_PIXELS

    def _make(self, shape: tuple[int, int], flow_pixels: int) -> None:
        height, width = shape
        self._flow = Flow(width, height, flow_pixels)
        self._prediction = Prediction(width, height, self._flow)
        self._filter = DepthFilter(width, height)

    def _find_motions(
        self, camera: Camera | None, motion: np.ndarray | None
    ) -> tuple[EgoMotion | None, tuple[np.ndarray, np.ndarray] | None, np.ndarray | None]:
        """Visual odometry, its corners, and the external motion unless it is rejected."""
        if camera is None:
            return None, None, None
        before, now = self._flow.corners()
        small = self._prediction.reduced(camera)
        points, seen = landmarks(before, now, small, self._filter.kept_depth, self._filter.kept_variance)
        visual_odometry = find_ego_motion(points, seen, small.fx)
        corners = None if visual_odometry is None else (points, seen)
        if motion is None or not is_pose(motion):
            return visual_odometry, corners, None
        motion = np.asarray(motion, np.float64)
        if visual_odometry is not None:
            miss = typical_miss(points, seen, small.fx, motion)
            if miss > max(MAX_MISS, MAX_MISS_PART * visual_odometry.spread):
                return visual_odometry, corners, None
        return visual_odometry, corners, motion

    def _stable(
        self,
        used: np.ndarray | None,
        visual_odometry: EgoMotion | None,
        corners: tuple[np.ndarray, np.ndarray] | None,
        source: MotionSource,
        why: ResetReason,
    ) -> Stable:
        result = self._filter
        return Stable(
            depth=result.depth,
            deviation=result.deviation,
            motion=used,
            visual_odometry=visual_odometry.motion if visual_odometry else None,
            visual_odometry_std_dev=visual_odometry.deviation if visual_odometry else NAN,
            source=source,
            scale_jitter=result.scale_jitter,
            temporal_error=result.temporal_error,
            corners=corners,
            reset=why,
        )


def _check(depth: np.ndarray, image: np.ndarray, camera: Camera | None) -> None:
    fits = image.shape == (*depth.shape, 3) and image.dtype == np.uint8
    if depth.ndim != 2 or depth.dtype != np.float32 or not fits:
        raise Clip2DepthError(
            f"Stabilizer: depth must be (h, w) float32 and its image (h, w, 3) uint8, they are "
            f"{depth.dtype} {depth.shape} and {image.dtype} {image.shape}."
        )
    if camera is None:
        return
    if camera.size != depth.shape[::-1]:
        raise Clip2DepthError(
            f"Stabilizer: depth is {depth.shape[1]}x{depth.shape[0]}, its camera "
            f"{camera.width}x{camera.height}; scale the camera with the depth."
        )
    if not camera.is_rectified:
        raise Clip2DepthError("Stabilizer: the camera has lens distortion; rectify the image first.")
