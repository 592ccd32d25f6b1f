# SPDX-License-Identifier: Apache-2.0
"""The letterbox on a GPU, for letterbox.cu: the pixels and weights for each pixel of the network's input."""

from __future__ import annotations

from pathlib import Path

import numpy as np

KERNEL = "letterbox"
PTX = Path(__file__).with_suffix("").with_name(f"{KERNEL}.ptx")
BLOCK = (32, 8)  # threads in x and y


def taps(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """The source pixels, of `size`, for each of `wanted` pixels, and their weights.

    Returns indices (wanted, k) int32 and weights (wanted, k) float32; each row of weights sums to 1. They are
    those of OpenCV's INTER_AREA for shrinking, and of INTER_LINEAR for enlarging.
    """
    scale = size / wanted
    if scale >= 1:
        begin = np.arange(wanted) * scale
        first = np.floor(begin + 1e-9).astype(np.int64)
        index = first[:, None] + np.arange(int(np.ceil(scale)) + 1)
        covered = np.minimum(index + 1, (begin + scale)[:, None]) - np.maximum(index, begin[:, None])
        weight = np.clip(covered, 0, None)
    else:
        center = np.clip((np.arange(wanted) + 0.5) * scale - 0.5, 0, size - 1)
        first = np.floor(center).astype(np.int64)
        index = first[:, None] + np.arange(2)
        weight = np.stack([1 - (center - first), center - first], axis=1)
    weight /= weight.sum(1, keepdims=True)
    return np.minimum(index, size - 1).astype(np.int32), weight.astype(np.float32)
