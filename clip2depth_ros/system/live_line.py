# SPDX-License-Identifier: Apache-2.0
"""The line on the terminal that says how far something is."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class LiveLine:
    """One line that is written over on a terminal, and a new line every few seconds elsewhere."""

    def __init__(self, stream: TextIO | None = None, interval: float = 5.0):
        self._stream = stream or sys.stdout
        self._on_terminal = self._stream.isatty()
        self._interval = 0.2 if self._on_terminal else interval
        self._next = 0.0
        self._open = False

    def show(self, text: str) -> None:
        """Show `text`, unless the last one is too recent."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._interval
        if self._on_terminal:
            self._stream.write(f"\r{text}\x1b[K")
            self._open = True
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def finish(self, text: str = "") -> None:
        """Leave the line with `text` on it (or as it is), so that others may write below."""
        if text:
            self._next = 0.0
            self.show(text)
        if self._open:
            self._stream.write("\n")
            self._stream.flush()
            self._open = False
        self._next = 0.0
