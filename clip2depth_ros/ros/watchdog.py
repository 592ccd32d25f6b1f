# SPDX-License-Identifier: Apache-2.0
"""Ends a process whose main loop is blocked, so that its supervisor can restart it.

A node that starts while other nodes are killed can block inside Fast DDS's take, with the GIL held (seen with
3.2.3, once in about twenty kills). No Python thread can detect that, so a timer of the operating system is
used.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal

LIMIT = 30.0
"""Longest time of one iteration of the main loop, seconds: far more than it needs, even on a busy computer.
Time during suspend does not count."""

_started = False


def start() -> None:
    """Arm the watchdog: SIGALRM ends this process LIMIT seconds after the last call of :func:`alive`, with
    the stacks of all threads on stderr. There is no time limit until the first call."""
    global _started
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # without stderr there is no output
        faulthandler.register(signal.SIGALRM, chain=True)
    _started = True


def alive() -> None:
    """Reset the timer; call it in each iteration of the main loop. Does nothing before :func:`start`."""
    if _started:
        signal.setitimer(signal.ITIMER_REAL, LIMIT)


def stop() -> None:
    """Disarm the watchdog."""
    global _started
    if _started:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.unregister(signal.SIGALRM)
    _started = False
