# SPDX-License-Identifier: Apache-2.0
"""Where depth jumps from one surface to another, so that points between the two can be left out."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError

# How much of a jump must be left when the slope that leads to it is taken off. Well below 1, because a jump
# that a network smeared leaves its trace in several pixels, each with a part of it.
BEND = 2 / 3


class EdgeFinder:
    """Finds the pixels at depth edges, and those smeared between two surfaces.

    An edge is where inverse depth jumps by more than `threshold` (relative) to a neighbour and is no part of
    a slope: the inverse depth of a plane is linear over the image, however slanted the plane, so what it
    gains on one side it loses on the other. Both are asked for, because a network's gentle waves bend more
    than they jump. Neighbours are `reach` pixels away, left and right, above and below: a network smears a
    jump over several pixels, and what lies between its two ends belongs to neither surface.
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
        """Mask of the edges of `depth` (h, w) float32, metres, NaN = unknown.

        Returns (h, w) bool; it belongs to the finder and holds until its next call. Unknown depth is no edge,
        and neither are its neighbours.
        """
        if depth.shape != self._shape:
            self._make_buffers(depth.shape)
        mask = self._mask
        mask[:] = 0
        np.reciprocal(depth, out=self._inverse)
        self._mark(self._inverse, *self._across, mask)
        self._mark(self._inverse.T, *(buffer.T for buffer in self._down), mask.T)
        if self.reach > 1:
            # Close the gap in the middle of a smeared jump, where the departure changes sign.
            cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._kernel, dst=mask)
        return mask.view(bool)

    def find_smeared(self, depth: np.ndarray) -> np.ndarray:
        """Mask of the pixels between two surfaces: edges without the near one's rim and the far one's.

        As `find` otherwise. A pole thinner than the reach stays, because nothing around it is nearer.
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
        jump: np.ndarray,
        larger: np.ndarray,
        bend: np.ndarray,
        edge: np.ndarray,
        mask: np.ndarray,
    ) -> None:
        """Mark the edges along the second axis; the arguments between the two are buffers."""
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
            # Both conditions in one: the smaller of enlarged bend and larger jump must exceed the threshold.
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
