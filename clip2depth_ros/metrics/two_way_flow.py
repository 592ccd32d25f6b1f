# SPDX-License-Identifier: Apache-2.0
"""Dense optical flow of two images, with a forward-backward check."""

from __future__ import annotations

import cv2
import numpy as np

FLOW_CHECK = 1.0
"""Largest forward-backward error, pixels."""


class TwoWayFlow:
    """Dense inverse search flow (OpenCV's DIS, preset medium) in both directions."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # pyright: ignore[reportAttributeAccessIssue]

    def between(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The flow from the first image to the second, and the mask of reliable pixels.

        Args:
            first, second: (H, W, 3) uint8 RGB of one size, at least 16x16.

        Returns (H, W, 2) float32, pixels, and (H, W) bool: the flow ends inside the second image, and the
        backward flow from there ends within FLOW_CHECK of the start.
        """
        gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
        forward, backward = self._flow.calc(*gray, None), self._flow.calc(*gray[::-1], None)
        height, width = forward.shape[:2]
        place = places_of(forward)
        inside = (place >= 0).all(axis=-1) & (place[..., 0] <= width - 1) & (place[..., 1] <= height - 1)
        returned = np.linalg.norm(forward + look_up(backward, place), axis=-1)
        return forward, inside & (returned < FLOW_CHECK)


def places_of(flow: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32: x, y of each pixel after a flow (H, W, 2)."""
    height, width = flow.shape[:2]
    return flow + np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)


def look_up(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Values (H, W, ...) at positions (h, w, 2): bilinear, and the border value outside."""
    return cv2.remap(values, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # pyright: ignore[reportCallIssue]
