# SPDX-License-Identifier: Apache-2.0
"""The recursive filter: what was expected and what was measured, weighed against each other in log depth."""

from __future__ import annotations

import math

import cv2
import numpy as np

from clip2depth_ros.settings import StabilizerSettings
from clip2depth_ros.stabilizer.flow import Flow
from clip2depth_ros.stabilizer.frame_error import FrameErrorFinder
from clip2depth_ros.stabilizer.prediction import UNKNOWN, Prediction

FAR_OFF = 15.0
"""Log depth; an innovation beyond it is no measurement but an infinite or negative number."""
ON_ITS_OWN = UNKNOWN / 1000
"""A variance above this means that next to nothing is left of the past."""
JUMPED = 2.5
"""Standard deviations of the recent frames' mean scale error from which the expected scale is in doubt."""
RECENT = 0.2
"""Part of one frame in that mean."""


class DepthFilter:
    """A Kalman filter for every pixel, with errors in common.

    A pixel's variance is kept in units of one measurement's, so that 1 means "measured once" and 1/n "n
    times". A measurement's error has three parts: the scale of its frame, a smooth field over its frame, and
    the pixel's own. The first two are found against the expected depth and taken off before a pixel is
    judged, so that one that changed stands out, and takes its new depth over without its frame's flicker.

    After start() or update(): `depth` and `deviation` (h, w) float32, metres and relative standard
    deviation, NaN = unknown; `kept_depth` and `kept_variance`, what to carry into the next frame, finite
    everywhere; `flicker`, the frame's scale over the expected one, and `temporal_error`, median |log depth -
    log expected depth|, both NaN without a past.
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
        self.flicker = self.temporal_error = math.nan

    def start(self, measured: np.ndarray, settings: StabilizerSettings) -> None:
        """Take over a measurement, (h, w) float32 metres, NaN = unknown, without a past."""
        self._errors.start(settings.noise)
        self._scale_variance, self._recent_scale = 1.0, 0.0
        self.flicker = self.temporal_error = math.nan
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
        unsure: float,
        settings: StabilizerSettings,
    ) -> None:
        """Weigh a measurement, (h, w) float32 metres, NaN = unknown, against what was expected.

        flow: of this frame. seconds: since the previous one. unsure: relative standard deviation that the
        camera's motion adds to the whole frame's depth. The arrays of `expected` are overwritten.
        """
        variance, kept, gain = expected.variance, expected.depth, self.kept_variance
        variance += np.float32(_growth(seconds, settings.memory))
        scale, smooth, doubt = self._errors.find(measured, expected, flow, settings.gate)
        field, innovation = self._field, self._innovation
        size = (field.shape[1], field.shape[0])
        cv2.resize(doubt, size, dst=field, interpolation=cv2.INTER_LINEAR)
        np.maximum(variance, field, out=variance)
        scale_gain = self._weigh_scale(scale, seconds, unsure, settings)
        believed = np.float32(scale_gain * scale)
        self.flicker = math.exp(scale) if self._errors.found else math.nan

        np.add(variance, 1, out=gain)
        np.divide(variance, gain, out=gain)
        cv2.resize(smooth, size, dst=field, interpolation=cv2.INTER_LINEAR)
        np.divide(measured, kept, out=innovation)
        np.log(innovation, out=innovation)
        # The part of the smooth error that is believed: of a pixel without a past as of the others.
        update = np.multiply(field, gain, out=self._update)
        np.greater(variance, ON_ITS_OWN, out=self._alone)
        np.multiply(field, np.float32(self._errors.usual_gain), out=update, where=self._alone)
        field += np.float32(scale)
        innovation -= field
        np.abs(innovation, out=field)
        np.less(field, FAR_OFF, out=self._known)
        # Beyond the gate the past counts the less the farther off it is: at twice the gate, a quarter.
        limit = settings.gate * math.sqrt(self._errors.pixel)
        needed = np.divide(np.float32(limit), field, out=field)
        np.minimum(needed, 1, out=needed)
        np.multiply(needed, needed, out=needed)
        np.subtract(1, needed, out=needed)
        np.maximum(gain, needed, out=gain)
        innovation *= gain
        update += innovation
        update += believed
        # Where nothing is measured what was expected waits, less sure with time.
        unknown = np.logical_not(self._known, out=self._alone)
        np.copyto(update, believed, where=unknown)
        np.copyto(gain, variance, where=unknown)
        self.temporal_error = self._errors.typical(update, unknown)
        np.exp(update, out=update)
        np.multiply(kept, update, out=self.kept_depth)
        self._publish()

    def _weigh_scale(
        self, scale: float, seconds: float, unsure: float, settings: StabilizerSettings
    ) -> float:
        """The part of the frame's scale error that is believed."""
        noise = self._errors.scale
        self._scale_variance += _growth(seconds, settings.scale_memory) + unsure**2 / noise
        # Errors that all go one way are not the frames' but the past's.
        self._recent_scale += RECENT * (scale - self._recent_scale)
        doubt = self._recent_scale**2 - JUMPED**2 * noise * RECENT / (2 - RECENT)
        if doubt > 0:
            self._scale_variance = max(self._scale_variance, doubt / noise)
        gain = self._scale_variance / (1 + self._scale_variance)
        self._scale_variance = gain
        # What is believed is no error of the past any more.
        self._recent_scale -= gain * scale
        return gain

    def _publish(self) -> None:
        """Fill depth and deviation from what is kept."""
        errors = self._errors
        unknown = np.logical_not(self._known, out=self._alone)
        np.copyto(self.depth, self.kept_depth)
        np.multiply(self.kept_variance, np.float32(errors.smooth + errors.pixel), out=self.deviation)
        self.deviation += np.float32(self._scale_variance * errors.scale)
        np.sqrt(self.deviation, out=self.deviation)
        np.copyto(self.depth, np.nan, where=unknown)
        np.copyto(self.deviation, np.nan, where=unknown)


def _growth(seconds: float, memory: float) -> float:
    """Growth of a variance in one frame with which the gain settles at seconds / memory."""
    gain = min(0.99, seconds / memory) if memory > 0 else 0.99
    return gain * gain / (1 - gain)
