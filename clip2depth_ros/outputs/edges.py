# SPDX-License-Identifier: Apache-2.0
"""Depth edges between two surfaces, so that points between the surfaces can be left out."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError

# Fraction of a jump that must remain after the local slope is subtracted. It is well below 1, because a
# network smears a jump over several pixels.
BEND = 2 / 3


class EdgeFinder:
    """Finds the pixels at depth edges, and those smeared between two surfaces.

    At an edge, inverse depth differs from a neighbor's by more than `threshold` (relative), and its second
    difference is large too. The second difference of a plane is zero, because its inverse depth is linear
    over the image, however slanted the plane. Both conditions are needed: smooth waves in a network's depth
    have a second difference but no jump. Neighbors are `reach` pixels away, left and right, above and below:
    a network smears a jump over several pixels, and the pixels between its two ends are on neither surface.
    """

    def __init__(self, threshold: float = 0.1, reach: int = 1) -> None:
        if not 0 < threshold < 1:
            raise Clip2DepthError(f"The edge threshold must lie between 0 and 1, it is {threshold:g}.")
        if reach < 1:
            raise Clip2DepthError(f"The edge reach must be at least one pixel, it is {reach}.")
        self.threshold = threshold
        self.reach = reach
        self._shape: tuple[int, int] = (0, 0)

    def find(self, depth: np.ndarray) -> np.ndarray:
        """Mask of the edges of `depth` (h, w) float32, meters, NaN = unknown.

        Returns (h, w) bool; it belongs to the finder and is valid until its next call. Unknown depth and its
        neighbors are not edges.
        """
        if depth.shape != self._shape:
            self._make_buffers(depth.shape)
        mask = self._mask
        mask[:] = 0
        np.reciprocal(depth, out=self._inverse)
        self._mark(self._inverse, mask, *self._across)
        self._mark(self._inverse.T, mask.T, *(buffer.T for buffer in self._down))
        if self.reach > 1:
            # Close the gap in the middle of a smeared jump, where the second difference changes sign.
            cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._kernel, dst=mask)
        return mask.view(bool)

    def find_smeared(self, depth: np.ndarray) -> np.ndarray:
        """Mask of the pixels between two surfaces: edges except the outermost pixels of either surface.

        Otherwise as `find`. A pole thinner than the reach is kept, because no depth around it is nearer.
        """
        edges = self.find(depth)
        np.copyto(self._inverse, 0, where=np.isnan(self._inverse))
        margin = self.threshold / 2
        nearest = cv2.dilate(self._inverse, self._kernel, dst=self._around)
        np.multiply(nearest, 1 - margin, out=nearest)
        edges &= self._inverse < nearest
        farthest = cv2.erode(self._inverse, self._kernel, dst=self._around)
        np.multiply(farthest, 1 + margin, out=farthest)
        edges &= self._inverse > farthest
        return edges

    def _mark(
        self,
        inverse: np.ndarray,
        mask: np.ndarray,
        jump: np.ndarray,
        larger: np.ndarray,
        bend: np.ndarray,
        edge: np.ndarray,
    ) -> None:
        """Mark the edges along the second axis; the arguments after the mask are buffers."""
        r = self.reach
        if inverse.shape[1] <= 2 * r:
            return
        middle = inverse[:, r:-r]
        with np.errstate(invalid="ignore"):
            np.subtract(inverse[:, r:], inverse[:, :-r], out=jump)
            before, after = jump[:, :-r], jump[:, r:]
            np.subtract(after, before, out=bend)
            np.abs(bend, out=bend)
            np.multiply(bend, 1 / BEND, out=bend)
            np.abs(jump, out=jump)
            # Both conditions in one: the smaller of the scaled second difference and the larger
            # jump must exceed the threshold.
            np.maximum(before, after, out=larger)
            np.minimum(bend, larger, out=bend)
            np.multiply(middle, self.threshold, out=larger)
            np.greater(bend, larger, out=edge)
        mask.view(bool)[:, r:-r] |= edge

    def _make_buffers(self, shape: tuple[int, int]) -> None:
        height, width = self._shape = shape
        r = self.reach
        self._inverse = np.empty(shape, np.float32)
        self._around = np.empty(shape, np.float32)
        kinds = ((r, np.float32), (2 * r, np.float32), (2 * r, np.float32), (2 * r, bool))
        self._across = [np.empty((height, max(width - less, 0)), kind) for less, kind in kinds]
        self._down = [np.empty((max(height - less, 0), width), kind) for less, kind in kinds]
        self._mask = np.empty(shape, np.uint8)
        self._kernel = np.ones((2 * r + 1, 2 * r + 1), np.uint8)
