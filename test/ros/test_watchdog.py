# SPDX-License-Identifier: Apache-2.0
"""A process whose main loop is blocked ends, with the stacks on stderr; a running one continues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

# A program as `starting` runs it, of a node that calls `work` in its executor, now and then.
PROGRAM = """
import ctypes, sys, types
from clip2depth_ros.ros import starting, watchdog
watchdog.LIMIT = 1.0

def main():
    import rclpy
    from rclpy.node import Node
    from clip2depth_ros.ros.spinning import run_node

    def work():
        print("working", flush=True)
        {work}

    def make():
        node = Node("watched")
        node.create_timer(0.3, work)
        return node

    return run_node(make, lambda node: None, lambda node: None, [])

sys.modules["clip2depth_ros.ros.nodes.watched"] = types.SimpleNamespace(main=main)
raise SystemExit(starting._run("watched"))
"""
HOLDS_PYTHONS_LOCK = "ctypes.PyDLL(None).usleep(1 << 30)"


def started(work: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
    )


def test_a_blocked_main_loop_ends_the_process_with_stacks():
    process = started(HOLDS_PYTHONS_LOCK)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGALRM, errors
    assert out == "working\n" and "in work" in errors and "spin_once" in errors, errors


def test_a_running_main_loop_is_not_ended():
    process = started("pass")
    assert process.stdout.readline() == "working\n", process.communicate()[1]
    time.sleep(3.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and not errors, errors
