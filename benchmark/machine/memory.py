# SPDX-License-Identifier: Apache-2.0
"""Peak memory of a process.

Not ru_maxrss, which contains the peak of the process that started this one, and never falls.
"""

from __future__ import annotations

from pathlib import Path


def peak_memory(process: int | str = "self") -> int:
    """Bytes in memory at the peak of a process, by its number, since `reset_peak_memory`. Raises OSError."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {process} has ended")  # a zombie's status has no such line


def reset_peak_memory() -> int:
    """Let this process's peak begin at its present memory. Returns it, bytes. Raises OSError."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()
