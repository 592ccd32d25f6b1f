# SPDX-License-Identifier: Apache-2.0
"""Progress of long work: a bar on a terminal, otherwise a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

# Period of the lines in a log file, seconds.
LINE_PERIOD = 5.0


def progress(items: Iterable[Item], unit: str, *ends: int | None) -> Iterator[Item]:
    """Yield the items and report their count on stderr. unit: name of one item, such as "frame".

    ends: known upper limits of the count; the smallest is shown as the total. None is unknown.
    """
    total = min((end for end in ends if end is not None), default=None)
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, unit=unit)
        return
    last_line = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if time.monotonic() - last_line > LINE_PERIOD:
            last_line = time.monotonic()
            print(f"{count} of {'?' if total is None else total} {unit}s", file=sys.stderr, flush=True)
