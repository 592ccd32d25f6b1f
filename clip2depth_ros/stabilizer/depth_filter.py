# SPDX-License-Identifier: Apache-2.0
"""The recursive filter: combines the predicted and the measured depth of each pixel, in log depth."""

from __future__ import annotations

import math

import cv2
import numpy as np

from clip2depth_ros.settings import StabilizerSettings
from clip2depth_ros.stabilizer.flow import Flow
from clip2depth_ros.stabilizer.frame_error import FrameErrorFinder
from clip2depth_ros.stabilizer.prediction import UNKNOWN, Prediction

MAX_INNOVATION = 15.0
"""Log depth; a larger innovation comes from an infinite or negative number."""
NO_PAST = UNKNOWN / 1000
"""A variance above this means that the past has almost no weight."""
JUMPED = 2.5
"""Standard deviations of the recent frames' mean scale error above which the predicted scale is uncertain."""
RECENT = 0.2
"""Weight of one frame in that mean."""


class DepthFilter:
    """A Kalman filter for each pixel, with error components that the pixels of a frame share.

    A pixel's variance is in units of one measurement's variance: 1 means "measured once", 1/n "n times". A
    measurement's error has three components: the scale of its frame, a smooth field over its frame, and the
    pixel's own. The first two are estimated against the predicted depth and subtracted before the gate, so
    that a pixel that really changed is detected and takes over its new depth without the frame's scale
    jitter.

    After start() or update(): `depth` and `deviation` (h, w) float32, meters and relative standard
    deviation, NaN = unknown; `kept_depth` and `kept_variance`, the state for the next frame, finite
    everywhere; `scale_jitter`, the frame's scale over the predicted one, and `temporal_error`, median |log
    depth - log predicted depth|, both NaN without a past.
    """

    def __init__(self, width: int, height: int) -> None:
        shape = (height, width)
        self.depth, self.deviation = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.kept_depth, self.kept_variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self._field, self._innovation = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self._update = np.empty(shape, np.float32)
        self._known, self._alone = np.empty(shape, bool), np.empty(shape, bool)
        self._errors = FrameErrorFinder(width, height)
        self._scale_variance = 1.0
        self._recent_scale = 0.0
        self.scale_jitter = self.temporal_error = math.nan

    def start(self, measured: np.ndarray, settings: StabilizerSettings) -> None:
        """Start from a measurement, (h, w) float32 meters, NaN = unknown, without a past."""
        self._errors.start(settings.noise)
        self._scale_variance, self._recent_scale = 1.0, 0.0
        self.scale_jitter = self.temporal_error = math.nan
        known = self._known
        np.greater(measured, 0, out=known)
        known &= np.isfinite(measured)
        self.kept_depth.fill(1.0)
        np.copyto(self.kept_depth, measured, where=known)
        self.kept_variance.fill(UNKNOWN)
        np.copyto(self.kept_variance, 1.0, where=known)
        self._publish()

    def update(
        self,
        expected: Prediction,
        measured: np.ndarray,
        flow: Flow,
        seconds: float,
        advance_std_dev: float,
        settings: StabilizerSettings,
    ) -> None:
        """Combine a measurement, (h, w) float32 meters, NaN = unknown, with the prediction.

        flow: of this frame. seconds: since the previous one. advance_std_dev: relative standard deviation
        that the camera's motion adds to the whole frame's depth. The arrays of `expected` are overwritten.
        """
        variance, kept, gain = expected.variance, expected.depth, self.kept_variance
        variance += np.float32(_growth(seconds, settings.memory))
        scale, smooth, excess_variance = self._errors.find(measured, expected, flow, settings.gate)
        field, innovation = self._field, self._innovation
        size = (field.shape[1], field.shape[0])
        cv2.resize(excess_variance, size, dst=field, interpolation=cv2.INTER_LINEAR)
        np.maximum(variance, field, out=variance)
        scale_gain = self._weigh_scale(scale, seconds, advance_std_dev, settings)
        accepted = np.float32(scale_gain * scale)
        self.scale_jitter = math.exp(scale) if self._errors.found else math.nan

        np.add(variance, 1, out=gain)
        np.divide(variance, gain, out=gain)
        cv2.resize(smooth, size, dst=field, interpolation=cv2.INTER_LINEAR)
        np.divide(measured, kept, out=innovation)
        np.log(innovation, out=innovation)
        # The accepted part of the smooth error; a pixel without a past uses the median gain.
        update = np.multiply(field, gain, out=self._update)
        np.greater(variance, NO_PAST, out=self._alone)
        np.multiply(field, np.float32(self._errors.usual_gain), out=update, where=self._alone)
        field += np.float32(scale)
        innovation -= field
        np.abs(innovation, out=field)
        np.less(field, MAX_INNOVATION, out=self._known)
        # Beyond the gate the weight of the past decreases with the distance: a quarter at twice the gate.
        limit = settings.gate * math.sqrt(self._errors.pixel)
        needed = np.divide(np.float32(limit), field, out=field)
        np.minimum(needed, 1, out=needed)
        np.multiply(needed, needed, out=needed)
        np.subtract(1, needed, out=needed)
        np.maximum(gain, needed, out=gain)
        innovation *= gain
        update += innovation
        update += accepted
        # Without a measurement the prediction is kept, with a growing variance.
        unknown = np.logical_not(self._known, out=self._alone)
        np.copyto(update, accepted, where=unknown)
        np.copyto(gain, variance, where=unknown)
        self.temporal_error = self._errors.typical(update, unknown)
        np.exp(update, out=update)
        np.multiply(kept, update, out=self.kept_depth)
        self._publish()

    def _weigh_scale(
        self, scale: float, seconds: float, advance_std_dev: float, settings: StabilizerSettings
    ) -> float:
        """The gain for the frame's scale error, 0..1."""
        noise = self._errors.scale
        self._scale_variance += _growth(seconds, settings.scale_memory) + advance_std_dev**2 / noise
        # A mean of the errors that differs from zero means that the predicted scale is wrong.
        self._recent_scale += RECENT * (scale - self._recent_scale)
        excess_variance = self._recent_scale**2 - JUMPED**2 * noise * RECENT / (2 - RECENT)
        if excess_variance > 0:
            self._scale_variance = max(self._scale_variance, excess_variance / noise)
        gain = self._scale_variance / (1 + self._scale_variance)
        self._scale_variance = gain
        # The accepted part is no longer an error of the prediction.
        self._recent_scale -= gain * scale
        return gain

    def _publish(self) -> None:
        """Fill depth and deviation from the state."""
        errors = self._errors
        unknown = np.logical_not(self._known, out=self._alone)
        np.copyto(self.depth, self.kept_depth)
        np.multiply(self.kept_variance, np.float32(errors.smooth + errors.pixel), out=self.deviation)
        self.deviation += np.float32(self._scale_variance * errors.scale)
        np.sqrt(self.deviation, out=self.deviation)
        np.copyto(self.depth, np.nan, where=unknown)
        np.copyto(self.deviation, np.nan, where=unknown)


def _growth(seconds: float, memory: float) -> float:
    """Growth of a variance in one frame for which the gain converges to seconds / memory."""
    gain = min(0.99, seconds / memory) if memory > 0 else 0.99
    return gain * gain / (1 - gain)
