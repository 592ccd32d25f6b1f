# SPDX-License-Identifier: Apache-2.0
"""Blockiness: visible borders of the image tower's patches in the depth."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError

# A larger step in the ground truth, in log depth, is an edge of the scene.
EDGE = 0.05
# Pixels of the network's input around an edge that are left out, because no network is that exact.
MARGIN = 2
# Fewest steps across patch borders for a result.
LEAST_STEPS = 200


class Blockiness:
    """Mean step of log depth across patch borders over the mean step inside patches; 1 = no blocks.

    stride: patch size in pixels of the network's input; of a pyramid, the stride of its deepest tap. Steps
    are differences of neighboring pixels, in both directions, of the network's output, where ground truth is
    known, with no edge and no hole nearby.
    """

    def __init__(self, stride: int) -> None:
        if stride < 2:
            raise Clip2DepthError(f"blockiness needs patches of at least 2 pixels, not {stride}")
        self.stride = stride
        self._across = _Mean()
        self._inside = _Mean()

    def add(self, depth: np.ndarray, truth: np.ndarray, origin: tuple[int, int] = (0, 0)) -> float:
        """Add an image and return its own blockiness, NaN when too few pixels can be used.

        depth: (H, W) meters, the network's output or a part of it; truth: (H, W) meters, NaN unknown, of the
        same pixels. origin: (x, y) of their first pixel in the network's input, for a part.
        """
        smooth = _smooth(truth)
        with np.errstate(invalid="ignore", divide="ignore"):
            log_depth = np.log(np.where(depth > 0, depth, np.nan))
        across, inside = _Mean(), _Mean()
        for axis, first in ((1, origin[0]), (0, origin[1])):
            steps = np.abs(np.diff(log_depth, axis=axis))
            pair = np.take(smooth, range(1, smooth.shape[axis]), axis) & np.take(
                smooth, range(smooth.shape[axis] - 1), axis
            )
            # Step i lies between pixels i and i + 1 of this part.
            border = (np.arange(steps.shape[axis]) + first + 1) % self.stride == 0
            border = np.broadcast_to(border if axis else border[:, None], steps.shape)
            counted = pair & np.isfinite(steps)
            across.add(steps[counted & border])
            inside.add(steps[counted & ~border])
        self._across += across
        self._inside += inside
        return _ratio(across, inside)

    def mean(self) -> float:
        """The blockiness of all images together; NaN when too few pixels could be used."""
        return _ratio(self._across, self._inside)


class _Mean:
    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def add(self, values: np.ndarray) -> None:
        self.sum += float(values.sum(dtype=np.float64))
        self.count += values.size

    def __iadd__(self, other: _Mean) -> _Mean:
        self.sum += other.sum
        self.count += other.count
        return self


def _ratio(across: _Mean, inside: _Mean) -> float:
    if across.count < LEAST_STEPS or inside.sum == 0:
        return math.nan
    return (across.sum / across.count) / (inside.sum / inside.count)


def _smooth(truth: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels with known ground truth, away from edges and holes."""
    with np.errstate(invalid="ignore", divide="ignore"):
        log_truth = np.log(np.where(truth > 0, truth, np.nan))
    rough = ~np.isfinite(log_truth)
    for axis in (0, 1):
        jump = ~(np.abs(np.diff(log_truth, axis=axis)) <= EDGE)
        sides = [slice(None), slice(None)]
        for sides[axis] in (slice(None, -1), slice(1, None)):
            rough[tuple(sides)] |= jump
    size = 2 * MARGIN + 1
    return cv2.dilate(rough.astype(np.uint8), np.ones((size, size), np.uint8)) == 0


@cache
def patch_stride(backbone: str) -> int | None:
    """Patch size of a registered backbone in pixels of the network's input; None when unknown."""
    text = files("clip2depth_ros").joinpath("network/backbones.json").read_text(encoding="utf-8")
    entry = json.loads(text).get(backbone)
    return None if entry is None else entry["stride"]
