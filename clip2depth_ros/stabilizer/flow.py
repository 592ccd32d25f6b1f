# SPDX-License-Identifier: Apache-2.0
"""Motion of the image since the previous frame: dense optical flow, and tracked corners."""

from __future__ import annotations

import math

import cv2
import numpy as np

from clip2depth_ros.metrics.medians import median

CELL = 12
"""Side of the square in which at most one corner is tracked, pixels of the reduced image."""
MIN_CORNER = 2e-4
"""Threshold of the smaller eigenvalue of a corner's gradient matrix (cv2.cornerMinEigenVal, 8 bits)."""
CONSISTENT = 1.0
"""Largest forward-backward error of the flow, pixels."""
STRAY = 3.0
"""Largest distance of a tracked corner from its position by the dense flow, pixels."""
SIMILAR = 5
"""Side of the square over which two images are compared, pixels."""
# There is a cut between two images when the forward-backward check holds on less than CUT_AGREEING of the
# image, and the photometric residual exceeds CUT_GRAY gray levels and CUT_CONTRAST of the image's contrast.
# (Measured: consecutive images have 0.4 or more and 0.16 or less, unrelated images 0.05 or less and 0.5 or
# more.)
CUT_AGREEING, CUT_GRAY, CUT_CONTRAST = 0.1, 8.0, 0.35


class Flow:
    """Motion between an image and the previous one, at reduced size.

    width, height: of the full image. pixels: most pixels of the reduced one; a small image is not reduced.

    Results of step(), (h, w) of the reduced image's size and in its pixels: `there` (h, w, 2) float32, the
    position of each pixel in the previous frame; `shift`, the same as an offset; `known` bool, where the
    forward-backward check holds; `residual` uint8, the photometric residual: the mean difference in gray
    levels between a pixel's neighborhood and that of its previous position. The arrays belong to this object
    and are valid until the next step.
    """

    def __init__(self, width: int, height: int, pixels: int) -> None:
        shrink = min(1.0, math.sqrt(pixels / (width * height)))
        # DIS needs images that are large enough for a second pyramid level.
        self.width, self.height = max(32, round(width * shrink)), max(32, round(height * shrink))
        shape = (self.height, self.width)
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # pyright: ignore[reportAttributeAccessIssue]
        # A quarter of the reduced size is five times as fast as half. Precise positions, at corners and on
        # the static scene, do not come from this flow.
        self._dis.setFinestScale(2)
        self._dis.setVariationalRefinementIterations(0)
        # The default is 16; more iterations take time without a benefit.
        self._dis.setGradientDescentIterations(6)
        self._reduced = np.empty((*shape, 3), np.uint8)
        self._gray, self._past = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self.shift, self._forward = np.zeros((*shape, 2), np.float32), np.zeros((*shape, 2), np.float32)
        self.there, self._eigen = np.empty((*shape, 2), np.float32), np.empty(shape, np.float32)
        half = (-(-self.height // 2), -(-self.width // 2))
        self._half_there, self._back = np.empty((*half, 2), np.float32), np.empty((*half, 2), np.float32)
        self._miss, self._half_known = np.empty(half, np.float32), np.empty(half, np.uint8)
        self.known = np.empty(shape, bool)
        self.residual, self._looked = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        self._pixels = np.empty((*shape, 2), np.float32)
        self._pixels[..., 0] = np.arange(self.width)
        self._pixels[..., 1] = np.arange(self.height)[:, None]

    def look(self, image: np.ndarray) -> None:
        """Add the next image, (H, W, 3) uint8 RGB."""
        self._gray, self._past = self._past, self._gray
        if image.shape[:2] != self._gray.shape:
            size = (self.width, self.height)
            image = cv2.resize(image, size, dst=self._reduced, interpolation=cv2.INTER_AREA)
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY, dst=self._gray)

    def step(self) -> None:
        """Compute the flow between the last two images."""
        self._dis.calc(self._gray, self._past, self.shift)
        self._dis.calc(self._past, self._gray, self._forward)
        cv2.add(self._pixels, self.shift, dst=self.there)
        # The check at every other pixel is enough, because the flow is not finer.
        np.copyto(self._half_there, self.there[::2, ::2])
        border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": (1e3, 1e3)}
        cv2.remap(self._forward, self._half_there, None, cv2.INTER_LINEAR, dst=self._back, **border)  # pyright: ignore[reportCallIssue]
        np.add(self._back, self.shift[::2, ::2], out=self._back)
        square_length(self._back, self._miss)
        np.less(self._miss, CONSISTENT**2, out=self._half_known.view(bool))
        size = (self.width, self.height)
        cv2.resize(self._half_known, size, dst=self.known.view(np.uint8), interpolation=cv2.INTER_NEAREST)
        self.compare(self.there, self.residual)

    def compare(self, places: np.ndarray, out: np.ndarray) -> None:
        """Fill `out`, (h, w) uint8, with the photometric residual to the previous
        image at `places`, (h, w, 2)."""
        cv2.remap(  # pyright: ignore[reportCallIssue]
            self._past, places, None, cv2.INTER_LINEAR, dst=self._looked, borderMode=cv2.BORDER_REPLICATE
        )
        cv2.absdiff(self._gray, self._looked, dst=self._looked)
        cv2.blur(self._looked, (SIMILAR, SIMILAR), dst=out)

    def is_cut(self) -> bool:
        """True when there is a cut between the last two images."""
        if np.count_nonzero(self.known) >= CUT_AGREEING * self.known.size:
            return False
        residual = cv2.mean(self.residual)[0]
        contrast = float(cv2.meanStdDev(self._gray)[1][0, 0])
        return residual > max(CUT_GRAY, CUT_CONTRAST * contrast)

    def growth(self) -> float:
        """Factor by which the image shrank since the previous frame, the median over pairs of pixels.

        Above 1 when objects became smaller, that is, more distant. Without rotation about other axes than the
        optical one it is the factor on their depth.
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
        """Corners of the previous image and their positions in this one, two (n, 2) float32.

        At most one in each square of CELL pixels. Tracking starts at the position by the dense flow.
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
            self._gray,
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
