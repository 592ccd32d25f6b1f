# SPDX-License-Identifier: Apache-2.0
"""Optical flow between the two frames of training pairs, for recordings whose camera motion nobody knows."""

from __future__ import annotations

import cv2
import numpy as np

RETURN_ERROR = 1.0  # pixels; a flow that does not lead back to within this is not trusted


def checked_flow(images: np.ndarray, next_images: np.ndarray) -> np.ndarray:
    """(B, H, W, 2) float32 pixels from each image to the next, NaN where the way back leads elsewhere.

    images, next_images: (B, H, W, 3) uint8 RGB.
    """
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.stack([_one(method, a, b) for a, b in zip(images, next_images, strict=True)])


def _one(method, image: np.ndarray, next_image: np.ndarray) -> np.ndarray:
    first, second = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (image, next_image))
    forward = method.calc(first, second, None)
    backward = method.calc(second, first, None)
    height, width = first.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    to_x, to_y = x + forward[..., 0], y + forward[..., 1]
    back = cv2.remap(
        backward, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(np.inf, np.inf)
    )
    wrong = np.hypot(*np.moveaxis(forward + back, -1, 0)) > RETURN_ERROR
    wrong |= (to_x < 0) | (to_x > width - 1) | (to_y < 0) | (to_y > height - 1)
    return np.where(wrong[..., None], np.float32(np.nan), forward)
