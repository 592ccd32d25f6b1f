# SPDX-License-Identifier: Apache-2.0
"""Child processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_LIBC = (
    ctypes.CDLL(None) if sys.platform == "linux" else None
)  # loaded here, because loading after a fork is not safe
_PR_SET_PDEATHSIG = 1


def tied_to_parent(number: signal.Signals, *, idle: bool = False) -> Callable[[], None]:
    """A preexec_fn for subprocess.Popen: Linux sends the child this signal when the calling thread ends.

    This also works when the parent is ended by SIGKILL. idle: the child gets idle CPU time only.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, number)
            if os.getppid() != parent:  # it ended in between
                os._exit(1)
        if idle:
            os.setpriority(os.PRIO_PROCESS, 0, 19)
            if hasattr(os, "SCHED_IDLE"):
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    return before_exec
