# SPDX-License-Identifier: Apache-2.0
"""The errors that a frame's depth has in common, found against what was expected, and how large they are."""

from __future__ import annotations

import math

import cv2
import numpy as np

from clip2depth_ros.metrics.medians import median
from clip2depth_ros.stabilizer.flow import Flow
from clip2depth_ros.stabilizer.prediction import Prediction

CELLS = 32
"""Cells across the image in which the smooth error is sought."""
SMOOTH = 2.0
"""Cells over which it is smoothed (standard deviation of a Gaussian)."""
LEAST_WEIGHT = 0.02
"""Part of a cell's surroundings that is known below which the error found there fades to none."""
SAMPLES = 10_000
"""Pixels, about, from which the errors are found."""
MIN_SAMPLES = 50
"""With fewer the frame's errors are not known."""
SURE = 2.0
"""Variance up to which an expected depth bears witness at all, in units of one measurement's,"""
SURE_PART, SURE_LEAST = 5.0, 0.1
"""and for the smooth error: this many times the median's, but at least so much."""
RECENT = 0.17
"""Part of one frame in the trend of a cell's error."""
PERSISTENT, PERSISTENT_MOVING = 2.8, 1.7
"""Standard deviations of a trend beyond which the expected depth is wrong: anywhere, and where the image says
that something moves."""
DOUBT = 4.0
"""Variance, in units of one measurement's, of what was expected where it is wrong without a doubt."""
USUAL_MEDIAN = 0.455
"""Median over mean of the squares of normal errors."""
ASTRAY_PART, ASTRAY_REACH = 0.02, 4.0
"""Something moves by itself near a cell when so much of its surroundings, this many cells wide, is astray."""
LEARNING = 0.03
"""Part of one frame in what is known about the errors' size."""
PRIOR_FRAMES = 3
"""Frames that the assumption with which one starts counts for."""
LEAST = 1e-6
"""Variance of log depth that no error is below."""


class FrameErrorFinder:
    """Finds a frame's scale error and its smooth error, in log depth, and where errors persist.

    A flickering network errs anew in every frame. Errors that go the same way frame after frame mean that
    the expected depth is wrong: somebody walks towards the camera, or the network changed its mind.

    `scale`, `smooth` and `pixel` are the variances of one measurement's errors, as the frames have shown
    them so far: the scale's, the smooth field's and what is left in a pixel. `usual_gain` is the median
    pixel's gain. `found` tells whether the last frame's errors could be found.
    """

    def __init__(self, width: int, height: int) -> None:
        self._stride = max(1, round(math.sqrt(width * height / SAMPLES)))
        columns = min(CELLS, max(2, width // 8))
        self._cells = (columns, max(2, round(columns * height / width)))
        grid = self._cells[::-1]
        self._zero = np.zeros(grid, np.float32)
        self._trend, self._carried = np.zeros(grid, np.float32), np.zeros(grid, np.float32)
        self._smooth, self._doubt = np.zeros(grid, np.float32), np.zeros(grid, np.float32)
        self._weight, self._moving = np.empty(grid, np.float32), np.empty(grid, np.float32)
        self._places = np.empty((*grid, 2), np.float32)
        samples = (-(-height // self._stride), -(-width // self._stride))
        self._error, self._part = np.empty(samples, np.float32), np.empty(samples, np.float32)
        self.start(0.1)

    def start(self, noise: float) -> None:
        """Forget; assume that a frame's relative standard deviation is `noise`, of all three errors alike."""
        self.scale = self.smooth = self.pixel = max(noise**2 / 3, LEAST)
        self.usual_gain = 1.0
        self.found = False
        self._trend.fill(0)
        self._typical = 0.0
        self._frames = PRIOR_FRAMES

    def find(
        self, measured: np.ndarray, expected: Prediction, flow: Flow, gate: float
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """The scale's error, the smooth one, and the variance that persisting errors give the expected depth.

        The last two are (rows, columns) float32 over the picture, in log depth and in units of one
        measurement's variance; all three are 0 when too little is known of both depths. The arrays belong to
        this object.
        """
        s = self._stride
        error = np.divide(measured[::s, ::s], expected.depth[::s, ::s], out=self._error)
        np.log(error, out=error)
        variance = expected.variance[::s, ::s]
        good = np.isfinite(error) & (variance < SURE)
        self.found = np.count_nonzero(good) >= MIN_SAMPLES
        if not self.found:
            return 0.0, self._zero, self._zero
        scale = median(error[good])
        error -= np.float32(scale)
        doubt = self._follow_trend(error, good, expected, flow, gate)

        # What changed by itself, or is in doubt, tells nothing of the frame's error.
        cv2.resize(doubt, error.shape[::-1], dst=self._part, interpolation=cv2.INTER_LINEAR)
        usual = median(variance[good])
        good &= np.maximum(variance, self._part, out=self._part) < max(SURE_PART * usual, SURE_LEAST)
        good &= np.abs(error) < gate * math.sqrt(2 * (self.smooth + self.pixel))
        smooth = self._cell_means(error, good, self._smooth)
        cv2.resize(smooth, error.shape[::-1], dst=self._part, interpolation=cv2.INTER_LINEAR)
        error -= self._part
        self._learn(scale, smooth, error[good], variance[good])
        return scale, smooth, doubt

    def _cell_means(self, error: np.ndarray, good: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill `out` with the smoothed means of the good errors over the cells."""
        for values, cells in ((np.where(good, error, 0), out), (good.astype(np.float32), self._weight)):
            cv2.resize(values, self._cells, dst=cells, interpolation=cv2.INTER_AREA)
            cv2.GaussianBlur(cells, (0, 0), SMOOTH, dst=cells)
        self._weight += np.float32(LEAST_WEIGHT)
        return np.divide(out, self._weight, out=out)

    def _follow_trend(
        self, error: np.ndarray, good: np.ndarray, expected: Prediction, flow: Flow, gate: float
    ) -> np.ndarray:
        """The doubt, (rows, columns) float32, after taking the cells' errors into their trends.

        A trend belongs to a thing, so it moves with the image. A network that changes its mind slowly has
        trends everywhere: with it only those count that are large for it, except where something moves.
        """
        limit = np.float32(gate * math.sqrt(self.smooth + self.pixel))
        mean = self._cell_means(np.clip(error, -limit, limit), good, self._smooth)
        columns, rows = self._cells
        across, down = columns / flow.width, rows / flow.height
        cv2.resize(flow.there, self._cells, dst=self._places, interpolation=cv2.INTER_NEAREST)
        to_cells = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]], np.float32)
        cv2.transform(self._places, to_cells, dst=self._places)
        trend, self._carried = self._carried, self._trend
        cv2.remap(self._carried, self._places, None, cv2.INTER_LINEAR, dst=trend)
        trend += np.float32(RECENT) * (mean - trend)
        self._trend = trend
        flickering = self.smooth * RECENT / (2 - RECENT)
        np.multiply(trend, trend, out=self._doubt)
        self._typical += LEARNING * (median(self._doubt.ravel()) / USUAL_MEDIAN - self._typical)
        astray = expected.astray.astype(np.float32)
        cv2.resize(astray, self._cells, dst=self._moving, interpolation=cv2.INTER_AREA)
        cv2.GaussianBlur(self._moving, (0, 0), ASTRAY_REACH, dst=self._moving)
        calm, moving = PERSISTENT**2 * max(flickering, self._typical), PERSISTENT_MOVING**2 * flickering
        self._doubt /= np.where(self._moving > ASTRAY_PART, np.float32(moving), np.float32(calm))
        self._doubt -= 1
        np.clip(self._doubt, 0, 1, out=self._doubt)
        self._doubt *= np.float32(DOUBT)
        return self._doubt

    def _learn(self, scale: float, smooth: np.ndarray, left: np.ndarray, variance: np.ndarray) -> None:
        """Take the frame's errors into account in what is known about their size."""
        if not left.size:
            return
        usual = median(variance)
        self.usual_gain = usual / (1 + usual)
        self._frames += 1
        part = max(LEARNING, 1 / self._frames)
        # An innovation's variance is the measurement's and the expectation's.
        share = 1 / (1 + float(np.mean(variance)))
        pixel = (1.4826 * median(np.abs(left))) ** 2
        self.scale += part * (max(scale**2 / (1 + usual), LEAST) - self.scale)
        self.smooth += part * (max(float(np.mean(np.square(smooth))) * share, LEAST) - self.smooth)
        self.pixel += part * (max(pixel * share, LEAST) - self.pixel)

    def typical(self, update: np.ndarray, unknown: np.ndarray) -> float:
        """Median |update| of the known pixels, NaN when there are none."""
        s = self._stride
        known = np.abs(update[::s, ::s][~unknown[::s, ::s]])
        return median(known) if known.size else math.nan
