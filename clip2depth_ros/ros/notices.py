# SPDX-License-Identifier: Apache-2.0
"""What the node says: a state once with its reason, a repeated mishap every few seconds with its count."""

from __future__ import annotations

import threading
import time
from typing import Any


class Notices:
    """Log lines that don't flood. May be called from any thread.

    Args:
        logger: an rclpy logger.
        interval: seconds between two lines about the same mishap.
    """

    def __init__(self, logger: Any, interval: float = 5.0) -> None:
        self._logger = logger
        self._interval = interval
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}
        self._mishaps: dict[str, tuple[float, int]] = {}

    @property
    def states(self) -> dict[str, str]:
        """The states that were said and still hold, by key."""
        with self._lock:
            return dict(self._states)

    def say(self, key: str, text: str) -> None:
        """Warn of a state, once until it is cleared or has another reason."""
        with self._lock:
            if self._states.get(key) == text:
                return
            self._states[key] = text
        self._logger.warning(text)

    def clear(self, key: str) -> None:
        """The state is over; if it comes back it is said again."""
        if key in self._states:
            with self._lock:
                self._states.pop(key, None)

    def clear_all(self) -> None:
        """Forget every state and count."""
        with self._lock:
            self._states.clear()
            self._mishaps.clear()

    def count(self, key: str, text: str) -> None:
        """Warn of a mishap: the first at once, later ones together with how many there were since."""
        now = time.monotonic()
        with self._lock:
            last, unsaid = self._mishaps.get(key, (float("-inf"), 0))
            said = now - last >= self._interval
            self._mishaps[key] = (now, 0) if said else (last, unsaid + 1)
        if said:
            self._logger.warning(f"{text} ({unsaid} more such since the last warning)" if unsaid else text)
