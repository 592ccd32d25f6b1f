# SPDX-License-Identifier: Apache-2.0
"""The errors that the pixels of one frame share, relative to the predicted depth, and their variances."""

from __future__ import annotations

import math

import cv2
import numpy as np

from clip2depth_ros.metrics.medians import median
from clip2depth_ros.stabilizer.flow import Flow
from clip2depth_ros.stabilizer.prediction import Prediction

CELLS = 32
"""Cells across the image for the smooth error."""
SMOOTH = 2.0
"""Standard deviation of the Gaussian that smooths it, cells."""
LEAST_WEIGHT = 0.02
"""Known fraction of a cell's neighborhood below which the smooth error decreases to zero."""
SAMPLES = 10_000
"""Approximate number of pixels from which the errors are estimated."""
MIN_SAMPLES = 50
"""Least number of known samples for an estimate of the frame's errors."""
SURE = 2.0
"""Largest variance of a predicted depth that is used, in units of one measurement's."""
SURE_PART, SURE_LEAST = 5.0, 0.1
"""The same for the smooth error: this many times the median variance, but at least SURE_LEAST."""
RECENT = 0.17
"""Weight of one frame in the trend of a cell's error."""
PERSISTENT, PERSISTENT_MOVING = 2.8, 1.7
"""Standard deviations of a trend above which the predicted depth is wrong: anywhere, and where the image
shows a moving object."""
MAX_EXCESS = 4.0
"""Variance, in units of one measurement's, of a predicted depth that is certainly wrong."""
USUAL_MEDIAN = 0.455
"""Median over mean of the squares of normal errors."""
INCONSISTENT_PART, INCONSISTENT_REACH = 0.02, 4.0
"""There is a moving object near a cell when this fraction of its neighborhood,
this many cells wide, is inconsistent."""
LEARNING = 0.03
"""Weight of one frame in the estimate of the errors' variances."""
PRIOR_FRAMES = 3
"""Frames as which the initial assumption counts."""
LEAST = 1e-6
"""Least variance of log depth of each error."""


class FrameErrorFinder:
    """Estimates a frame's scale error and its smooth error, in log depth, and detects persistent errors.

    The scale jitter of a network is independent between frames. Errors of the same sign in consecutive frames
    mean that the predicted depth is wrong: a person walks towards the camera, or the network's output
    changed.

    `scale`, `smooth` and `pixel` are the estimated variances of one measurement's errors: of the scale, of
    the smooth field and of the remaining error of a pixel. `usual_gain` is the median pixel's gain. `found`
    tells whether the last frame's errors could be estimated.
    """

    def __init__(self, width: int, height: int) -> None:
        self._stride = max(1, round(math.sqrt(width * height / SAMPLES)))
        columns = min(CELLS, max(2, width // 8))
        self._cells = (columns, max(2, round(columns * height / width)))
        grid = self._cells[::-1]
        self._zero = np.zeros(grid, np.float32)
        self._trend, self._carried = np.zeros(grid, np.float32), np.zeros(grid, np.float32)
        self._smooth, self._excess_variance = np.zeros(grid, np.float32), np.zeros(grid, np.float32)
        self._weight, self._moving = np.empty(grid, np.float32), np.empty(grid, np.float32)
        self._places = np.empty((*grid, 2), np.float32)
        samples = (-(-height // self._stride), -(-width // self._stride))
        self._error, self._part = np.empty(samples, np.float32), np.empty(samples, np.float32)
        self.start(0.1)

    def start(self, noise: float) -> None:
        """Start again; noise: assumed relative standard deviation of a frame,
        equal parts of all three errors."""
        self.scale = self.smooth = self.pixel = max(noise**2 / 3, LEAST)
        self.usual_gain = 1.0
        self.found = False
        self._trend.fill(0)
        self._typical = 0.0
        self._frames = PRIOR_FRAMES

    def find(
        self, measured: np.ndarray, expected: Prediction, flow: Flow, gate: float
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """The scale error, the smooth error, and the excess variance of the prediction by persistent errors.

        The last two are (rows, columns) float32 over the image, in log depth and in units of one
        measurement's variance; all three are 0 when too few pixels of both depths are known. The arrays
        belong to this object.
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
        excess_variance = self._follow_trend(error, good, expected, flow, gate)

        # Pixels that changed, or whose prediction is uncertain, are not used for the frame's error.
        cv2.resize(excess_variance, error.shape[::-1], dst=self._part, interpolation=cv2.INTER_LINEAR)
        usual = median(variance[good])
        good &= np.maximum(variance, self._part, out=self._part) < max(SURE_PART * usual, SURE_LEAST)
        good &= np.abs(error) < gate * math.sqrt(2 * (self.smooth + self.pixel))
        smooth = self._cell_means(error, good, self._smooth)
        cv2.resize(smooth, error.shape[::-1], dst=self._part, interpolation=cv2.INTER_LINEAR)
        error -= self._part
        self._learn(scale, smooth, error[good], variance[good])
        return scale, smooth, excess_variance

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
        """Update the trends with the cells' errors; returns the excess variance, (rows, columns) float32.

        A trend belongs to an object, so it moves with the image. A network whose output drifts slowly has
        trends everywhere: only trends that are large compared to the typical one count, except near moving
        objects.
        """
        limit = np.float32(gate * math.sqrt(self.smooth + self.pixel))
        mean = self._cell_means(np.clip(error, -limit, limit), good, self._smooth)
        columns, rows = self._cells
        across, down = columns / flow.width, rows / flow.height
        cv2.resize(flow.there, self._cells, dst=self._places, interpolation=cv2.INTER_NEAREST)
        to_cells = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]], np.float32)
        cv2.transform(self._places, to_cells, dst=self._places)
        trend, self._carried = self._carried, self._trend
        cv2.remap(self._carried, self._places, None, cv2.INTER_LINEAR, dst=trend)  # pyright: ignore[reportCallIssue]
        trend += np.float32(RECENT) * (mean - trend)
        self._trend = trend
        jitter_variance = self.smooth * RECENT / (2 - RECENT)
        np.multiply(trend, trend, out=self._excess_variance)
        self._typical += LEARNING * (median(self._excess_variance.ravel()) / USUAL_MEDIAN - self._typical)
        inconsistent = expected.inconsistent.astype(np.float32)
        cv2.resize(inconsistent, self._cells, dst=self._moving, interpolation=cv2.INTER_AREA)
        cv2.GaussianBlur(self._moving, (0, 0), INCONSISTENT_REACH, dst=self._moving)
        calm, moving = (
            PERSISTENT**2 * max(jitter_variance, self._typical),
            PERSISTENT_MOVING**2 * jitter_variance,
        )
        self._excess_variance /= np.where(
            self._moving > INCONSISTENT_PART, np.float32(moving), np.float32(calm)
        )
        self._excess_variance -= 1
        np.clip(self._excess_variance, 0, 1, out=self._excess_variance)
        self._excess_variance *= np.float32(MAX_EXCESS)
        return self._excess_variance

    def _learn(self, scale: float, smooth: np.ndarray, left: np.ndarray, variance: np.ndarray) -> None:
        """Update the variances with the frame's errors."""
        if not left.size:
            return
        usual = median(variance)
        self.usual_gain = usual / (1 + usual)
        self._frames += 1
        part = max(LEARNING, 1 / self._frames)
        # An innovation's variance is the sum of the measurement's and the prediction's.
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
