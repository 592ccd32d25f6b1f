# SPDX-License-Identifier: Apache-2.0
"""A filter that combines the evidence of all sources, and the published factor that follows it smoothly."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clip2depth_ros.images.origins import ScaleOrigin
from clip2depth_ros.scale.source import Evidence

INITIAL_STD_DEV = 1.0
"""Standard deviation of the log scale before the first evidence: a factor of e up or down."""
WANDER = 0.1
"""Limit of the standard deviation that the log scale gains by drift:
a known scale stays approximately valid."""
GATE = 3.0
"""Standard deviations from which evidence contradicts the estimate."""
CONSISTENT_SPREAD = 0.15
"""Spread of a source's rejected evidence below which the evidence is consistent."""
REPORT_SECONDS = 1.0
"""Seconds of contradiction before a warning: a shorter one may be a single outlier."""
AVERAGING_SECONDS = 2.0
"""Seconds over which a source's evidence is averaged."""
SCATTER_SECONDS = 4.0
"""Seconds over which the scatter of a source's accepted evidence is averaged."""
RECENT = 10.0
"""Seconds for which a source's average counts as current."""
LEAST_DIFFERENCE = 0.1
"""Relative difference up to which two sources agree, whatever their standard deviations are."""


@dataclass(slots=True)
class _SourceState:
    """The recent evidence of one source."""

    time: float
    """Of the last evidence, seconds."""
    log_scale: float
    """Average over the last seconds."""
    deviation: float
    shared_std_dev: float
    scatter: float = 0.0
    """Variance of its accepted evidence about the estimate. Where the factor changes with the view, this part
    of the variance does not decrease with the number of frames."""
    accepted: float = -math.inf
    """When its evidence was last accepted, seconds."""
    rejected_since: float | None = None
    """Since when all of its evidence was rejected, seconds."""
    rejected_mean: float = 0.0
    """Average of the evidence that was rejected since then."""
    rejected_spread: float = 0.0
    """Average distance from rejected_mean."""


class ScaleFilter:
    """A Kalman filter of the log scale, with a gate and the recent evidence of each source.

    drift: standard deviation that the log scale gains in a second; it grows with the square root of time.
    log_scale, deviation: the estimate and its standard deviation.
    source: of the last accepted evidence, "" for none yet. age: seconds since then, NaN for never.
    """

    def __init__(self, drift: float, log_scale: float = 0.0, deviation: float = INITIAL_STD_DEV) -> None:
        self.drift = drift
        self.log_scale = log_scale
        self._variance = deviation**2
        self._shared_variance = 0.0
        self.source = ScaleOrigin.NONE
        self._time: float | None = None
        self._accepted: float = math.nan
        self._states: dict[ScaleOrigin, _SourceState] = {}
        self.problem = ""

    @property
    def deviation(self) -> float:
        """Standard deviation of log_scale. A source's errors in one place are the same in all frames, so
        averaging over frames does not reduce them."""
        return math.sqrt(max(self._variance, self._shared_variance))

    @property
    def age(self) -> float:
        return math.nan if self._time is None else self._time - self._accepted

    def predict(self, time: float) -> None:
        """Advance to `time`, seconds. When time runs back, the sources' recent evidence is dropped."""
        if self._time is not None:
            passed = time - self._time
            if passed < 0:
                self._states.clear()
                self._accepted = time
            else:
                wandered = self._variance + self.drift**2 * passed
                self._variance = max(self._variance, min(wandered, WANDER**2))
        self._time = time

    def start(self, source: ScaleOrigin, log_scale: float, deviation: float) -> None:
        """Start from a stored estimate."""
        self.source, self.log_scale, self._variance = source, log_scale, deviation**2

    def loosen(self, deviation: float) -> None:
        """Raise the standard deviation of the estimate to at least `deviation`,
        after a change of its inputs."""
        self._variance = max(self._variance, deviation**2)
        self._states.clear()

    def update(self, source: ScaleOrigin, evidence: Evidence, memory: float, override_time: float) -> bool:
        """Update the estimate with evidence of this moment, if it passes the gate; True when accepted.

        memory, override_time: of the source, seconds (see ScaleSource). `problem` says why the evidence was
        rejected, or that the sources disagree; "" otherwise.
        """
        state, passed = self._record(source, evidence)
        innovation = evidence.log_scale - self.log_scale
        fits = abs(innovation) <= GATE * math.sqrt(self._variance + evidence.deviation**2)
        if not fits:
            fits = self._overrides(source, state, evidence, override_time)
            if fits:
                # The source overrides the estimate, so the estimate's variance must cover the difference.
                self._variance = max(self._variance, innovation**2)
        self.problem = self._disagreement(source, state, fits)
        if not fits:
            return False
        # Frames within the source's memory share its error: together they count as one observation.
        variance = evidence.deviation**2 * max(1.0, memory / passed if passed > 0 else 1.0)
        gain = self._variance / (self._variance + variance)
        self.log_scale += gain * innovation
        self._variance *= 1 - gain
        if math.isfinite(state.accepted):
            # The residual after the correction. The first evidence gives no scatter.
            share = 1 - math.exp(-min(passed, SCATTER_SECONDS) / SCATTER_SECONDS)
            state.scatter += share * (((1 - gain) * innovation) ** 2 - state.scatter)
        state.accepted, state.rejected_since = self._time, None  # pyright: ignore[reportAttributeAccessIssue]
        recent = (v for v in self._states.values() if self._time - v.accepted <= RECENT)
        self._shared_variance = 1 / math.fsum(
            1 / (v.deviation**2 + v.shared_std_dev**2 + v.scatter) for v in recent
        )
        self.source, self._accepted = source, self._time  # pyright: ignore[reportAttributeAccessIssue]
        return True

    def _record(self, source: ScaleOrigin, evidence: Evidence) -> tuple[_SourceState, float]:
        """The source's state with this evidence added,
        and the seconds since its last one, 0 for the first."""
        state = self._states.get(source)
        if state is None or not 0 < self._time - state.time <= RECENT:
            self._states[source] = state = _SourceState(
                self._time, evidence.log_scale, evidence.deviation, evidence.shared_std_dev
            )
            return state, 0.0
        passed = self._time - state.time
        share = 1 - math.exp(-passed / AVERAGING_SECONDS)
        state.log_scale += share * (evidence.log_scale - state.log_scale)
        state.deviation += share * (evidence.deviation - state.deviation)
        state.shared_std_dev = evidence.shared_std_dev
        state.time = self._time  # pyright: ignore[reportAttributeAccessIssue]
        return state, passed

    def _overrides(
        self, source: ScaleOrigin, state: _SourceState, evidence: Evidence, override_time: float
    ) -> bool:
        """True when the source contradicted the estimate consistently for override_time, and no other source
        supported the estimate in that time."""
        if state.rejected_since is None:
            state.rejected_since, state.rejected_mean, state.rejected_spread = (
                self._time,
                evidence.log_scale,
                0.0,
            )
            return False
        difference = evidence.log_scale - state.rejected_mean
        state.rejected_mean += 0.1 * difference
        state.rejected_spread += 0.1 * (abs(difference) - state.rejected_spread)
        if state.rejected_spread > CONSISTENT_SPREAD:
            state.rejected_since = None
            return False
        others = (v.accepted for name, v in self._states.items() if name != source)
        is_opposed = any(self._time - accepted < override_time for accepted in others)
        return not is_opposed and self._time - state.rejected_since >= override_time

    def _disagreement(self, source: ScaleOrigin, state: _SourceState, fits: bool) -> str:
        for name, other in self._states.items():
            if name == source or self._time - other.time > RECENT:
                continue
            limit = max(LEAST_DIFFERENCE, GATE * math.hypot(state.deviation, other.deviation))
            if abs(state.log_scale - other.log_scale) > limit:
                return (
                    f"The sources of scale disagree: {source} gives {math.exp(state.log_scale):.2f}, {name} "
                    f"gives {math.exp(other.log_scale):.2f}, {math.exp(self.log_scale):.2f} is used; check "
                    "the camera's height, the mounting poses and the wheel size."
                )
        if fits or state.rejected_since is None or self._time - state.rejected_since < REPORT_SECONDS:
            return ""
        return (
            f"{source.capitalize()} gives scale {math.exp(state.log_scale):.2f}, but "
            f"{math.exp(self.log_scale):.2f} is used; rejected unless it stays consistent."
        )


class Follower:
    """The published factor: it follows the estimate by a limited step a frame.

    step: largest relative change.
    """

    def __init__(self, step: float) -> None:
        self.step = step
        self.log_scale: float | None = None

    def follow(self, log_scale: float) -> float:
        """The factor of this frame, at most one step nearer to exp(log_scale); the first call sets it."""
        if self.log_scale is None:
            self.log_scale = log_scale
        else:
            # Slightly less than the step, so that rounding does not exceed it.
            up, down = math.log1p(self.step) - 1e-9, math.log1p(-self.step) + 1e-9
            self.log_scale += min(up, max(down, log_scale - self.log_scale))
        return math.exp(self.log_scale)
