# SPDX-License-Identifier: Apache-2.0
"""Corners followed over a stretch of driving: how far they move tells inverse depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.transforms import is_pose

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
EDGE = 0.1
"""Spread of the disparity around a corner, as a part of the picture's, from which it lies at an edge."""
NEARBY = 2
"""Pixels of the disparity around a corner."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a stretch of driving left."""

    disparity: np.ndarray
    """(n,) at the corners, in the first frame."""
    before: np.ndarray
    """(n, 2) float64: the corners in the first frame, x / z and y / z."""
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
                (self._start - centre) / focal,
                (self._now - centre) / focal,
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
        corners = cv2.goodFeaturesToTrack(grey, CORNERS, 0.01, APART)
        corners = np.empty((0, 2), np.float32) if corners is None else corners[:, 0]
        height, width = disparity.shape
        column = np.rint((corners[:, 0] + 0.5) * width / grey.shape[1] - 0.5).astype(np.int64)
        row = np.rint((corners[:, 1] + 0.5) * height / grey.shape[0] - 0.5).astype(np.int64)
        around = np.stack(
            [
                disparity[np.clip(row + y, 0, height - 1), np.clip(column + x, 0, width - 1)]
                for y in (-NEARBY, 0, NEARBY)
                for x in (-NEARBY, 0, NEARBY)
            ]
        )
        with np.errstate(invalid="ignore"):
            good = np.ptp(around, axis=0) < EDGE * spread  # NaN is at an edge
        self._start = self._now = np.ascontiguousarray(corners[good])
        self._disparity = around[4, good].astype(np.float64)
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
        self._disparity = self._disparity[good]
        return len(self._start)
