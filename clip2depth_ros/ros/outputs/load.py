# SPDX-License-Identifier: Apache-2.0
"""A budget of processor time: the image rate is reduced where the process would exceed it."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

# Seconds over which processor time is measured; longer where the rate gives fewer than IMAGES images in it.
PERIOD = 1.0
IMAGES = 3

# The rate changes by these factors at most from one period to the next.
LEAST_STEP, MOST_STEP = 0.25, 1.25

# Hz. The rate is never lower, even where the process exceeds the budget without any image.
LOWEST_RATE = 0.2

# While the fastest camera uses less than this part of the allowed rate, the rate is not limited.
BINDING = 0.8


class LoadBudget:
    """The images a second that each camera may use, from the processor time of the process.

    All cameras of a process share one: processor time cannot be measured by camera, and is divided evenly.
    Thread-safe.

    spent: returns the processor time of the process so far, all of its threads, in seconds.
    """

    def __init__(self, spent: Callable[[], float] = time.process_time) -> None:
        self._spent = spent
        self._lock = threading.Lock()
        self._most: dict[str, float] = {}
        self._taken: Counter[str] = Counter()
        self._last = (-math.inf, 0.0)
        self.used = math.nan
        """Processor time of the process in the last period, in cores; NaN: not measured yet."""
        self.rate = 0.0
        """Rate that the budget allows each camera, Hz; 0: no limit."""

    def count(self, camera: str) -> None:
        """Count one image of this camera that was processed."""
        with self._lock:
            self._taken[camera] += 1

    def allowed(self, camera: str, most: float, now: float) -> float:
        """The rate that this camera may use from now on, Hz; 0: no limit.

        most: the camera's budget, in seconds of processor time per second (cores); 0: none. The smallest of
        the cameras' budgets is used. now: seconds, monotonic.
        """
        with self._lock:
            self._most[camera] = most
            self._measure(now)
            return self.rate if most > 0 else 0.0

    def facts(self, limit: float) -> dict[str, Any]:
        """For a camera's diagnostics. limit: the rate that the budget allows it, Hz; 0: no limit."""
        return {
            "processor time of the process (cores)": self.used,
            "rate limit by load (Hz)": limit or "none",
        }

    def _measure(self, now: float) -> None:
        since, spent = self._last
        period = max(PERIOD, IMAGES / self.rate) if self.rate else PERIOD
        if now - since < period:
            return
        self._last = (now, self._spent())
        taken, self._taken = self._taken, Counter()
        most = min((value for value in self._most.values() if value > 0), default=0.0)
        self._most.clear()  # without cameras that no longer exist
        if now - since > 2 * period:  # the cameras paused: the period is not representative
            return
        self.used = (self._last[1] - spent) / (now - since)
        if most <= 0:
            self.rate = 0.0
        elif taken:
            rates = [count / (now - since) for count in taken.values()]
            self._steer(most / max(self.used, 1e-6), max(rates), sum(rates) / len(rates))

    def _steer(self, factor: float, fastest: float, mean: float) -> None:
        """factor: the budget over the time used. fastest, mean: of the cameras' rates, Hz."""
        if factor >= 1 and fastest < BINDING * self.rate:
            self.rate = 0.0
        elif self.rate:
            target = self.rate * min(max(factor, LEAST_STEP), MOST_STEP)
            self.rate = max(LOWEST_RATE, (self.rate + target) / 2)
        elif factor < 1:
            self.rate = max(LOWEST_RATE, mean * max(factor, LEAST_STEP))
