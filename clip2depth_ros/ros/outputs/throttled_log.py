# SPDX-License-Identifier: Apache-2.0
"""A throttled log: a state once with its reason, a repeated error every few seconds with its count."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from clip2depth_ros.errors import printable

# Characters of a line, at most. Text from messages and from the ROS graph may have any length.
LONGEST = 800

# Characters of a traceback, at most.
LONGEST_DETAIL = 6000

# Lines about one state that may follow each other without a pause: the state comes, goes, and comes back.
BURST = 3


@dataclass(slots=True)
class _Line:
    """The last line about one state, and how many more may follow."""

    text: str = ""
    time: float = float("-inf")
    credit: float = 0.0


class Notices:
    """A throttled log. Thread-safe.

    How often a line is logged depends on its key only, never on its text, which may contain parts of
    messages. Texts have a maximum length and are printable, in the log and in `states`.

    Args:
        logger: an rclpy logger.
        interval: seconds between two lines about the same error, and about a state whose reason changes.
    """

    def __init__(self, logger: Any, interval: float = 5.0) -> None:
        self._logger = logger
        self._interval = interval
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}
        self._lines: dict[str, _Line] = {}
        self._errors: dict[str, tuple[float, int]] = {}

    @property
    def states(self) -> dict[str, str]:
        """The current states and their reasons, by key."""
        with self._lock:
            return dict(self._states)

    def say(self, key: str, text: str) -> None:
        """Enter a state: log a warning once, until the state is cleared or has another reason.

        A reason that changes all the time, or a state that comes and goes, is logged once in an interval.
        """
        text, now = printable(text, LONGEST), time.monotonic()
        with self._lock:
            self._states[key] = text
            line = self._lines.setdefault(key, _Line())
            if line.text == text:
                return
            line.credit = min(float(BURST), line.credit + (now - line.time) / self._interval)
            line.time = now
            if line.credit < 1:
                return
            line.text, line.credit = text, line.credit - 1
        self._logger.warning(text)

    def clear(self, key: str) -> None:
        """Leave the state; if it comes back it is logged again."""
        if key in self._states:
            with self._lock:
                self._states.pop(key, None)
                if key in self._lines:
                    self._lines[key].text = ""

    def clear_all(self) -> None:
        """Forget every state and count."""
        with self._lock:
            self._states.clear()
            self._lines.clear()
            self._errors.clear()

    def count(self, key: str, text: str, detail: str = "") -> None:
        """Log an error: the first one at once, later ones once in an interval with their count.

        detail: several lines, such as a traceback; their end is logged below the text.
        """
        now = time.monotonic()
        with self._lock:
            last, unlogged = self._errors.get(key, (float("-inf"), 0))
            due = now - last >= self._interval
            self._errors[key] = (now, 0) if due else (last, unlogged + 1)
        if due:
            text = printable(text, LONGEST)
            if unlogged:
                text = f"{text} ({unlogged} more of these since the last warning)"
            for line in detail[-LONGEST_DETAIL:].splitlines():
                text = f"{text}\n{printable(line, LONGEST)}"
            self._logger.warning(text)
