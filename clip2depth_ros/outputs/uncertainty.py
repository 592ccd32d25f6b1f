# SPDX-License-Identifier: Apache-2.0
"""The lowest height of a point within its uncertainty, so that the floor is not taken for an obstacle."""

from __future__ import annotations

import numpy as np

STD_DEVS = 2.0
"""Standard deviations of depth that count as a height's uncertainty."""


def height_uncertainty(rise: np.ndarray, deviation: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Uncertainty of heights, in the unit of `rise`; 0 where the deviation is unknown.

    A relative error of depth gives the same relative error of the height relative to the camera.

    Args:
        rise: (h, w) float32, heights relative to the camera.
        deviation: (h, w) float32, relative standard deviation of the depth, NaN = unknown.
        out: (h, w) float32 for the result; None makes a new array.
    """
    uncertainty = np.multiply(deviation, np.float32(STD_DEVS), out=out)
    np.multiply(uncertainty, np.abs(rise), out=uncertainty)
    return np.fmax(uncertainty, 0, out=uncertainty)


def lowest_heights(
    depth: np.ndarray, slope: np.ndarray, deviation: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """The lowest heights of points within the uncertainty, relative to the camera, meters; a new array.

    Args:
        depth: (h, w) float32, meters.
        slope: (h, w) float32, rise of each ray per meter of depth.
        deviation: (h, w) float32, relative standard deviation of the depth, NaN = unknown; or None.
        tolerance: how much steeper than detected the floor may be, meters of height per meter of depth.
    """
    lowest = slope - np.float32(tolerance)
    if deviation is not None:
        lowest -= height_uncertainty(slope, deviation)
    lowest *= depth
    return lowest
