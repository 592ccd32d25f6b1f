# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM end a command in the same way: by an exception, so that resources are freed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


class Terminated(KeyboardInterrupt):
    """Raised by SIGTERM. It is a KeyboardInterrupt, so that results are kept as at Ctrl-C."""


@contextlib.contextmanager
def termination_as_exception() -> Iterator[None]:
    """Raise Terminated in the main thread at SIGTERM. A second SIGTERM ends the process at once."""
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
    """Let SIGINT end the process at once and silently, while it imports libraries.

    An exception during an import would be a traceback from the library.
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
