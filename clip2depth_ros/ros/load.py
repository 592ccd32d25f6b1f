# SPDX-License-Identifier: Apache-2.0
"""A budget of processor time: fewer images become depth where the process would take more."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

# Seconds over which processor time is measured, longer where that is less than so many images.
PERIOD = 1.0
IMAGES = 3

# The rate changes by these factors at most from one period to the next.
LEAST_STEP, MOST_STEP = 0.25, 1.25

# Hz. What the process needs besides images may be more than the budget; depth then still comes now and then.
LOWEST_RATE = 0.2

# While fewer images are taken than this part of what the limit lets through, it is the camera that is slow.
BINDING = 0.8


class LoadBudget:
    """How many images a second a camera may take, by the processor time that its process took so far.

    The executor's thread calls :meth:`update`; the attributes may be read by any.

    Args:
        most: gives the budget, in seconds of processor time per second (cores); 0: none.
        spent: gives the processor time of the process so far, all of its threads, in seconds.
    """

    def __init__(self, most: Callable[[], float], spent: Callable[[], float] = time.process_time) -> None:
        self._most = most
        self._spent = spent
        self._last = (-math.inf, 0.0, 0)
        self.used = math.nan
        """Processor time of the process in the last period, in cores; NaN: not measured yet."""
        self.rate = 0.0
        """Images a second that the budget allows, Hz; 0: all."""

    def update(self, now: float, processed: int) -> float:
        """The rate that is allowed from now on.

        now: seconds, monotonic. processed: images of this camera that became depth so far.
        """
        most = self._most()
        if most <= 0:
            self.rate = 0.0
        since, spent, count = self._last
        period = max(PERIOD, IMAGES / self.rate) if self.rate else PERIOD
        if now - since < period:
            return self.rate
        current = (now, self._spent(), processed)
        self._last = current
        if now - since > 2 * period:  # the camera paused: that period says nothing of its images
            return self.rate
        self.used = (current[1] - spent) / (now - since)
        if most > 0:
            self._steer(most / max(self.used, 1e-6), (processed - count) / (now - since))
        return self.rate

    def _steer(self, factor: float, taken: float) -> None:
        """factor: of the budget over what was used. taken: images a second of this camera."""
        if factor >= 1 and taken < BINDING * self.rate:
            self.rate = 0.0
        elif self.rate:
            target = self.rate * min(max(factor, LEAST_STEP), MOST_STEP)
            self.rate = max(LOWEST_RATE, (self.rate + target) / 2)
        elif factor < 1 and taken > 0:
            self.rate = max(LOWEST_RATE, taken * max(factor, LEAST_STEP))
