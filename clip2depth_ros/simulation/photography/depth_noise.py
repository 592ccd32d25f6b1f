# SPDX-License-Identifier: Apache-2.0
"""What a network that sees one frame at a time does to depth: scale jumps, surfaces boil, edges blur."""

from __future__ import annotations

import cv2
import numpy as np

SCALE = 0.05
"""Standard deviation of the whole frame's log scale."""
FIELDS = (((6, 8), 0.08), ((24, 32), 0.03))
"""Smooth errors of log depth: rows and columns of a grid of independent normal numbers, their deviation."""
BLUR = 1.5
"""Standard deviation of the blur of a frame 320 pixels wide, pixels; in others it follows the width."""


class Flicker:
    """Adds flicker to depth, new in every frame, the same again for the same seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """(H, W) float32 meters of a (H, W) float depth, meters; what is unknown (NaN) stays unknown."""
        height, width = depth.shape
        error = np.full((height, width), SCALE * self._rng.standard_normal(), np.float32)
        for grid, deviation in FIELDS:
            nodes = self._rng.standard_normal(grid).astype(np.float32)
            error += deviation * cv2.resize(nodes, (width, height), interpolation=cv2.INTER_CUBIC)
        known = np.isfinite(depth)
        blur = (0, 0), BLUR * width / 320
        total = cv2.GaussianBlur(np.where(known, depth, 0).astype(np.float32), *blur)
        weight = cv2.GaussianBlur(known.astype(np.float32), *blur)
        result = np.full((height, width), np.nan, np.float32)
        np.divide(total, weight, out=result, where=known)
        return result * np.exp(error)
