# SPDX-License-Identifier: Apache-2.0
"""/diagnostics: once a second, the state of the node and its reason."""

from __future__ import annotations

import math
import statistics
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from clip2depth_ros.ros.inputs.camera_input import CameraInput
from clip2depth_ros.ros.nodes.mailbox import Counts

# Seconds. With a larger latency, stamps and the node's clock are not synchronized.
CLOCK_STEP = 10.0


class FrameRates:
    """Rates and latencies since the last call of `read`; frames come from the worker thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: list[float] = []
        self._last = Counts()
        self._time = time.monotonic()

    def add(self, latency: float) -> None:
        """One frame was published, `latency` seconds after its stamp (NaN: unknown)."""
        with self._lock:
            self._latencies.append(latency)

    def read(self, counts: Counts) -> dict[str, float]:
        """Begin a new period and return the figures of the last one.

        Rates in Hz: in, out, dropped, bad. Median and maximum in s: latency, latency_max (NaN: none).
        """
        with self._lock:
            latencies, self._latencies = [value for value in self._latencies if not math.isnan(value)], []
        now = time.monotonic()
        period, self._time = max(now - self._time, 1e-3), now
        last, self._last = self._last, counts
        return {
            "in": (counts.received - last.received) / period,
            "out": (counts.processed - last.processed) / period,
            "dropped": (counts.dropped - last.dropped) / period,
            "bad": (counts.bad - last.bad) / period,
            "latency": statistics.median(latencies) if latencies else math.nan,
            "latency_max": max(latencies) if latencies else math.nan,
        }


def level_and_reason(
    *,
    active: bool,
    listened_to: bool,
    rates: dict[str, float],
    states: dict[str, str],
    waiting_for: str = "",
    limit: float = 0.0,
) -> tuple[bytes, str]:
    """The level and its reason.

    states: the current states of the throttled log, by key. waiting_for: the step of opening the engine; ""
    when the engine is open. limit: images a second that load.max_cpu allows; 0: all.
    """
    if waiting_for:
        return DiagnosticStatus.WARN, f"No depth yet, the engine is being opened: {waiting_for}"
    if not active:
        return DiagnosticStatus.OK, "Inactive"
    for key in ("silence", "camera_info"):
        if key in states and (key == "silence" or rates["out"] == 0.0):
            return DiagnosticStatus.ERROR, states[key]
    if rates["bad"] > 0 and rates["out"] == 0.0:
        return DiagnosticStatus.ERROR, "Images arrive, but none can be used; see the log"
    if abs(rates["latency"]) > CLOCK_STEP or rates["latency"] < -0.1:
        return DiagnosticStatus.WARN, (
            f"Images are stamped {rates['latency']:.1f} s before the node's clock: the clocks are not "
            "synchronized, or a recording is played without use_sim_time"
        )
    if rates["bad"] > 0:
        return DiagnosticStatus.WARN, f"{rates['bad']:.1f} unusable images a second; see the log"
    if states:
        return DiagnosticStatus.WARN, next(iter(states.values()))
    if not listened_to:
        return DiagnosticStatus.OK, "No subscribers, so nothing is computed"
    if rates["out"] == 0:
        return DiagnosticStatus.OK, "Waiting for images"
    held_back = f", at most {limit:.1f} images a second: load.max_cpu is reached" if limit else ""
    return DiagnosticStatus.OK, f"Depth is published{held_back}"


def camera_facts(source: CameraInput, rates: dict[str, float]) -> dict[str, Any]:
    """The camera and its images, for the diagnostics."""
    counts, info = source.mailbox.counts, source.mailbox.info
    camera = "" if not source.is_open else "none yet" if info is None else f"{info.width}x{info.height}"
    return {
        "image topic": source.image_topic,
        "camera_info topic": source.info_topic,
        "camera": camera,
        "rate in (Hz)": rates["in"],
        "rate out (Hz)": rates["out"],
        "latency median (s)": rates["latency"],
        "latency maximum (s)": rates["latency_max"],
        "images received": counts.received,
        "frames processed": counts.processed,
        "frames dropped": counts.dropped,
        "bad images": counts.bad,
        "images lost on the way": source.lost,
    }


def diagnostic_array(
    stamp: Any, name: str, hardware: str, level: bytes, message: str, facts: dict[str, Any]
) -> Any:
    """A DiagnosticArray with one status; floats are written with three digits."""
    values = [
        KeyValue(key=key, value=f"{value:.3f}" if isinstance(value, float) else str(value))
        for key, value in facts.items()
    ]
    status = DiagnosticStatus(level=level, name=name, hardware_id=hardware, message=message, values=values)
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array
