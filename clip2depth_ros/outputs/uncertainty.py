# SPDX-License-Identifier: Apache-2.0
"""How low a point may lie for all that is known, so that doubt makes no obstacle of the floor."""

from __future__ import annotations

import numpy as np

DOUBT = 2.0
"""How many standard deviations of its own depth a pixel's height is in doubt."""


def height_doubt(rise: np.ndarray, deviation: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """By how much heights are in doubt, in the unit of `rise`; 0 where there is no deviation.

    A depth that is wrong by a part moves its point by the same part of its height over or below the camera.

    Args:
        rise: (h, w) float32, heights over the camera.
        deviation: (h, w) float32, relative standard deviation of the depth, NaN = unknown.
        out: (h, w) float32 for the answer; None makes a new array.
    """
    doubt = np.multiply(deviation, np.float32(DOUBT), out=out)
    np.multiply(doubt, np.abs(rise), out=doubt)
    return np.fmax(doubt, 0, out=doubt)


def doubted_heights(
    depth: np.ndarray, slope: np.ndarray, deviation: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """The lowest heights that points may have, relative to the camera, meters; a new array.

    Args:
        depth: (h, w) float32, meters.
        slope: (h, w) float32, how much each ray rises per meter of depth.
        deviation: (h, w) float32, relative standard deviation of the depth, NaN = unknown; or None.
        tolerance: meters of height per meter of depth by which the floor may be steeper than it was found.
    """
    lowest = slope - np.float32(tolerance)
    if deviation is not None:
        lowest -= height_doubt(slope, deviation)
    lowest *= depth
    return lowest
