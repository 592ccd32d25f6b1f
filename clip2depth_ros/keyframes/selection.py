# SPDX-License-Identifier: Apache-2.0
"""Selection of keyframes: after enough motion, sharp, and neither dark nor overexposed."""

from __future__ import annotations

import math
from collections import Counter, deque

import cv2
import numpy as np

WIDTH = 320
"""Width in pixels at which sharpness and exposure are measured."""
TURN = 0.35
"""Radians: a rotation by this much without moving by the spacing is on the spot, and gives no parallax."""
DARK, BRIGHT = 8, 247
"""Gray levels at which a pixel is under- or overexposed."""
LOST_PART = 0.4
"""Part of such pixels above which an image is under- or overexposed."""
LEAST_CONTRAST = 6.0
"""Standard deviation of the gray levels below which an image shows a plain surface."""
RECENT = 30
"""Number of last candidates whose median sharpness is the usual one."""
BLURRED_PART = 0.35
"""Part of the usual sharpness below which an image is blurred."""


class KeyframeChooser:
    """Selects images of one drive, in order: first by the pose, then by the content.

    spacing: meters that the camera moves from one keyframe to the next. `left_out` counts candidates by
    reason: turning, dark, bright, plain, blurred.
    """

    def __init__(self, spacing: float) -> None:
        self.spacing = spacing
        self.left_out: Counter[str] = Counter()
        self._reference: np.ndarray | None = None
        self._sharpness: deque[float] = deque(maxlen=RECENT)

    def restart(self) -> None:
        """Forget the last pose, which cannot be compared with the next one."""
        self._reference = None

    def has_moved(self, pose: np.ndarray) -> bool:
        """Whether an image from here is a candidate.

        pose: (4, 4), the optical frame in a fixed frame, meters. The camera must have moved by the spacing
        since the last kept image, or since the last rotation on the spot.
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
        """Whether to keep a candidate, (H, W, 3) uint8 RGB, by its content."""
        reason = self._fault(image)
        if reason:
            self.left_out[reason] += 1
            return False
        self._reference = pose.copy()
        return True

    def _fault(self, image: np.ndarray) -> str:
        """The fault of an image in one word, "" for none."""
        height = max(1, round(image.shape[0] * WIDTH / image.shape[1]))
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        gray = cv2.resize(gray, (WIDTH, height), interpolation=cv2.INTER_AREA)
        if (gray <= DARK).mean() > LOST_PART:
            return "dark"
        if (gray >= BRIGHT).mean() > LOST_PART:
            return "bright"
        if gray.std() < LEAST_CONTRAST:
            return "plain"
        sharpness = float(cv2.Laplacian(gray, cv2.CV_16S).var())
        usual = float(np.median(self._sharpness)) if self._sharpness else 0.0
        self._sharpness.append(sharpness)
        return "blurred" if sharpness < BLURRED_PART * usual else ""


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    """Angle between two poses' rotations, radians."""
    cosine = (np.trace(first[:3, :3].T @ second[:3, :3]) - 1) / 2
    return math.acos(min(1.0, max(-1.0, float(cosine))))
