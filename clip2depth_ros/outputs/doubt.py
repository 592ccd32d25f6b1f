# SPDX-License-Identifier: Apache-2.0
"""How low a point may lie for all that is known, so that doubt makes no obstacle of the floor."""

from __future__ import annotations

import numpy as np

DOUBT = 2.0
"""How many standard deviations of its own depth a pixel's height is in doubt."""


def doubted_heights(
    depth: np.ndarray, slope: np.ndarray, deviation: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """The lowest heights that points may have, relative to the camera, meters; a new array.

    A depth that is wrong by a part moves its point by the same part of its height over or below the camera.

    Args:
        depth: (h, w) float32, meters.
        slope: (h, w) float32, how much each ray rises per meter of depth.
        deviation: (h, w) float32, relative standard deviation of the depth, NaN = unknown; or None.
        tolerance: meters of height per meter of depth by which the floor may be steeper than it was found.
    """
    lowest = slope - np.float32(tolerance)
    if deviation is not None:
        doubt = np.multiply(deviation, np.float32(DOUBT))
        np.multiply(doubt, np.abs(slope), out=doubt)
        np.fmax(doubt, 0, out=doubt)  # no deviation, no doubt
        lowest -= doubt
    lowest *= depth
    return lowest
