# SPDX-License-Identifier: Apache-2.0
"""Warns when stabilizer or scale have had no reliable input for a long time."""

from __future__ import annotations

import threading
import time
from typing import Any

from clip2depth_ros.images.frame import FrameFacts
from clip2depth_ros.images.origins import MotionSource
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

# Seconds without a reliable motion before a warning; a robot that turns at a white wall needs some.
MOTION_TIMEOUT = 5.0

# Seconds for which a warning about a source of scale is kept as a state.
WARNING_HOLDS = 15.0


class TrustWatch:
    """Reads every frame's facts on the worker thread; the executor restarts it and reads the summary.

    A lock makes each of the three methods one step, so that a restart is not undone by a frame under way.

    Args:
        notices: the throttled log, whose states the diagnostics show.
    """

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._lock = threading.Lock()
        self._started = self._moved = time.monotonic()
        self._warned = 0.0
        self.facts: FrameFacts | None = None

    def restart(self) -> None:
        """Start again after a pause: clear the states and restart the timeouts."""
        with self._lock:
            self.facts = None
            self._started = self._moved = time.monotonic()
            for key in ("metres", "motion", "scale", "aiding"):
                self._notices.clear(key)

    def see(self, facts: FrameFacts, settings: DepthSettings) -> None:
        """Check the facts of one frame."""
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
            self._notices.say("aiding", facts.warnings[0])
            for warning in facts.warnings[1:]:
                self._notices.count(f"aiding {warning.kind}", warning)
        elif now - self._warned > WARNING_HOLDS:
            self._notices.clear("aiding")

    def summary(self) -> dict[str, Any]:
        """For the diagnostics: the last frame's facts about motion, temporal consistency and scale."""
        with self._lock:
            facts = self.facts
        if facts is None:
            return {}
        told: dict[str, Any] = {"metres": facts.no_metres} if facts.no_metres else {}
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
        if now - self._moved <= MOTION_TIMEOUT:
            self._notices.clear("motion")
            return
        self._notices.say(
            "motion",
            f"Could not estimate camera motion for {MOTION_TIMEOUT:g} s (the image is dark, blurred or "
            "without texture, or all of it moves): depth is fused without ego-motion. Set odometry.topic, if "
            "there is odometry.",
        )

    def _see_scale(self, facts: FrameFacts, settings: DepthSettings, now: float) -> None:
        timeout = settings.scale.timeout
        # NaN: no source was accepted since the start.
        silent = facts.scale_age if facts.scale_age == facts.scale_age else now - self._started
        if settings.scale.freeze or silent <= timeout or not settings.has_scale_source:
            self._notices.clear("scale")
            return
        self._notices.say(
            "scale",
            f"No source of scale was accepted for {timeout:g} s (scale.height needs the floor in view, "
            "odometry a robot that drives, ranges returns in view): the factor is held, and its uncertainty "
            "grows.",
        )
