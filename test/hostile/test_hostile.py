# SPDX-License-Identifier: Apache-2.0
"""A part of benchmark/hostile.py in every run: every message and file gives at most an error sentence."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmark"))

from hostility.mutation import damage  # noqa: E402


def run(*arguments: str) -> str:
    """The output of the program in a child process: a crash of a library is a finding and must not end the
    tests."""
    environment = os.environ | {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "AMENT_PREFIX_PATH": os.environ.get("AMENT_PREFIX_PATH", sys.prefix),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(ROOT / "benchmark" / "hostile.py"), *arguments]
    ended = subprocess.run(command, capture_output=True, env=environment, timeout=280)
    said = ended.stderr.decode(errors="replace")
    assert ended.returncode == 0, said[said.find("FAULT") :][:6000] if "FAULT" in said else said[-3000:]
    return ended.stdout.decode()


def test_damage_changes_the_file_and_is_reproducible():
    content = bytes(range(256)) * 4
    changed = [damage(content, np.random.default_rng([3, n])) for n in range(200)]
    assert changed == [damage(content, np.random.default_rng([3, n])) for n in range(200)]
    assert sum(c != content for c in changed) > 180


@pytest.mark.parametrize("count", [250, pytest.param(1500, marks=pytest.mark.slow)])
def test_damaged_files(count):
    said = run("--messages", "0", "--files", str(count), "--seed", str(count))
    assert f"{count:,} damaged files" in said and " 0 faults" in said


@pytest.mark.ros
@pytest.mark.skipif(find_spec("rclpy") is None, reason="rclpy is not installed")
@pytest.mark.parametrize("count", [1500, pytest.param(6000, marks=pytest.mark.slow)])
def test_hostile_messages(count):
    said = run("--messages", str(count), "--files", "0", "--seed", str(count))
    assert " 0 faults" in said
