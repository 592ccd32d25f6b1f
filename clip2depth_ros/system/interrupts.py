# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM end a command in the same way: as an exception that frees what is held."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


class Terminated(KeyboardInterrupt):
    """SIGTERM came. It is a KeyboardInterrupt so that whatever keeps results at Ctrl-C keeps them too."""


@contextlib.contextmanager
def termination_as_exception() -> Iterator[None]:
    """Raise Terminated in the main thread when SIGTERM comes. A second SIGTERM ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    process = os.getpid()

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != process:  # a forked child, whose parent wants it to end
            signal.raise_signal(number)
        raise Terminated

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


@contextlib.contextmanager
def plain_interrupts() -> Iterator[None]:
    """SIGINT ends the process at once and without a word, while it imports libraries and holds nothing.

    An exception out of the middle of an import is a traceback from whatever library has no answer to it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.getsignal(signal.SIGINT)
    if former is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if former is signal.default_int_handler:
            signal.signal(signal.SIGINT, former)
