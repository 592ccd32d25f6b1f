# SPDX-License-Identifier: Apache-2.0
"""Simulates the errors of a network that sees single frames: scale jitter, smooth errors, blurred edges."""

from __future__ import annotations

import cv2
import numpy as np

SCALE = 0.05
"""Standard deviation of the frame's log scale."""
FIELDS = (((6, 8), 0.08), ((24, 32), 0.03))
"""Smooth errors of log depth: rows and columns of a grid of normal random numbers, standard deviation."""
BLUR = 1.5
"""Standard deviation of the blur for a frame 320 pixels wide, pixels; it scales with the width."""


class DepthNoise:
    """Adds errors to depth: independent in every frame, and reproducible by seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """(H, W) float depth, meters, NaN = unknown -> (H, W) float32 with errors, the same NaN."""
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
