# SPDX-License-Identifier: Apache-2.0
"""Temporal consistency of depth on a sequence, and that of the ground truth as its lower bound."""

from __future__ import annotations

import math

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.metrics.temporal import Matcher, TemporalErrors

STRIDES = (1, 8)
# With a smaller share of matched pixels, two images show different scenes: unrelated single views have 0.5 %
# by chance, frames of a hand-held camera a second apart usually over 5 %.
LEAST_SHARED = 0.02

MEANING = {
    "tae": "temporal alignment error between consecutive frames, ground-truth poses, metric, not aligned",
    "tae_8": "the same between every eighth frame",
    "opw": "warping error along optical flow between consecutive frames, meters",
    "rtc": "share of the pixels whose depth agrees along the flow within 1 %",
}


class Steadiness:
    """TAE, OPW and rTC of depth and of ground truth, frame by frame; keeps the last frames only."""

    def __init__(self) -> None:
        self._matcher = Matcher()
        self._depth, self._truth = TemporalErrors(STRIDES), TemporalErrors(STRIDES)
        self._image: np.ndarray | None = None
        self.pairs = 0

    def add(
        self,
        depth: np.ndarray,
        truth: np.ndarray | None,
        image: np.ndarray,
        camera: Camera | None,
        pose: np.ndarray | None,
        *,
        follows: bool = True,
    ) -> None:
        """Add a frame: depth and ground truth (H, W) meters, image (H, W, 3) uint8 RGB, pose (4, 4) to world.

        follows: False when it does not continue the last frame's sequence. Frames of another scene are
        detected in any case.
        """
        match = None
        if self._image is not None and self._image.shape == image.shape and follows:
            match = self._matcher.match(self._image, image)
            if match.trusted.mean() < LEAST_SHARED:
                match = None
        if match is None:
            self._depth.cut()
            self._truth.cut()
        else:
            self.pairs += 1
        if truth is None:
            truth = np.full_like(depth, np.nan)
        self._depth.add(depth, None, camera, pose, match=match)
        self._truth.add(truth, None, camera, pose, match=match)
        self._image = image.copy()

    def mean(self) -> dict[str, dict[str, float | None]] | None:
        """{"depth": ..., "truth": ...}, each with the names of MEANING, None where nothing could be compared.

        None when no frame continued another.
        """
        if not self.pairs:
            return None
        return {
            label: {name: None if math.isnan(value) else value for name, value in errors.mean().items()}
            for label, errors in (("depth", self._depth), ("truth", self._truth))
        }
