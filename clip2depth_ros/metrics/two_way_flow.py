# SPDX-License-Identifier: Apache-2.0
"""Optical flow of two whole images, believed where the way there and back leads home."""

from __future__ import annotations

import cv2
import numpy as np

FLOW_CHECK = 1.0
"""Pixels: how far flow there and back again may end from where it began."""


class TwoWayFlow:
    """Dense inverse search flow (OpenCV's DIS, preset medium) in both directions."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def between(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The flow from the first image to the second, and where it can be believed.

        Args:
            first, second: (H, W, 3) uint8 RGB of one size, at least 16x16.

        Returns (H, W, 2) float32, pixels, and (H, W) bool: it ends inside the second image, and the flow back
        from there ends within FLOW_CHECK of its start.
        """
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
        forward, backward = self._flow.calc(*grey, None), self._flow.calc(*grey[::-1], None)
        height, width = forward.shape[:2]
        place = places_of(forward)
        inside = (place >= 0).all(axis=-1) & (place[..., 0] <= width - 1) & (place[..., 1] <= height - 1)
        returned = np.linalg.norm(forward + look_up(backward, place), axis=-1)
        return forward, inside & (returned < FLOW_CHECK)


def places_of(flow: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32: x, y of where each pixel goes by a flow (H, W, 2)."""
    height, width = flow.shape[:2]
    return flow + np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)


def look_up(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Values (H, W, ...) at places (h, w, 2), between pixels linearly, beyond the border as on it."""
    return cv2.remap(values, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
