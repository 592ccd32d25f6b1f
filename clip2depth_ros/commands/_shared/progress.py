# SPDX-License-Identifier: Apache-2.0
"""How far long work is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

# A log file gets a line this often, seconds.
LINE_PERIOD = 5.0


def progress(items: Iterable[Item], unit: str, *ends: int | None) -> Iterator[Item]:
    """The items, and on stderr how many there were. unit: of one, such as "frame".

    ends: how many there may be, by all that is known; the least counts, None is unknown.
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
