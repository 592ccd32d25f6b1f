# SPDX-License-Identifier: Apache-2.0
"""Which images of a drive are worth keeping: moved far enough, sharp, and neither dark nor blinding."""

from __future__ import annotations

import math
from collections import Counter, deque

import cv2
import numpy as np

WIDTH = 320
"""Pixels across the image in which sharpness and exposure are measured."""
TURN = 0.35
"""Radians: who turns by this much without moving by the spacing turns on the spot, and shows no parallax."""
DARK, BRIGHT = 8, 247
"""Grey levels beyond which a pixel says nothing,"""
LOST_PART = 0.4
"""and the part of such pixels from which an image is under- or overexposed."""
LEAST_CONTRAST = 6.0
"""Standard deviation of the grey levels below which an image shows a plain surface."""
RECENT = 30
"""Candidates whose median sharpness is what this camera's images usually have,"""
BLURRED_PART = 0.35
"""and the part of it below which an image is blurred."""


class KeyframeChooser:
    """Judges the images of one drive in their order: first by the pose alone, then by what they show.

    spacing: metres that the camera moves from one keyframe to the next. `left_out` counts candidates by
    reason: turning, dark, bright, plain, blurred.
    """

    def __init__(self, spacing: float) -> None:
        self.spacing = spacing
        self.left_out: Counter[str] = Counter()
        self._reference: np.ndarray | None = None
        self._sharpness: deque[float] = deque(maxlen=RECENT)

    def restart(self) -> None:
        """The next pose has nothing to do with the last one."""
        self._reference = None

    def has_moved(self, pose: np.ndarray) -> bool:
        """Whether an image from here is a candidate.

        pose: (4, 4), the optical frame in a fixed frame, metres. From one kept image, or from where the robot
        last turned on the spot, to the next the camera moves by the spacing.
        """
        if self._reference is None:
            self._reference = pose.copy()
            return False
        moved = float(np.linalg.norm(pose[:3, 3] - self._reference[:3, 3]))
        if moved < self.spacing:
            if _angle(pose, self._reference) > TURN:
                self.left_out["turning"] += 1
                self._reference = pose.copy()
            return False
        return True

    def takes(self, image: np.ndarray, pose: np.ndarray) -> bool:
        """Whether to keep a candidate, (H, W, 3) uint8 RGB, by what it shows."""
        reason = self._fault(image)
        if reason:
            self.left_out[reason] += 1
            return False
        self._reference = pose.copy()
        return True

    def _fault(self, image: np.ndarray) -> str:
        """What is wrong with an image in one word, "" for nothing."""
        height = max(1, round(image.shape[0] * WIDTH / image.shape[1]))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, (WIDTH, height), interpolation=cv2.INTER_AREA)
        if (grey <= DARK).mean() > LOST_PART:
            return "dark"
        if (grey >= BRIGHT).mean() > LOST_PART:
            return "bright"
        if grey.std() < LEAST_CONTRAST:
            return "plain"
        sharpness = float(cv2.Laplacian(grey, cv2.CV_16S).var())
        usual = float(np.median(self._sharpness)) if self._sharpness else 0.0
        self._sharpness.append(sharpness)
        return "blurred" if sharpness < BLURRED_PART * usual else ""


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    """Angle between two poses' rotations, radians."""
    cosine = (np.trace(first[:3, :3].T @ second[:3, :3]) - 1) / 2
    return math.acos(min(1.0, max(-1.0, float(cosine))))
