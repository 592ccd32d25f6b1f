# SPDX-License-Identifier: Apache-2.0
"""The true depth of a frame in the pixels of the depth that it is compared with."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.camera import Rectifiers
from clip2depth_ros.images.frame import DepthFrame, Frame


class Truth:
    """Rectifies true depth like its image and brings it to the result's size; maps are kept per camera."""

    def __init__(self) -> None:
        self._rectifiers = Rectifiers()

    def of(self, frame: Frame, result: DepthFrame) -> np.ndarray | None:
        """(h, w) float32 metres, NaN unknown, of the result's size; None for a frame without true depth."""
        truth = self.rectified(frame)
        return None if truth is None else _sized(truth, result.depth.shape[::-1])

    def rectified(self, frame: Frame) -> np.ndarray | None:
        """(H, W) float32 metres, NaN unknown, of the frame's camera without its distortion.

        The frame's own depth where the camera has no distortion or is not known; None where there is none.
        """
        truth, camera = frame.depth, frame.camera
        rectifier = None if truth is None or camera is None else self._rectifiers.of(camera)
        if rectifier is None:
            return truth
        return rectifier.rectify_depth(np.ascontiguousarray(_sized(truth, camera.size)))


def _sized(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """At another size (width, height) each pixel takes its nearest one: what lies between is no surface."""
    if depth.shape[::-1] == size:
        return depth
    return cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
