# SPDX-License-Identifier: Apache-2.0
"""The findings that `clip2depth doctor` prints, one line each."""

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
    """A line of the report. advice: what to do; empty for OK."""

    level: str
    subject: str
    text: str
    advice: str = ""


def probe(program: str) -> tuple[Any, str]:
    """Run a program in a child process. Returns (last output line parsed as JSON, "") or (None, error)."""
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=PROBE_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return None, f"did not answer in {PROBE_TIMEOUT:.0f} s"
    if ended.returncode:
        return None, (ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"])[-1]
    return json.loads(ended.stdout.strip().splitlines()[-1]), ""
