# SPDX-License-Identifier: Apache-2.0
"""Depth that holds still: flow, ego-motion, prediction and filter in order, and when to start afresh."""

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
"""Relative standard deviation of a frame's expected depth when nobody knows how the camera moved."""
UNCONFIRMED = 0.007
"""And when odometry alone does. Without any a drive past plain walls kept a wrong scale, 4 % in its error;
with 0.01 another drive lost 2 %."""
FAR_OFF, FAR_OFF_PART = 3.0, 4.0
"""A motion from outside is not believed when it misses the corners by this many pixels, and by this many
times as much as a trusted motion of vision's own."""
SURE_MOTION = 0.02
"""Relative deviation of a motion from outside up to which it is better than vision's own. Vision's is in the
metres of this very depth: with odometry's metres instead, `mini`'s error on two drives was 2 % and 4 %
larger."""
UNGUIDED_PART = 0.5
"""And the part of the picture's growth, which is then all that tells of an approach, that may be wrong."""


@dataclass(slots=True)
class Stable:
    """One frame's stable depth. The arrays belong to the stabilizer and hold until its next update."""

    depth: np.ndarray
    """(h, w) float32, metres, NaN = unknown."""
    deviation: np.ndarray
    """(h, w) float32: relative standard deviation of depth, NaN = unknown. It tells what flickers, not what
    a network always gets wrong."""
    motion: np.ndarray | None
    """(4, 4) float64, points of the previous optical frame into this one, in the depth's metres: what the
    past was carried by; None when no motion was trusted."""
    vision: np.ndarray | None
    """The same as vision alone tells it; None when it is not trustworthy."""
    vision_deviation: float
    """Relative standard deviation of the length of vision's translation; NaN without one."""
    source: MotionSource
    """Where `motion` comes from."""
    flicker: float
    """The frame's scale over the expected one; NaN without a past."""
    temporal_error: float
    """Median |log stable depth - log expected depth|; NaN without a past."""
    corners: tuple[np.ndarray, np.ndarray] | None
    """What vision rests on, None without it: (n, 3) float64 points of the previous optical frame, in the
    depth's metres, and (n, 2) float64, x / z and y / z of where they are seen in this one."""
    reset: ResetReason
    """Why the past was forgotten before this frame; NONE when it was not."""


class Stabilizer:
    """Steadies the depth of one stream of frames, one thread, past frames only.

    `settings` may be replaced at any time; they hold from the next frame on.
    """

    def __init__(self, settings: StabilizerSettings = StabilizerSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self._camera: Camera | None = None
        self._key: tuple | None = None
        self._stamp: int | None = None
        self._asked = False

    def reset(self) -> None:
        """Forget the past before the next frame."""
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
        """The stable depth of the next frame.

        depth: (h, w) float32, metres; NaN, infinite or not positive = unknown, and unknown in the result.
        image: (h, w, 3) uint8 RGB, the same pixels. camera: theirs, rectified, or None when nobody knows it:
        then nothing is known of its motion. stamp: nanoseconds.
        motion: (4, 4), points of the previous update's optical frame into this one, in the depth's metres,
        from outside; it takes the place of what vision tells. It is left out when it is no rigid motion, or
        when a trusted vision sees that it cannot be.
        motion_deviation: relative, of its translation in the depth's metres; where it is above SURE_MOTION, a
        trusted vision is preferred.
        Raises Clip2DepthError when the sizes do not fit each other or the camera is not rectified.
        """
        _check(depth, image, camera)
        why = self._find_reason(depth.shape, camera, stamp)
        seconds = 0.0 if why else (stamp - self._stamp) * 1e-9
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
            vision, corners, motion = self._find_motions(camera, motion)
            if motion is not None and (vision is None or motion_deviation <= SURE_MOTION):
                used, source = motion, MotionSource.ODOMETRY
                unsure = UNCONFIRMED if vision is None else 0.0
            elif vision is not None:
                used, source, unsure = vision.motion, MotionSource.VISUAL_ODOMETRY, vision.unsure
            else:
                used, source = None, MotionSource.NONE
                unsure = UNGUIDED + UNGUIDED_PART * abs(self._flow.growth() - 1)
            kept = self._filter.kept_depth, self._filter.kept_variance
            self._prediction.carry(*kept, depth, camera, used)
            self._filter.update(self._prediction, depth, self._flow, seconds, unsure, self.settings)
        return self._stable(used, vision, corners, source, ResetReason.NONE)

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
        """What vision tells of the camera's motion, by which corners, and the motion from outside if it can
        be believed."""
        if camera is None:
            return None, None, None
        before, now = self._flow.corners()
        small = self._prediction.reduced(camera)
        points, seen = landmarks(before, now, small, self._filter.kept_depth, self._filter.kept_variance)
        vision = find_ego_motion(points, seen, small.fx)
        corners = None if vision is None else (points, seen)
        if motion is None or not is_pose(motion):
            return vision, corners, None
        motion = np.asarray(motion, np.float64)
        if vision is not None:
            miss = typical_miss(points, seen, small.fx, motion)
            if miss > max(FAR_OFF, FAR_OFF_PART * vision.spread):
                return vision, corners, None
        return vision, corners, motion

    def _stable(
        self,
        used: np.ndarray | None,
        vision: EgoMotion | None,
        corners: tuple[np.ndarray, np.ndarray] | None,
        source: MotionSource,
        why: ResetReason,
    ) -> Stable:
        result = self._filter
        return Stable(
            depth=result.depth,
            deviation=result.deviation,
            motion=used,
            vision=vision.motion if vision else None,
            vision_deviation=vision.deviation if vision else NAN,
            source=source,
            flicker=result.flicker,
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
