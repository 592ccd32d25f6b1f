# SPDX-License-Identifier: Apache-2.0
"""Imports of packages that would reach for the network by themselves, without their doing so."""

from __future__ import annotations

import sys
from types import ModuleType


def import_openvino() -> ModuleType:
    """OpenVINO, without its telemetry. Raises ImportError when it is not installed.

    PyPI's `openvino` requires `openvino_telemetry`. Where that can be imported, `import openvino` forks
    the process (unsafe under ROS, which has threads by then), writes an identifier into the home folder
    and sends an event to an analytics server. A module that is None in `sys.modules` cannot be imported;
    OpenVINO then does without.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def import_nncf() -> ModuleType:
    """NNCF, without its telemetry, which is OpenVINO's. Raises ImportError when it is not installed."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import nncf

    return nncf
