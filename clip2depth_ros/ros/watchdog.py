# SPDX-License-Identifier: Apache-2.0
"""Ends a process whose main loop does not come round, so that whoever started it can start it again.

A node that starts while others are killed can get stuck inside Fast DDS's take, with Python's lock held (seen
with 3.2.3, once in about twenty kills). No thread of Python's can notice that: a timer of the system does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal

LIMIT = 30.0
"""Seconds that the main loop may take to come round: far more than anything it does, even on a full computer.
A suspended computer's time does not count."""

_started = False


def start() -> None:
    """From now on this process ends LIMIT seconds after its last call of :func:`alive`, by SIGALRM, with the
    stacks of all threads on stderr. Until the first call it has all the time that it needs to start."""
    global _started
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # without stderr it ends without a word
        faulthandler.register(signal.SIGALRM, chain=True)
    _started = True


def alive() -> None:
    """The main loop has come round. Does nothing in a process that did not :func:`start` it."""
    if _started:
        signal.setitimer(signal.ITIMER_REAL, LIMIT)


def stop() -> None:
    """The process is left alone again."""
    global _started
    if _started:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.unregister(signal.SIGALRM)
    _started = False
