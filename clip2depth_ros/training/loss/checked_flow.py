# SPDX-License-Identifier: Apache-2.0
"""Optical flow between the two frames of training pairs, for recordings whose camera motion nobody knows."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.metrics.two_way_flow import TwoWayFlow


def checked_flow(images: np.ndarray, next_images: np.ndarray) -> np.ndarray:
    """(B, H, W, 2) float32 pixels from each image to the next, NaN where it is not to be trusted.

    images, next_images: (B, H, W, 3) uint8 RGB.
    """
    both_ways = TwoWayFlow()
    made = np.empty((*images.shape[:3], 2), np.float32)
    for out, first, second in zip(made, images, next_images, strict=True):
        flow, trusted = both_ways.between(first, second)
        out[:] = np.where(trusted[..., None], flow, np.float32(np.nan))
    return made
