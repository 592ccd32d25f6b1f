# SPDX-License-Identifier: Apache-2.0
"""One estimate of the scale from whichever sources speak, and the factor that follows it without a jump."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clip2depth_ros.images.origins import ScaleOrigin
from clip2depth_ros.scale.source import Evidence

UNKNOWN = 1.0
"""Deviation of the log scale before anybody has spoken: a factor of e either way."""
WANDER = 0.1
"""How far the true log scale wanders in the long run: what is once known of a camera holds about."""
GATE = 3.0
"""Deviations from which evidence contradicts the estimate."""
ONE_VOICE = 0.15
"""Spread of a source's refused evidence below which it says one thing and not noise."""
SAID_ONCE = 1.0
"""Seconds for which a contradiction may be a single outlier, of which nothing is said."""
STATEMENT = 2.0
"""Seconds over which a source's evidence becomes its statement."""
UNREST = 4.0
"""Seconds over which it is measured how much a source's accepted evidence scatters."""
RECENT = 10.0
"""Seconds for which a statement counts as what the source says now."""
LEAST_DIFFERENCE = 0.1
"""Relative difference of two sources that is no disagreement, whatever they say of their deviations."""


@dataclass(slots=True)
class _Voice:
    """What one source has said."""

    time: float
    """Of the last evidence, seconds."""
    log_scale: float
    """Its evidence, averaged over the last seconds."""
    deviation: float
    doubt: float
    unrest: float = 0.0
    """Variance of its accepted evidence about the estimate: where the factor changes with the view, there is
    no single one to be found, and no number of frames makes it surer."""
    accepted: float = -math.inf
    """When its evidence was last taken, seconds."""
    against: float | None = None
    """Since when every evidence of it was refused, seconds."""
    refused: float = 0.0
    """Average of what was refused since then."""
    spread: float = 0.0
    """Average distance from it."""


class ScaleFilter:
    """A Kalman filter of one number, the log scale, with a gate, and memory for who said what.

    drift: deviation that the log scale gains in a second, growing with the square root of time.
    log_scale, deviation: the estimate, and how sure it is.
    source: which source was accepted last. age: seconds since then, NaN for never.
    """

    def __init__(self, drift: float, log_scale: float = 0.0, deviation: float = UNKNOWN) -> None:
        self.drift = drift
        self.log_scale = log_scale
        self._variance = deviation**2
        self._lasting = 0.0
        self.source = ScaleOrigin.NONE
        self._time: float | None = None
        self._believed = math.nan
        self._voices: dict[ScaleOrigin, _Voice] = {}
        self.complaint = ""

    @property
    def deviation(self) -> float:
        """Of log_scale. In one place a source errs alike in all frames: all are no surer than one."""
        return math.sqrt(max(self._variance, self._lasting))

    @property
    def age(self) -> float:
        return math.nan if self._time is None else self._time - self._believed

    def predict(self, time: float) -> None:
        """Let time pass, seconds; a clock that goes back or leaps is no time."""
        if self._time is not None:
            passed = time - self._time
            if passed < 0:
                self._voices.clear()
                self._believed = time
            else:
                wandered = self._variance + self.drift**2 * passed
                self._variance = max(self._variance, min(wandered, WANDER**2))
        self._time = time

    def start(self, source: ScaleOrigin, log_scale: float, deviation: float) -> None:
        """Begin with what is known from before."""
        self.source, self.log_scale, self._variance = source, log_scale, deviation**2

    def loosen(self, deviation: float) -> None:
        """Believe the estimate no more than that: something that it rests on has changed."""
        self._variance = max(self._variance, deviation**2)
        self._voices.clear()

    def update(self, source: ScaleOrigin, evidence: Evidence, memory: float, patience: float) -> bool:
        """Take evidence of this moment, if it fits; True when it was taken.

        memory, patience: of the source, seconds (see ScaleSource). `complaint` says why it was not taken, or
        that the sources disagree; "" when all is well.
        """
        voice, passed = self._listen(source, evidence)
        innovation = evidence.log_scale - self.log_scale
        fits = abs(innovation) <= GATE * math.sqrt(self._variance + evidence.deviation**2)
        if not fits:
            fits = self._insists(source, voice, evidence, patience)
            if fits:
                # It was right all along: as sure as it says now, and nobody else's past word counts.
                self._variance = max(self._variance, innovation**2)
        self.complaint = self._disagreement(source, voice, fits)
        if not fits:
            return False
        # Frames within the source's memory share its error: together they weigh as one evidence.
        variance = evidence.deviation**2 * max(1.0, memory / passed if passed > 0 else 1.0)
        gain = self._variance / (self._variance + variance)
        self.log_scale += gain * innovation
        self._variance *= 1 - gain
        if math.isfinite(voice.accepted):
            # What is left of it after the correction; the first says nothing about scatter.
            share = 1 - math.exp(-min(passed, UNREST) / UNREST)
            voice.unrest += share * (((1 - gain) * innovation) ** 2 - voice.unrest)
        voice.accepted, voice.against = self._time, None
        recent = (v for v in self._voices.values() if self._time - v.accepted <= RECENT)
        self._lasting = 1 / math.fsum(1 / (v.deviation**2 + v.doubt**2 + v.unrest) for v in recent)
        self.source, self._believed = source, self._time
        return True

    def _listen(self, source: ScaleOrigin, evidence: Evidence) -> tuple[_Voice, float]:
        """The source's voice with this evidence in it, and the time since its last, 0 for the first."""
        voice = self._voices.get(source)
        if voice is None or not 0 < self._time - voice.time <= RECENT:
            self._voices[source] = voice = _Voice(
                self._time, evidence.log_scale, evidence.deviation, evidence.doubt
            )
            return voice, 0.0
        passed = self._time - voice.time
        share = 1 - math.exp(-passed / STATEMENT)
        voice.log_scale += share * (evidence.log_scale - voice.log_scale)
        voice.deviation += share * (evidence.deviation - voice.deviation)
        voice.doubt = evidence.doubt
        voice.time = self._time
        return voice, passed

    def _insists(self, source: ScaleOrigin, voice: _Voice, evidence: Evidence, patience: float) -> bool:
        """True when the source has contradicted for long, with one voice, and no other source objects."""
        if voice.against is None:
            voice.against, voice.refused, voice.spread = self._time, evidence.log_scale, 0.0
            return False
        difference = evidence.log_scale - voice.refused
        voice.refused += 0.1 * difference
        voice.spread += 0.1 * (abs(difference) - voice.spread)
        if voice.spread > ONE_VOICE:
            voice.against = None
            return False
        others = (v.accepted for name, v in self._voices.items() if name != source)
        objected = any(self._time - accepted < patience for accepted in others)
        return not objected and self._time - voice.against >= patience

    def _disagreement(self, source: ScaleOrigin, voice: _Voice, fits: bool) -> str:
        for name, other in self._voices.items():
            if name == source or self._time - other.time > RECENT:
                continue
            limit = max(LEAST_DIFFERENCE, GATE * math.hypot(voice.deviation, other.deviation))
            if abs(voice.log_scale - other.log_scale) > limit:
                return (
                    f"The sources of scale disagree: {source} says {math.exp(voice.log_scale):.2f}, {name} "
                    f"says {math.exp(other.log_scale):.2f}, {math.exp(self.log_scale):.2f} is held; check "
                    "the camera's height, the mounting poses, the wheels' size."
                )
        if fits or voice.against is None or self._time - voice.against < SAID_ONCE:
            return ""
        return (
            f"{source.capitalize()} says scale {math.exp(voice.log_scale):.2f} where "
            f"{math.exp(self.log_scale):.2f} is held; refused until it says so for long."
        )


class Follower:
    """The published factor: it follows the estimate by a limited part a frame.

    step: largest relative change.
    """

    def __init__(self, step: float) -> None:
        self.step = step
        self.log_scale: float | None = None

    def follow(self, log_scale: float) -> float:
        """The factor of this frame on its way to exp(log_scale); the first goes there at once."""
        if self.log_scale is None:
            self.log_scale = log_scale
        else:
            # A hair less than the step, so that rounding does not exceed it.
            up, down = math.log1p(self.step) - 1e-9, math.log1p(-self.step) + 1e-9
            self.log_scale += min(up, max(down, log_scale - self.log_scale))
        return math.exp(self.log_scale)
