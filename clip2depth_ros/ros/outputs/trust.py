# SPDX-License-Identifier: Apache-2.0
"""Whether stabilizer and scale have something to go by, frame by frame; said when they have not, for long."""

from __future__ import annotations

import threading
import time
from typing import Any

from clip2depth_ros.images.frame import FrameFacts
from clip2depth_ros.images.origins import MotionSource
from clip2depth_ros.ros.nodes.stages import has_scale_source
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

# Seconds without a trustworthy motion until it is said: a robot may turn at a white wall meanwhile.
MOTION_PATIENCE = 5.0

# Seconds for which a warning of the scale's sources counts as their state.
WARNING_HOLDS = 15.0


class TrustWatch:
    """Reads every frame's facts, on the working thread; the executor's restarts it and asks for the summary.

    Args:
        notices: where it is said, and through which diagnostics know.
    """

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._lock = threading.Lock()
        self._started = self._moved = time.monotonic()
        self._warned = 0.0
        self.facts: FrameFacts | None = None

    def restart(self) -> None:
        """Begin anew, after a pause: nothing holds, and nothing is late yet."""
        with self._lock:
            self.facts = None
            self._started = self._moved = time.monotonic()
            for key in ("metres", "motion", "scale", "hints"):
                self._notices.clear(key)

    def see(self, facts: FrameFacts, settings: DepthSettings) -> None:
        """Take notice of one frame."""
        with self._lock:
            self._see(facts, settings)

    def _see(self, facts: FrameFacts, settings: DepthSettings) -> None:
        now = time.monotonic()
        self.facts = facts
        if facts.no_metres:
            self._notices.say("metres", f"Nothing is published: {facts.no_metres}")
        else:
            self._notices.clear("metres")
        self._see_motion(facts, now)
        self._see_scale(facts, settings, now)
        if facts.warnings:
            self._warned = now
            self._notices.say("hints", facts.warnings[0])
            for warning in facts.warnings[1:]:
                self._notices.count(f"hint {warning.kind}", warning)
        elif now - self._warned > WARNING_HOLDS:
            self._notices.clear("hints")

    def summary(self) -> dict[str, Any]:
        """For the diagnostics: the last frame's facts of steadiness and scale."""
        facts = self.facts
        if facts is None:
            return {}
        told = {"metres": facts.no_metres} if facts.no_metres else {}
        if facts.scale_shift == facts.scale_shift:
            told["scale shift (1/m)"] = facts.scale_shift
        return told | {
            "motion by": facts.motion or "stabilizer off",
            "temporal error": facts.temporal_error,
            "scale": facts.scale,
            "scale by": facts.scale_source or "nothing",
            "scale deviation": facts.scale_deviation,
        }

    def _see_motion(self, facts: FrameFacts, now: float) -> None:
        if facts.motion != MotionSource.NONE or facts.reset:
            self._moved = now
        if now - self._moved <= MOTION_PATIENCE:
            self._notices.clear("motion")
            return
        self._notices.say(
            "motion",
            f"The camera's motion was not to be found for {MOTION_PATIENCE:g} s (a dark, blurred or empty "
            "picture, or all of it moves), so depth is held in place only; odometry.topic would tell it.",
        )

    def _see_scale(self, facts: FrameFacts, settings: DepthSettings, now: float) -> None:
        timeout = settings.scale.timeout
        # NaN: no source has spoken at all, for as long as this node has worked.
        silent = facts.scale_age if facts.scale_age == facts.scale_age else now - self._started
        # the last one is asked last: it is the one that costs something, in every frame
        if settings.scale.freeze or silent <= timeout or not has_scale_source(settings):
            self._notices.clear("scale")
            return
        self._notices.say(
            "scale",
            f"No source of scale has spoken for {timeout:g} s (scale.height needs the floor in view, "
            "odometry a robot that drives, ranges returns in view): the factor is held and grows doubtful.",
        )
