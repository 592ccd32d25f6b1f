# SPDX-License-Identifier: Apache-2.0
"""Corners followed over a stretch of driving: how far they move tells inverse depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import is_pose

WIDTH = 320
"""Pixels of the reduced image's width, at most."""
CORNERS, APART = 250, 5
"""Corners at most, and pixels between them."""
MIN_CORNERS = 25
WINDOW = (11, 11)
BACK = 0.5
"""Pixels by which a corner may miss its start when it is followed back."""
LENGTH, LEAST = 0.25, 0.08
"""Metres that make a stretch, and that end it early when many corners are lost."""
MAX_TURN = 0.5
"""Radians of turning in a stretch."""
MAX_SECONDS = 6.0
MAX_STEP = 5.0
"""Metres between two frames: nothing that carries a camera drives so."""
EDGE = 0.02
"""Deviation of the disparity around a corner from a plane, as a part of the picture's spread, from which
there is an edge."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a stretch of driving left."""

    disparity: np.ndarray
    """(n,) at the places that were followed, in the first frame."""
    before: np.ndarray
    """(n, 2) float64: these places in the first frame, x / z and y / z."""
    now: np.ndarray
    """(n, 2) float64: the same in the last frame."""
    motion: np.ndarray
    """(4, 4): points of the first optical frame into the last one, metres."""
    focal: float
    """Of the image in which they were followed, pixels."""


class Parallax:
    """Follows corners from the first image of a stretch directly into each later one, so that no drift
    adds up."""

    def __init__(self) -> None:
        self.complaint = ""
        self.reset()

    def reset(self) -> None:
        """Forget the stretch."""
        self._grey: np.ndarray | None = None
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
        """The stretch that ends with this frame, None before the end of one.

        image: (h, w, 3) uint8 RGB. disparity: (h, w), NaN = unknown. camera: of both, rectified. time:
        seconds. pose: (4, 4), optical frame to odometry's fixed frame, metres, or None. spread: of the
        picture's disparity. `complaint` says why a pose was not used, "" otherwise.
        """
        self.complaint = ""
        if pose is None or not is_pose(pose):
            if pose is not None:
                self.complaint = "Odometry is not a pose: a rotation and a place in finite numbers, (4, 4)."
            self.reset()
            return None
        scale = min(1.0, WIDTH / camera.width)
        size = (max(32, round(camera.width * scale)), max(32, round(camera.height * scale)))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if size != (camera.width, camera.height):
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        if self._grey is not None and (
            self._grey.shape != grey.shape or not 0 <= time - self._time <= MAX_SECONDS
        ):
            self.reset()
        if self._grey is None:
            self._begin(grey, disparity, camera, time, pose, spread)
            return None
        step = float(np.linalg.norm(pose[:3, 3] - self._last[:3, 3]))
        self._last = pose
        if step > MAX_STEP:
            self.complaint = f"Odometry jumps by {step:.2f} m in one frame; that is not driven."
            self._begin(grey, disparity, camera, time, pose, spread)
            return None
        left = self._follow(grey)
        motion = np.linalg.inv(pose) @ self._pose
        driven = float(np.linalg.norm(motion[:3, 3]))
        turned = math.acos(min(1.0, max(-1.0, (np.trace(motion[:3, :3]) - 1) / 2)))
        few = left < max(MIN_CORNERS, 0.5 * self._count)
        stretch = None
        if left >= MIN_CORNERS and turned <= MAX_TURN and (driven >= LENGTH or (few and driven >= LEAST)):
            small = camera.scaled(*size)
            focal, centre = np.array([small.fx, small.fy]), np.array([small.cx, small.cy])
            stretch = Stretch(
                self._disparity,
                (self._start + self._middle - centre) / focal,
                (self._now + self._middle - centre) / focal,
                motion,
                small.fx,
            )
        if stretch is not None or few or turned > MAX_TURN:
            self._begin(grey, disparity, camera, time, pose, spread)
        return stretch

    def _begin(
        self,
        grey: np.ndarray,
        disparity: np.ndarray,
        camera: Camera,
        time: float,
        pose: np.ndarray,
        spread: float,
    ) -> None:
        self._grey, self._time, self._pose, self._last = grey, time, pose, pose
        there = cv2.resize(disparity, grey.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(np.float64)
        flat, level, slopes = _surfaces(there, EDGE * spread)
        corners = cv2.goodFeaturesToTrack(grey, CORNERS, 0.01, APART, mask=flat)
        corners = np.empty((0, 2), np.float32) if corners is None else corners[:, 0]
        self._start = self._now = corners
        self._middle = _middles(grey, corners)
        column, row = corners.astype(np.int64).T
        self._disparity = level[row, column] + np.sum(self._middle * slopes[row, column], axis=1)
        self._count = len(self._start)

    def _follow(self, grey: np.ndarray) -> int:
        """Find the corners in this image; how many are left."""
        if not len(self._start):
            return 0
        settings = {
            "winSize": WINDOW,
            "maxLevel": 1,
            "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01),
            "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
        }
        now, found, _ = cv2.calcOpticalFlowPyrLK(self._grey, grey, self._start, self._now.copy(), **settings)
        back, again, _ = cv2.calcOpticalFlowPyrLK(grey, self._grey, now, self._start.copy(), **settings)
        good = (found[:, 0] > 0) & (again[:, 0] > 0) & (np.abs(back - self._start).max(axis=1) < BACK)
        good &= (now >= 0).all(axis=1) & (now < np.array(grey.shape[::-1])).all(axis=1)
        self._start, self._now = self._start[good], now[good]
        self._disparity, self._middle = self._disparity[good], self._middle[good]
        return len(self._start)


def _surfaces(disparity: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where all that the window around a pixel holds is one surface, (h, w) uint8, 255 for yes; its disparity
    in the middle, (h, w), and what that grows by from pixel to pixel, (h, w, 2), x and y.

    What is followed is the whole window. Where it holds an edge, the far side is seen to move like the near
    one, and the near one like the far. A plane's disparity is a plane over the picture, however it is
    slanted: `most` is the deviation from one that may be, root mean square.
    """
    known = np.isfinite(disparity)
    if not known.any():
        return np.zeros(known.shape, np.uint8), disparity, np.zeros((*known.shape, 2))
    middle = disparity[known].mean()
    values = np.where(known, disparity - middle, 0.0)
    means = [np.full(n, 1 / n) for n in WINDOW]
    level = cv2.sepFilter2D(values, -1, *means)
    rest = cv2.sepFilter2D(values**2, -1, *means) - level**2
    slopes = []
    for axis, size in enumerate(WINDOW):
        places = np.arange(size) - size // 2
        square = np.mean(places**2)
        kernels = [*means]
        kernels[axis] = places / (size * square)
        slopes.append(cv2.sepFilter2D(values, -1, *kernels))
        rest -= square * slopes[-1] ** 2
    inside = cv2.erode(known.astype(np.uint8), np.ones(WINDOW[::-1], np.uint8))
    flat = np.where((inside > 0) & (rest < most**2), 255, 0).astype(np.uint8)
    return flat, level + middle, np.stack(slopes, axis=2)


def _middles(grey: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(n, 2) pixels from each corner, (n, 2) x and y, to the place in its window that is followed.

    The window grows as the camera comes nearer, so that its parts move differently; what is found is the
    motion of the place around which the gradients are balanced. On a floor, whose texture is finer where it
    is farther, this is not the corner.
    """
    x, y = np.meshgrid(*(np.arange(size) - size // 2 for size in WINDOW))
    places = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
    row = np.clip(corners[:, 1:].astype(np.int64) + y.ravel(), 0, grey.shape[0] - 1)
    column = np.clip(corners[:, :1].astype(np.int64) + x.ravel(), 0, grey.shape[1] - 1)
    gradients = np.stack(
        [cv2.Scharr(grey, cv2.CV_64F, *order)[row, column] for order in ((1, 0), (0, 1))], axis=2
    )
    # The identity weighs nothing beside them, and what it is added to is never singular.
    weights = gradients.transpose(0, 2, 1) @ gradients + np.eye(2)
    along = np.sum(gradients * places, axis=2)
    return np.linalg.solve(weights, np.einsum("npi,np->ni", gradients, along)[..., None])[..., 0]
