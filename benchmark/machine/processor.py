# SPDX-License-Identifier: Apache-2.0
"""What a result was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor() -> str:
    """The processor's name, or its architecture where the system does not tell."""
    try:
        for entry in Path("/proc/cpuinfo").read_text().splitlines():
            if entry.startswith("model name"):
                return entry.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def machine() -> str:
    """Cores, processor and Python, for the head of a table."""
    return f"{os.cpu_count()} cores of {processor()}, Python {platform.python_version()}"
