# SPDX-License-Identifier: Apache-2.0
"""Ground truth depth of a frame, in the pixels of the depth that is compared with it."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.camera import Rectifiers
from clip2depth_ros.images.frame import DepthFrame, Frame


class GroundTruth:
    """Rectifies and resizes ground truth depth like the image; maps are cached for one camera."""

    def __init__(self) -> None:
        self._rectifiers = Rectifiers()

    def of(self, frame: Frame, result: DepthFrame) -> np.ndarray | None:
        """(h, w) float32 meters, NaN unknown, of the result's size; None for a frame without ground truth."""
        truth = self.rectified(frame)
        return None if truth is None else _sized(truth, result.depth.shape[::-1])

    def rectified(self, frame: Frame) -> np.ndarray | None:
        """(H, W) float32 meters, NaN unknown, of the frame's camera without its distortion.

        The frame's own depth when the camera has no distortion or is unknown; None when there is none.
        """
        truth, camera = frame.depth, frame.camera
        rectifier = None if truth is None or camera is None else self._rectifiers.of(camera)
        if rectifier is None:
            return truth
        return rectifier.rectify_depth(np.ascontiguousarray(_sized(truth, camera.size)))


def _sized(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The depth at a size (width, height), by nearest pixel: a value between two surfaces is on neither."""
    if depth.shape[::-1] == size:
        return depth
    return cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
