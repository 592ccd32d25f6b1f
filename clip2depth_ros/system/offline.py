# SPDX-License-Identifier: Apache-2.0
"""Imports of packages that would access the network by themselves, without that access."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

_lock = threading.Lock()
_core: Any = None


def import_openvino() -> ModuleType:
    """OpenVINO, without its telemetry. Raises ImportError when it is not installed.

    PyPI's `openvino` requires `openvino_telemetry`. Where that can be imported, `import openvino` forks
    the process (unsafe under ROS, which has threads by then), writes an identifier into the home folder
    and sends an event to an analytics server. A module that is None in `sys.modules` cannot be imported;
    OpenVINO then works without it.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def openvino_core() -> Any:
    """OpenVINO's `Core`, one per process, never closed. Raises ImportError when it is not installed.

    The CPU plugin of a core gives the thread that loads it a stack for signal handlers, and frees that stack
    with the core (seen with 2026.4). Where two cores of one thread end in the order in which they were made,
    or a core ends in another thread, the freed stack stays in use: the next signal ends the process with
    SIGSEGV.
    """
    global _core
    with _lock:
        if _core is None:
            _core = import_openvino().Core()
        return _core


def import_nncf() -> ModuleType:
    """NNCF, without its telemetry, which is OpenVINO's. Raises ImportError when it is not installed."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import nncf

    return nncf
