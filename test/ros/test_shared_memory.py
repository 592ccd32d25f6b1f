# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from clip2depth_ros.ros import fastdds
from clip2depth_ros.ros.fastdds import (
    SEGMENT,
    abandoned_segments,
    large_message_environment,
    prepare_shared_memory,
)

SHARED_MEMORY = Path("/dev/shm")

NODE = """
import sys
import rclpy
rclpy.init()
node = rclpy.create_node("short_lived")
print("up", flush=True)
sys.stdin.read()
"""


def start_node() -> subprocess.Popen:
    variables, why_not = large_message_environment()
    if why_not and "set already" not in why_not:
        pytest.skip(why_not)
    environment = os.environ | variables | {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}
    node = subprocess.Popen(
        [sys.executable, "-c", NODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert node.stdout.readline() == b"up\n"
    return node


def large_segments() -> set[str]:
    return {
        path.name
        for path in SHARED_MEMORY.glob("fast*")
        if not path.name.endswith("l") and path.exists() and path.stat().st_size >= SEGMENT
    }


def test_a_killed_process_is_cleaned_up_after_and_a_living_one_is_not(monkeypatch):
    before = large_segments()
    killed, living = start_node(), start_node()
    try:
        ours = large_segments() - before
        if len(ours) < 2:
            pytest.skip("this Fast DDS takes no segment of shared memory by the profile")
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert ours <= large_segments()  # nobody frees them
        # Young files are left alone: they may be about to be locked.
        monkeypatch.setattr(fastdds, "_YOUNG", 3600.0)
        abandoned_segments(remove=True)
        assert ours <= large_segments()
        monkeypatch.setattr(fastdds, "_YOUNG", 0.0)
        count, size = abandoned_segments()
        assert count >= 1 and size >= SEGMENT and ours <= large_segments()
        assert prepare_shared_memory() == ""
        left = ours & large_segments()
        assert len(left) == len(ours) - 1
        assert not any((SHARED_MEMORY / f"{name}_el").exists() for name in ours - left)
        assert living.poll() is None
    finally:
        for node in (killed, living):
            node.stdin.close()
            node.wait(20)
            node.stdout.close()


def test_links_and_young_files_stay(tmp_path):
    name = "fastdds_0123456789abcdef"
    (tmp_path / name).write_bytes(b"x" * 100)
    (tmp_path / f"{name}_el").touch()
    assert abandoned_segments(tmp_path, remove=True) == (0, 0)
    old = time.time() - 60
    os.utime(tmp_path / f"{name}_el", (old, old))
    (tmp_path / "fastdds_1123456789abcdef_el").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").touch()
    os.utime(tmp_path / "precious", (old, old))
    assert abandoned_segments(tmp_path) == (1, 100)
    assert abandoned_segments(tmp_path, remove=True) == (1, 100)
    assert sorted(os.listdir(tmp_path)) == ["fastdds_1123456789abcdef_el", "precious"]


def test_too_little_memory_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(fastdds.shutil, "disk_usage", lambda _: fastdds.shutil._ntuple_diskusage(0, 0, 5e6))
    environment = {fastdds.NEW: f"/somewhere/{fastdds.PROFILE}"}
    assert "has only 5 MB free" in prepare_shared_memory(environment, tmp_path)
    assert prepare_shared_memory({}, tmp_path) == ""
    assert prepare_shared_memory(environment | {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}, tmp_path) == ""


def run_depth_node(**variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from clip2depth_ros.ros.starting import *; raise SystemExit(depth_node())",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | variables,
    )


def test_security_without_keys_says_what_is_missing(tmp_path):
    ended = run_depth_node(
        ROS_SECURITY_ENABLE="true",
        ROS_SECURITY_STRATEGY="Enforce",
        ROS_SECURITY_KEYSTORE=str(tmp_path / "keys"),
    )
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert "error: ROS does not start with security" in ended.stderr
    assert str(tmp_path / "keys") in ended.stderr and "arguments" not in ended.stderr


def test_a_middleware_without_security_is_told_from_missing_keys(tmp_path):
    (tmp_path / "enclaves/clip2depth").mkdir(parents=True)
    ended = run_depth_node(ROS_SECURITY_ENABLE="true", ROS_SECURITY_KEYSTORE=str(tmp_path))
    assert "Traceback" not in ended.stderr
    if "PyPI" not in ended.stderr:
        pytest.skip("this Fast DDS has its security libraries")
    assert ended.returncode == 2 and "ros2 security" not in ended.stderr


def test_a_log_that_cannot_be_written_is_told():
    ended = run_depth_node(ROS_LOG_DIR="/proc/nowhere")
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert "ROS cannot write its log" in ended.stderr and "/proc/nowhere" in ended.stderr
    assert "ROS_LOG_DIR" in ended.stderr and "arguments" not in ended.stderr


IMPORTING = "from clip2depth_ros.ros.starting import *; print(1, flush=True); depth_node()"


def test_an_interrupt_during_the_imports_is_no_traceback():
    for delay in (0.2, 0.4, 0.8):
        node = subprocess.Popen(
            [
                sys.executable,
                "-c",
                IMPORTING,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        node.stdout.readline()
        time.sleep(delay)
        node.send_signal(signal.SIGINT)
        _, errors = node.communicate(timeout=60)
        assert b"Traceback" not in errors, errors
        assert node.returncode in (0, -signal.SIGINT)
