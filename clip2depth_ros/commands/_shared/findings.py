# SPDX-License-Identifier: Apache-2.0
"""What `clip2depth doctor` finds: a line of its report each."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

OK, WARN, FAIL = "ok", "warn", "FAIL"

PROBE_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report. advice: what to do, for all but OK."""

    level: str
    subject: str
    text: str
    advice: str = ""


def probe(program: str) -> tuple[Any, str]:
    """What a program prints last, from JSON, in a process of its own; or None, and what went wrong."""
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=PROBE_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return None, f"did not answer in {PROBE_TIMEOUT:.0f} s"
    if ended.returncode:
        return None, (ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"])[-1]
    return json.loads(ended.stdout.strip().splitlines()[-1]), ""
