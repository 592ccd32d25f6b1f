# SPDX-License-Identifier: Apache-2.0
"""Progress of long work: tqdm's bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

# Where there is no terminal, a line is written this often, seconds.
LINE_PERIOD = 5.0

# A terminal's line changes at most this often, seconds.
SHORTEST = 0.2


def progress(items: Iterable[Item], unit: str, *ends: int | None) -> Iterator[Item]:
    """The items, and on stderr how many have been done. unit: of one item, such as "frame".

    ends: upper bounds of their number; the smallest counts, None is unknown.
    """
    total = min((end for end in ends if end is not None), default=None)
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, unit=unit)
        return
    said = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if time.monotonic() - said > LINE_PERIOD:
            said = time.monotonic()
            print(f"{count} of {'?' if total is None else total} {unit}s", file=sys.stderr, flush=True)


class StatusLine:
    """A changing text: one line by tqdm on a terminal, a plain line every `interval` seconds elsewhere."""

    def __init__(self, stream: TextIO | None = None, interval: float = LINE_PERIOD) -> None:
        self._stream = stream or sys.stdout
        self._interval = interval
        self._on_terminal = self._stream.isatty()
        self._bar: tqdm | None = None
        self._shown = -float("inf")

    def show(self, text: str) -> None:
        """Show `text`, unless the last one was shown too recently."""
        if self._on_terminal:
            if self._bar is None:
                self._bar = tqdm(
                    desc=text, file=self._stream, bar_format="{desc}", mininterval=SHORTEST, miniters=1
                )
            else:
                self._bar.set_description_str(text, refresh=False)
                self._bar.update()
        elif time.monotonic() - self._shown >= self._interval:
            self._shown = time.monotonic()
            print(text, file=self._stream, flush=True)

    def finish(self, text: str = "") -> None:
        """End the line, with `text` or the last text on it, so that other output can follow."""
        if self._on_terminal and text and self._bar is None:
            self.show(text)
        if self._bar is not None:
            if text:
                self._bar.set_description_str(text, refresh=False)
            self._bar.close()
            self._bar = None
        elif text:
            print(text, file=self._stream, flush=True)
        self._shown = -float("inf")
