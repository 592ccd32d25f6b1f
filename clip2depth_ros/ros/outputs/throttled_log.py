# SPDX-License-Identifier: Apache-2.0
"""What the node says: a state once with its reason, a repeated mishap every few seconds with its count."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from clip2depth_ros.errors import printable

# Characters of a line. Ours are shorter; what messages and the ROS graph put into them may be of any length.
LONGEST = 800

# Characters of a traceback.
LONGEST_DETAIL = 6000

# Lines about one state that may follow each other at once: it comes, goes, and comes back.
BURST = 3


@dataclass(slots=True)
class _Line:
    """What was logged about one state, and how many lines more may be."""

    text: str = ""
    time: float = float("-inf")
    credit: float = 0.0


class Notices:
    """Log lines that don't flood, whatever the text that messages contribute. May be called from any thread.

    How often something is said depends on its key alone, which the program chooses. Texts are bounded and
    printable, here and in `states`.

    Args:
        logger: an rclpy logger.
        interval: seconds between two lines about the same mishap, and about a state whose reason changes.
    """

    def __init__(self, logger: Any, interval: float = 5.0) -> None:
        self._logger = logger
        self._interval = interval
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}
        self._lines: dict[str, _Line] = {}
        self._mishaps: dict[str, tuple[float, int]] = {}

    @property
    def states(self) -> dict[str, str]:
        """The states that were said and still hold, by key."""
        with self._lock:
            return dict(self._states)

    def say(self, key: str, text: str) -> None:
        """Warn of a state, once until it is cleared or has another reason.

        A reason that changes all the time, or a state that comes and goes, is said once in an interval.
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
        """The state is over; if it comes back it is said again."""
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
            self._mishaps.clear()

    def count(self, key: str, text: str, detail: str = "") -> None:
        """Warn of a mishap: the first at once, later ones together with how many there were since.

        detail: of several lines, such as a traceback, the end of which is logged below the text.
        """
        now = time.monotonic()
        with self._lock:
            last, unsaid = self._mishaps.get(key, (float("-inf"), 0))
            said = now - last >= self._interval
            self._mishaps[key] = (now, 0) if said else (last, unsaid + 1)
        if said:
            text = printable(text, LONGEST)
            if unsaid:
                text = f"{text} ({unsaid} more such since the last warning)"
            for line in detail[-LONGEST_DETAIL:].splitlines():
                text = f"{text}\n{printable(line, LONGEST)}"
            self._logger.warning(text)
