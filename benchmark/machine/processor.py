# SPDX-License-Identifier: Apache-2.0
"""The machine on which a result was measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor() -> str:
    """The processor's name, or its architecture if the system does not provide it."""
    try:
        for entry in Path("/proc/cpuinfo").read_text().splitlines():
            if entry.startswith("model name"):
                return entry.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def machine() -> str:
    """Cores, processor and Python, for the heading of a table."""
    return f"{os.cpu_count()} cores of {processor()}, Python {platform.python_version()}"
