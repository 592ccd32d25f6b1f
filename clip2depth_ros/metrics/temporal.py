# SPDX-License-Identifier: Apache-2.0
"""Temporal consistency of depth: TAE where the poses are known, OPW and rTC by optical flow.

All three compare two frames in meters, without alignment or scaling. Pixels without depth (NaN, infinite, not
positive) of either frame are left out.

TAE   temporal alignment error, as the Video Depth Anything benchmark defines it: every point of one frame is
      moved into the other by the true poses and projected to the nearest pixel; mean |moved - depth| / depth
      over the pixels that were hit; mean of both directions. Lower is better. Two differences from that
      benchmark: where several points hit one pixel the nearest is kept, because it occludes the others (the
      benchmark keeps the last one written), and a pair that shares no pixel is left out (the benchmark counts
      it as an error of 0).
OPW   optical-flow based warping error: mean |depth looked up along the flow - depth|, meters, over the pixels
      with reliable flow (see match). Lower is better.
rTC   relative temporal consistency: share of the same pixels whose two depths differ by a factor below
      RTC_RATIO. Higher is better.

OPW and rTC do not use poses, so the camera's own motion counts as an error. It is the same for every method
on the same frames, so they can compare methods, but perfect depth does not reach zero.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.metrics.two_way_flow import TwoWayFlow, look_up, places_of

NEAREST = 1e-3
"""Meters: a point that is closer to the camera after the motion, or behind it, is not visible."""
COLOR_WEIGHT, LEAST_WEIGHT = 50.0, 1e-2
"""A pixel counts for OPW and rTC when exp(-COLOUR_WEIGHT * d) exceeds LEAST_WEIGHT, d being the Euclidean
distance of the two colors, each channel 0..1: that is d < 0.092."""
FLOW_LIMIT = 250.0
"""Pixels: longer flow is not reliable."""
RTC_RATIO = 1.01
"""Largest ratio of two depths that are consistent for rTC."""


def tae(
    depth_a: np.ndarray,
    depth_b: np.ndarray,
    camera: Camera,
    pose_a: np.ndarray,
    pose_b: np.ndarray,
) -> float:
    """Temporal alignment error of two frames, 0.01 = 1 %; NaN when they share no pixel.

    depth_a, depth_b: (H, W) float, meters, of one rectified camera of that size.
    pose_a, pose_b: (4, 4), optical frame to world, meters.
    """
    _check(depth_a, depth_b)
    if camera.size != depth_a.shape[::-1]:
        raise Clip2DepthError(
            f"TAE: depth is {depth_a.shape[1]}x{depth_a.shape[0]}, its camera {camera.width}x{camera.height}."
        )
    motion = np.linalg.inv(pose_b) @ pose_a
    there = _aligned_error(depth_a, depth_b, camera, motion)
    back = _aligned_error(depth_b, depth_a, camera, np.linalg.inv(motion))
    return (there + back) / 2


def reproject(depth: np.ndarray, camera: Camera, motion: np.ndarray) -> np.ndarray:
    """A depth image after a motion of the camera: (H, W) float64 meters, NaN where no point is projected.

    depth: (H, W) float, meters. motion: (4, 4), points of its optical frame into the new one, meters. Points
    are projected to the nearest pixel, the nearest point is kept; holes are not filled.
    """
    height, width = depth.shape
    x, y = (axis.astype(np.float64) for axis in camera.axes())
    known = _known(depth)
    z = depth[known].astype(np.float64)
    # Each pixel's ray, rotated, times its depth, translated.
    moved = [(row[0] * x[None] + (row[1] * y[:, None] + row[2]))[known] * z + row[3] for row in motion[:3]]
    front = moved[2] > NEAREST
    moved = [axis[front] for axis in moved]
    # Compared as floats, because far outside the image the coordinate could overflow an integer.
    u = np.rint(moved[0] / moved[2] * camera.fx + camera.cx)
    v = np.rint(moved[1] / moved[2] * camera.fy + camera.cy)
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
    pixel = (v[inside] * width + u[inside]).astype(np.intp)
    seen = np.full(height * width, np.inf)
    np.minimum.at(seen, pixel, moved[2][inside])
    seen[np.isinf(seen)] = np.nan
    return seen.reshape(height, width)


def _aligned_error(depth: np.ndarray, other: np.ndarray, camera: Camera, motion: np.ndarray) -> float:
    moved = reproject(depth, camera, motion)
    both = np.isfinite(moved) & _known(other)
    if not both.any():
        return math.nan
    truth = other[both].astype(np.float64)
    return float(np.mean(np.abs(moved[both] - truth) / truth))


@dataclass(frozen=True)
class Match:
    """Positions of frame a's pixels in frame b. It depends on the images only,
    so all methods can share it."""

    place: np.ndarray
    """(H, W, 2) float32: x, y in b of every pixel of a."""
    trusted: np.ndarray
    """(H, W) bool: inside b, the forward-backward check of the flow holds, and the colors match."""


class Matcher:
    """Computes Match objects by dense inverse search flow (OpenCV's DIS, preset medium)."""

    def __init__(self) -> None:
        self._flow = TwoWayFlow()

    def match(self, image_a: np.ndarray, image_b: np.ndarray) -> Match:
        """image_a, image_b: (H, W, 3) uint8 RGB of one size, at least 16x16, at depth's resolution."""
        if image_a.shape != image_b.shape or min(image_a.shape[:2]) < 16:
            raise Clip2DepthError(
                "OPW and rTC need two images of one size, at least 16x16 pixels, not "
                f"{image_a.shape[1]}x{image_a.shape[0]} and {image_b.shape[1]}x{image_b.shape[0]}."
            )
        flow, returns = self._flow.between(image_a, image_b)
        place = places_of(flow)
        color = np.linalg.norm(image_a - look_up(image_b.astype(np.float32), place), axis=-1) / 255
        trusted = (
            returns
            & (np.linalg.norm(flow, axis=-1) < FLOW_LIMIT)
            & (np.exp(-COLOR_WEIGHT * color) > LEAST_WEIGHT)
        )
        return Match(place, trusted)


def opw(depth_a: np.ndarray, depth_b: np.ndarray, match: Match) -> float:
    """Optical-flow based warping error of two frames, meters; NaN when no pixel can be compared.

    depth_a, depth_b: (H, W) float, meters.
    """
    a, b = _matched(depth_a, depth_b, match)
    return float(np.mean(np.abs(a - b))) if a.size else math.nan


def rtc(depth_a: np.ndarray, depth_b: np.ndarray, match: Match, ratio: float = RTC_RATIO) -> float:
    """Relative temporal consistency of two frames, 0..1; NaN when no pixel can be compared.

    depth_a, depth_b: (H, W) float, meters. ratio: factor below which two depths agree, above 1.
    """
    if not ratio > 1:
        raise Clip2DepthError(f"rTC compares with a factor above 1, not {ratio:g}.")
    a, b = _matched(depth_a, depth_b, match)
    return float(np.mean(np.maximum(a / b, b / a) < ratio)) if a.size else math.nan


def _matched(depth_a: np.ndarray, depth_b: np.ndarray, match: Match) -> tuple[np.ndarray, np.ndarray]:
    """Depths (N,) float64 of the same surface in both frames."""
    _check(depth_a, depth_b)
    if match.trusted.shape != depth_a.shape:
        raise Clip2DepthError(
            f"OPW and rTC: depth is {depth_a.shape[1]}x{depth_a.shape[0]}, the images were "
            f"{match.trusted.shape[1]}x{match.trusted.shape[0]}."
        )
    known = _known(depth_b)
    found = look_up(np.where(known, depth_b, 0).astype(np.float32), match.place)
    # An interpolated value with a contribution of an unknown pixel is unknown.
    whole = look_up(known.astype(np.float32), match.place) > 0.999
    both = match.trusted & _known(depth_a) & whole
    return depth_a[both].astype(np.float64), found[both].astype(np.float64)


def _known(depth: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.isfinite(depth) & (depth > 0)


def _check(depth_a: np.ndarray, depth_b: np.ndarray) -> None:
    if depth_a.ndim != 2 or depth_a.shape != depth_b.shape:
        raise Clip2DepthError(
            f"Two depth images of one size are needed, not {depth_a.shape} and {depth_b.shape}."
        )


def pairs(count: int, stride: int) -> list[tuple[int, int]]:
    """The consecutive pairs of a sequence of `count` frames: (0, stride), (stride, 2 stride), ..."""
    if stride < 1:
        raise Clip2DepthError(f"The stride between two frames is at least 1, not {stride}.")
    return [(first, first + stride) for first in range(0, count - stride, stride)]


def sequence_tae(
    depths: Sequence[np.ndarray], camera: Camera, poses: Sequence[np.ndarray], stride: int = 1
) -> float:
    """Mean TAE over the pairs of a sequence; NaN when there are none."""
    return _mean(
        [tae(depths[a], depths[b], camera, poses[a], poses[b]) for a, b in pairs(len(depths), stride)]
    )


def _mean(values: Sequence[float]) -> float:
    found = [value for value in values if not math.isnan(value)]
    return float(np.mean(found)) if found else math.nan


class TemporalErrors:
    """Accumulates TAE, OPW and rTC of a sequence, frame by frame.

    strides: distances between the frames that TAE compares; OPW and rTC compare consecutive frames.
    flow: False leaves OPW and rTC out, which take most of the time.
    """

    def __init__(self, strides: Sequence[int] = (1, 8), *, flow: bool = True) -> None:
        if not strides or min(strides) < 1:
            raise Clip2DepthError(f"The stride between two frames is at least 1, not {strides}.")
        self.strides = tuple(strides)
        self._matcher = Matcher() if flow else None
        self._found: dict[str, list[float]] = {_tae_name(stride): [] for stride in self.strides}
        self._found |= {"opw": [], "rtc": []} if flow else {}
        self._past: deque[tuple] = deque(maxlen=max(self.strides))
        self._count = 0

    def add(
        self,
        depth: np.ndarray,
        image: np.ndarray | None = None,
        camera: Camera | None = None,
        pose: np.ndarray | None = None,
        *,
        match: Match | None = None,
    ) -> None:
        """Compare a frame with the previous ones, then keep copies of its arrays.

        depth: (H, W) float, meters. image: (H, W, 3) uint8 RGB of that size, None: no OPW and rTC. camera,
        pose: as in tae; None: no TAE with this frame. match: of the previous frame and this one, if it is
        already computed. A frame of another size starts a new sequence.
        """
        if self._past and self._past[-1][0].shape != depth.shape:
            self.cut()
        for stride in self.strides:
            if self._count >= stride and self._count % stride == 0:
                before, _, its_camera, its_pose = self._past[-stride]
                if pose is not None and its_pose is not None and camera is not None and its_camera == camera:
                    error = tae(before, depth, camera, its_pose, pose)
                    self._found[_tae_name(stride)].append(error)
        if self._matcher is not None and self._past:
            before, its_image = self._past[-1][:2]
            if match is None and image is not None and its_image is not None:
                match = self._matcher.match(its_image, image)
            if match is not None:
                self._found["opw"].append(opw(before, depth, match))
                self._found["rtc"].append(rtc(before, depth, match))
        kept = image.copy() if image is not None and self._matcher is not None else None
        self._past.append((depth.copy(), kept, camera, pose))
        self._count += 1

    def cut(self) -> None:
        """Start a new sequence with the next frame."""
        self._past.clear()
        self._count = 0

    def mean(self) -> dict[str, float]:
        """Mean over the pairs: tae and tae_8 (of stride 8) as fractions, opw in meters, rtc 0..1.

        NaN where no pair could be compared.
        """
        return {name: _mean(values) for name, values in self._found.items()}


def _tae_name(stride: int) -> str:
    return "tae" if stride == 1 else f"tae_{stride}"
