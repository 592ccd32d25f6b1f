# SPDX-License-Identifier: Apache-2.0
"""Corners tracked over a driven stretch: their motion in the image is proportional to inverse depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import is_pose

WIDTH = 320
"""Largest width of the reduced image, pixels."""
CORNERS, APART = 250, 5
"""Most corners, and least distance between them in pixels."""
MIN_CORNERS = 25
WINDOW = (11, 11)
BACK = 0.5
"""Largest forward-backward error of a tracked corner, pixels."""
LENGTH, LEAST = 0.25, 0.08
"""Length of a stretch in meters, and its least length when many corners are lost."""
MAX_TURN = 0.5
"""Radians of turning in a stretch."""
MAX_SECONDS = 6.0
MAX_STEP = 5.0
"""Meters between two frames; no robot with a camera drives faster."""
EDGE = 0.02
"""Deviation of the disparity around a corner from a plane, as a fraction of the image's spread, above which
the corner is at an edge."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The tracks of one driven stretch."""

    disparity: np.ndarray
    """(n,) at the tracked points, in the first frame."""
    before: np.ndarray
    """(n, 2) float64: the tracked points in the first frame, x / z and y / z."""
    now: np.ndarray
    """(n, 2) float64: the same points in the last frame."""
    motion: np.ndarray
    """(4, 4): points of the first optical frame into the last one, meters."""
    focal: float
    """Of the image in which they were tracked, pixels."""


class Parallax:
    """Tracks corners from the first image of a stretch directly into each later one,
    so that drift does not accumulate."""

    def __init__(self) -> None:
        self.problem = ""
        self.reset()

    def reset(self) -> None:
        """Forget the stretch."""
        self._gray: np.ndarray | None = None
        self._pose = self._last = np.eye(4)

    def update(
        self,
        image: np.ndarray,
        disparity: np.ndarray,
        camera: Camera,
        time: float,
        pose: np.ndarray | None,
        spread: float,
    ) -> Stretch | None:
        """The stretch that ends with this frame, None where none ends.

        image: (h, w, 3) uint8 RGB. disparity: (h, w), NaN = unknown. camera: of both, rectified. time:
        seconds. pose: (4, 4), optical frame to odometry's fixed frame, meters, or None. spread: of the
        image's disparity. `problem` says why a pose was not used, "" otherwise.
        """
        self.problem = ""
        if pose is None or not is_pose(pose):
            if pose is not None:
                self.problem = (
                    "Odometry is not a pose: a (4, 4) matrix of a rotation and a position, all finite."
                )
            self.reset()
            return None
        scale = min(1.0, WIDTH / camera.width)
        size = (max(32, round(camera.width * scale)), max(32, round(camera.height * scale)))
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if size != (camera.width, camera.height):
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        if self._gray is not None and (
            self._gray.shape != gray.shape or not 0 <= time - self._time <= MAX_SECONDS
        ):
            self.reset()
        if self._gray is None:
            self._begin(gray, disparity, camera, time, pose, spread)
            return None
        step = float(np.linalg.norm(pose[:3, 3] - self._last[:3, 3]))
        self._last = pose
        if step > MAX_STEP:
            self.problem = f"Odometry jumps by {step:.2f} m in one frame; the stretch is rejected."
            self._begin(gray, disparity, camera, time, pose, spread)
            return None
        left = self._follow(gray)
        motion = np.linalg.inv(pose) @ self._pose
        driven = float(np.linalg.norm(motion[:3, 3]))
        turned = math.acos(min(1.0, max(-1.0, (np.trace(motion[:3, :3]) - 1) / 2)))
        few = left < max(MIN_CORNERS, 0.5 * self._count)
        stretch = None
        if left >= MIN_CORNERS and turned <= MAX_TURN and (driven >= LENGTH or (few and driven >= LEAST)):
            small = camera.scaled(*size)
            focal, center = np.array([small.fx, small.fy]), np.array([small.cx, small.cy])
            stretch = Stretch(
                self._disparity,
                (self._start + self._middle - center) / focal,
                (self._now + self._middle - center) / focal,
                motion,
                small.fx,
            )
        if stretch is not None or few or turned > MAX_TURN:
            self._begin(gray, disparity, camera, time, pose, spread)
        return stretch

    def _begin(
        self,
        gray: np.ndarray,
        disparity: np.ndarray,
        camera: Camera,
        time: float,
        pose: np.ndarray,
        spread: float,
    ) -> None:
        self._gray, self._time, self._pose, self._last = gray, time, pose, pose
        there = cv2.resize(disparity, gray.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(np.float64)
        flat, level, slopes = _surfaces(there, EDGE * spread)
        corners = cv2.goodFeaturesToTrack(gray, CORNERS, 0.01, APART, mask=flat)
        corners = np.empty((0, 2), np.float32) if corners is None else corners[:, 0]
        self._start = self._now = corners
        self._middle = _middles(gray, corners)
        column, row = corners.astype(np.int64).T
        self._disparity = level[row, column] + np.sum(self._middle * slopes[row, column], axis=1)
        self._count = len(self._start)

    def _follow(self, gray: np.ndarray) -> int:
        """Track the corners into this image; returns how many are left."""
        if not len(self._start):
            return 0
        settings = {
            "winSize": WINDOW,
            "maxLevel": 1,
            "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01),
            "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
        }
        now, found, _ = cv2.calcOpticalFlowPyrLK(self._gray, gray, self._start, self._now.copy(), **settings)  # pyright: ignore[reportCallIssue]
        back, again, _ = cv2.calcOpticalFlowPyrLK(gray, self._gray, now, self._start.copy(), **settings)  # pyright: ignore[reportCallIssue]
        good = (found[:, 0] > 0) & (again[:, 0] > 0) & (np.abs(back - self._start).max(axis=1) < BACK)
        good &= (now >= 0).all(axis=1) & (now < np.array(gray.shape[::-1])).all(axis=1)
        self._start, self._now = self._start[good], now[good]
        self._disparity, self._middle = self._disparity[good], self._middle[good]
        return len(self._start)


def _surfaces(disparity: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask of the pixels whose window is on one surface, (h, w) uint8, 255 for yes; the disparity in the
    window's middle, (h, w), and its gradient, (h, w, 2), x and y, per pixel.

    The whole window is tracked. At an edge its motion is a mixture of the near and the far side. A plane's
    disparity is linear over the image, however slanted the plane: `most` is the largest root mean square
    deviation from a linear disparity.
    """
    known = np.isfinite(disparity)
    if not known.any():
        return np.zeros(known.shape, np.uint8), disparity, np.zeros((*known.shape, 2))
    middle = disparity[known].mean()
    values = np.where(known, disparity - middle, 0.0)
    means = [np.full(n, 1 / n) for n in WINDOW]
    level = cv2.sepFilter2D(values, -1, *means)  # pyright: ignore[reportCallIssue]
    rest = cv2.sepFilter2D(values**2, -1, *means) - level**2  # pyright: ignore[reportCallIssue]
    slopes = []
    for axis, size in enumerate(WINDOW):
        places = np.arange(size) - size // 2
        square = np.mean(places**2)
        kernels = [*means]
        kernels[axis] = places / (size * square)
        slopes.append(cv2.sepFilter2D(values, -1, *kernels))  # pyright: ignore[reportCallIssue]
        rest -= square * slopes[-1] ** 2
    inside = cv2.erode(known.astype(np.uint8), np.ones(WINDOW[::-1], np.uint8))
    flat = np.where((inside > 0) & (rest < most**2), 255, 0).astype(np.uint8)
    return flat, level + middle, np.stack(slopes, axis=2)


def _middles(gray: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(n, 2) offset in pixels from each corner, (n, 2) x and y, to the tracked point of its window.

    The window grows while the camera approaches, so its parts move differently. The tracker finds the motion
    of the point around which the gradients are balanced. On a floor, whose texture is finer in the distance,
    this point is not the corner.
    """
    x, y = np.meshgrid(*(np.arange(size) - size // 2 for size in WINDOW))
    places = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    row = np.clip(corners[:, 1:].astype(np.int64) + y.ravel(), 0, gray.shape[0] - 1)
    column = np.clip(corners[:, :1].astype(np.int64) + x.ravel(), 0, gray.shape[1] - 1)
    gradients = np.stack(
        [cv2.Scharr(gray, cv2.CV_64F, *order)[row, column] for order in ((1, 0), (0, 1))], axis=2
    )
    # The identity is negligible, and keeps the matrix regular.
    weights = gradients.transpose(0, 2, 1) @ gradients + np.eye(2)
    along = np.sum(gradients * places, axis=2)
    return np.linalg.solve(weights, np.einsum("npi,np->ni", gradients, along)[..., None])[..., 0]
