# SPDX-License-Identifier: Apache-2.0
"""A budget of processor time: fewer images become depth where the process would take more."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

# Seconds over which processor time is measured; longer where a camera may take less than so many images.
PERIOD = 1.0
IMAGES = 3

# The rate changes by these factors at most from one period to the next.
LEAST_STEP, MOST_STEP = 0.25, 1.25

# Hz. What the process needs besides images may be more than the budget; depth then still comes now and then.
LOWEST_RATE = 0.2

# While the fastest camera takes less than this part of what the limit lets through, nobody is held back.
BINDING = 0.8


class LoadBudget:
    """How many images a second each camera may take, by the processor time that the process took so far.

    Cameras in one process have one of these: its time cannot be told apart by camera, and they share it
    evenly. All methods are for any thread; the attributes may be read by any.

    spent: gives the processor time of the process so far, all of its threads, in seconds.
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
        """Images a second that the budget allows each camera, Hz; 0: all."""

    def count(self, camera: str) -> None:
        """An image of this camera became depth."""
        with self._lock:
            self._taken[camera] += 1

    def allowed(self, camera: str, most: float, now: float) -> float:
        """The rate that this camera may have from now on, Hz; 0: all its images.

        most: the camera's budget, in seconds of processor time per second (cores); 0: none. Of several
        cameras' budgets the smallest holds. now: seconds, monotonic.
        """
        with self._lock:
            self._most[camera] = most
            self._measure(now)
            return self.rate if most > 0 else 0.0

    def facts(self, limit: float) -> dict[str, Any]:
        """For a camera's diagnostics. limit: what the budget allows it, Hz; 0: all."""
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
        self._most.clear()  # of cameras that are gone nothing holds
        if now - since > 2 * period:  # the cameras paused: that period says nothing of their images
            return
        self.used = (self._last[1] - spent) / (now - since)
        if most <= 0:
            self.rate = 0.0
        elif taken:
            rates = [count / (now - since) for count in taken.values()]
            self._steer(most / max(self.used, 1e-6), max(rates), sum(rates) / len(rates))

    def _steer(self, factor: float, fastest: float, mean: float) -> None:
        """factor: of the budget over what was used. fastest, mean: of the cameras' rates."""
        if factor >= 1 and fastest < BINDING * self.rate:
            self.rate = 0.0
        elif self.rate:
            target = self.rate * min(max(factor, LEAST_STEP), MOST_STEP)
            self.rate = max(LOWEST_RATE, (self.rate + target) / 2)
        elif factor < 1:
            self.rate = max(LOWEST_RATE, mean * max(factor, LEAST_STEP))
