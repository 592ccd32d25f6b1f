# SPDX-License-Identifier: Apache-2.0
"""The median of some thousand numbers, which a frame asks for a dozen times."""

from __future__ import annotations

import math

import numpy as np


def median(values: np.ndarray) -> float:
    """float(np.median(values)) to the last bit, in a fifth of its time.

    values: (n,) floating point, n > 0; NaN among them gives NaN.
    """
    middle = values.size // 2
    parted = np.partition(values, middle)
    # NaN counts as larger than all.
    if np.isnan(parted[middle:].max()):
        return math.nan
    if values.size % 2:
        return float(parted[middle])
    return float((parted[:middle].max() + parted[middle]) / 2)
