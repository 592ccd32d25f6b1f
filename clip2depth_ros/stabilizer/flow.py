# SPDX-License-Identifier: Apache-2.0
"""How the image moved since the previous frame: densely by optical flow, precisely at corners."""

from __future__ import annotations

import math

import cv2
import numpy as np

from clip2depth_ros.metrics.medians import median

CELL = 12
"""Side of the square in which at most one corner is followed, pixels of the reduced image."""
MIN_CORNER = 2e-4
"""Least smaller eigenvalue of a corner's gradient matrix, as cv2.cornerMinEigenVal gives it for 8 bits."""
CONSISTENT = 1.0
"""Pixels by which flow there and back may miss its start."""
STRAY = 3.0
"""Pixels by which a corner may end up away from where the dense flow puts it."""
SIMILAR = 5
"""Side of the square over which two images are compared, pixels."""
# Two images are no neighbours when flow there and back agrees on less than this part of the picture, and
# the flow's end still differs by more than this many grey levels and this part of the picture's contrast.
# (Measured: neighbours have 0.4 or more and 0.16 or less, unrelated pictures 0.05 or less and 0.5 or more.)
CUT_AGREEING, CUT_GREY, CUT_CONTRAST = 0.1, 8.0, 0.35


class Flow:
    """Motion between an image and the one before it, at reduced size.

    width, height: of the full image. pixels: of the reduced one, at most; a small image stays as it is.

    Of the last two images after step(), all (h, w) of the reduced image's size and in its pixels:
    `there` (h, w, 2) float32, where every pixel of this frame was in the previous one; `shift`, the same as
    an offset; `known` bool, pixels where flow there and back agrees; `unlike` uint8, grey levels by which
    the surroundings of a pixel differ from those of its past place. The arrays belong to this object and
    hold until the next step.
    """

    def __init__(self, width: int, height: int, pixels: int) -> None:
        shrink = min(1.0, math.sqrt(pixels / (width * height)))
        # DIS works on a pyramid and refuses images that have no second level.
        self.width, self.height = max(32, round(width * shrink)), max(32, round(height * shrink))
        shape = (self.height, self.width)
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        # A quarter of the reduced size: five times as fast as half of it, and where precision counts, at
        # corners and where nothing moves by itself, places do not come from this flow.
        self._dis.setFinestScale(2)
        self._dis.setVariationalRefinementIterations(0)
        # Of 16: more of them cost time and bring nothing.
        self._dis.setGradientDescentIterations(6)
        self._reduced = np.empty((*shape, 3), np.uint8)
        self._grey, self._past = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self.shift, self._forward = np.zeros((*shape, 2), np.float32), np.zeros((*shape, 2), np.float32)
        self.there, self._eigen = np.empty((*shape, 2), np.float32), np.empty(shape, np.float32)
        half = (-(-self.height // 2), -(-self.width // 2))
        self._half_there, self._back = np.empty((*half, 2), np.float32), np.empty((*half, 2), np.float32)
        self._miss, self._half_known = np.empty(half, np.float32), np.empty(half, np.uint8)
        self.known = np.empty(shape, bool)
        self.unlike, self._looked = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        self._pixels = np.empty((*shape, 2), np.float32)
        self._pixels[..., 0] = np.arange(self.width)
        self._pixels[..., 1] = np.arange(self.height)[:, None]

    def look(self, image: np.ndarray) -> None:
        """Take the next image, (H, W, 3) uint8 RGB; the one before becomes the past."""
        self._grey, self._past = self._past, self._grey
        if image.shape[:2] != self._grey.shape:
            size = (self.width, self.height)
            image = cv2.resize(image, size, dst=self._reduced, interpolation=cv2.INTER_AREA)
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY, dst=self._grey)

    def step(self) -> None:
        """Find the flow between the last two images."""
        self._dis.calc(self._grey, self._past, self.shift)
        self._dis.calc(self._past, self._grey, self._forward)
        cv2.add(self._pixels, self.shift, dst=self.there)
        # There and back at every other pixel: the flow is no finer.
        np.copyto(self._half_there, self.there[::2, ::2])
        border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": (1e3, 1e3)}
        cv2.remap(self._forward, self._half_there, None, cv2.INTER_LINEAR, dst=self._back, **border)
        np.add(self._back, self.shift[::2, ::2], out=self._back)
        square_length(self._back, self._miss)
        np.less(self._miss, CONSISTENT**2, out=self._half_known.view(bool))
        size = (self.width, self.height)
        cv2.resize(self._half_known, size, dst=self.known.view(np.uint8), interpolation=cv2.INTER_NEAREST)
        self.compare(self.there, self.unlike)

    def compare(self, places: np.ndarray, out: np.ndarray) -> None:
        """Fill `out`, (h, w) uint8, with how unlike this image is the previous one at `places`, (h, w, 2)."""
        cv2.remap(
            self._past, places, None, cv2.INTER_LINEAR, dst=self._looked, borderMode=cv2.BORDER_REPLICATE
        )
        cv2.absdiff(self._grey, self._looked, dst=self._looked)
        cv2.blur(self._looked, (SIMILAR, SIMILAR), dst=out)

    def is_cut(self) -> bool:
        """True when the last two images do not show the same scene."""
        if np.count_nonzero(self.known) >= CUT_AGREEING * self.known.size:
            return False
        unlike = cv2.mean(self.unlike)[0]
        contrast = float(cv2.meanStdDev(self._grey)[1][0, 0])
        return unlike > max(CUT_GREY, CUT_CONTRAST * contrast)

    def growth(self) -> float:
        """Factor by which the picture shrank since the previous frame, by the median over pairs of pixels.

        Above 1 when things came to look smaller, that is, went away: without rotation about other axes than
        the optical one it is the factor on their depth.
        """
        step_y, step_x = max(1, self.height // 16), max(1, self.width // 16)
        shift, known = self.shift[::step_y, ::step_x], self.known[::step_y, ::step_x]
        half_y, half_x = shift.shape[0] // 2, shift.shape[1] // 2
        across = (shift[:, half_x:, 0] - shift[:, : shift.shape[1] - half_x, 0]) / (half_x * step_x)
        along = (shift[half_y:, :, 1] - shift[: shift.shape[0] - half_y, :, 1]) / (half_y * step_y)
        stretches = np.concatenate(
            [
                across[known[:, half_x:] & known[:, : shift.shape[1] - half_x]],
                along[known[half_y:] & known[: shift.shape[0] - half_y]],
            ]
        )
        return 1.0 + median(stretches) if stretches.size else 1.0

    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the previous image and where they are in this one, two (n, 2) float32.

        At most one in every square of CELL pixels. They are followed from where the dense flow puts them.
        """
        cv2.cornerMinEigenVal(self._past, 3, dst=self._eigen, ksize=3)
        rows, columns = self.height // CELL, self.width // CELL
        cells = self._eigen[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
        cells = cells.transpose(0, 2, 1, 3).reshape(rows * columns, CELL * CELL)
        best = cells.argmax(1)
        strong = np.flatnonzero(cells[np.arange(len(cells)), best] > MIN_CORNER)
        if not strong.size:
            return np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
        y = strong // columns * CELL + best[strong] // CELL
        x = strong % columns * CELL + best[strong] % CELL
        start = np.stack([x, y], 1).astype(np.float32)
        guess = start + self._forward[y, x]
        found, status, _ = cv2.calcOpticalFlowPyrLK(
            self._past,
            self._grey,
            start,
            guess.copy(),
            winSize=(11, 11),
            maxLevel=0,
            criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.01),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        good = (status[:, 0] > 0) & (np.abs(found - guess).max(1) < STRAY)
        return start[good], found[good]


def square_length(vectors: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Fill `out` (h, w) with the squared lengths of `vectors` (h, w, 2), which it overwrites."""
    cv2.multiply(vectors, vectors, dst=vectors)
    return np.add(vectors[..., 0], vectors[..., 1], out=out)
