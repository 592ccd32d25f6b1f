# SPDX-License-Identifier: Apache-2.0
"""The true depth of a frame in the pixels of the depth that it is compared with."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.camera import Camera, Rectifier
from clip2depth_ros.frame import DepthFrame, Frame


class Truth:
    """Rectifies true depth like its image and brings it to the result's size; maps are kept per camera."""

    def __init__(self) -> None:
        self._camera: Camera | None = None
        self._rectifier: Rectifier | None = None

    def of(self, frame: Frame, result: DepthFrame) -> np.ndarray | None:
        """(h, w) float32 metres, NaN unknown, of the result's size; None for a frame without true depth."""
        truth = frame.depth
        if truth is None:
            return None
        camera = frame.camera
        if camera is not None and not camera.is_rectified and camera.size == truth.shape[::-1]:
            if camera != self._camera:
                self._camera, self._rectifier = camera, Rectifier(camera)
            truth = self._rectifier.rectify_depth(np.ascontiguousarray(truth), np.empty_like(truth))
        if truth.shape != result.depth.shape:
            size = result.depth.shape[::-1]
            truth = cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST_EXACT)
        return truth
