# SPDX-License-Identifier: Apache-2.0
import fcntl
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
    avoid_dead_ports,
    large_message_environment,
    prepare_shared_memory,
)
from clip2depth_ros.ros.starting import RESTART

SHARED_MEMORY = Path("/dev/shm")

NODE = """
import sys
import rclpy
from clip2depth_ros.ros.fastdds import prepare_shared_memory
prepare_shared_memory()
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


def test_memory_of_a_killed_process_is_removed_and_of_a_running_one_kept(monkeypatch):
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


def locked_ports(pid: int) -> set[str]:
    """Its own ports, and those of killed processes that it keeps off."""
    descriptors = Path(f"/proc/{pid}/fd")
    links = [os.readlink(path) for path in descriptors.iterdir()]
    return {Path(link).name[:-3] for link in links if "_port" in link and link.endswith("_el")}


def own_ports(pid: int) -> set[str]:
    """Those that it reads from."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in locked_ports(pid) if f"/{name}\n" in maps}


def test_a_new_process_avoids_the_ports_of_a_killed_one():
    first = start_node()
    third = None
    try:
        ports = own_ports(first.pid)
        if not ports:
            pytest.skip("this Fast DDS holds no locks of shared memory ports")
        first.send_signal(signal.SIGKILL)
        first.wait()
        second = start_node()  # must neither take these ports nor remove them
        assert ports <= locked_ports(second.pid)
        assert own_ports(second.pid) and not ports & own_ports(second.pid)
        second.stdin.close()
        second.wait(20)
        third = start_node()
        assert ports <= locked_ports(third.pid)
    finally:
        for node in filter(None, (first, third)):
            node.stdin.close()
            node.wait(20)
            node.stdout.close()


PROGRAM = "from clip2depth_ros.ros.starting import *; raise SystemExit(depth_node())"


def test_a_node_whose_port_was_removed_restarts(tmp_path):
    """What another process does to it once in about fifty kills."""
    log = tmp_path / "log.txt"
    with open(log, "wb") as output:
        node = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=output, stderr=subprocess.STDOUT)

    def wait(what: str, times: int = 1) -> str:
        end = time.monotonic() + 60
        while (text := log.read_text(errors="replace")).count(what) < times:
            assert time.monotonic() < end and node.poll() is None, text
            time.sleep(0.1)
        return text

    try:
        wait("Ready: ")
        ports = sorted(own_ports(node.pid))
        if not ports:
            pytest.skip("this Fast DDS holds no locks of shared memory ports")
        (SHARED_MEMORY / ports[0]).unlink()
        text = wait("Ready: ", 2)
        assert f"removed the shared memory of this process ({ports[0]})" in text and "Traceback" not in text
        again = own_ports(node.pid)
        assert again and all((SHARED_MEMORY / name).exists() for name in again)
        # Once a minute at most; then whoever started it decides.
        (SHARED_MEMORY / min(again)).unlink()
        assert node.wait(60) == RESTART
    finally:
        node.kill()
        node.wait()


def test_ports_that_are_still_open_somewhere_come_first(tmp_path, monkeypatch):
    memory, processes = tmp_path / "shm", tmp_path / "proc"
    memory.mkdir()
    for number in range(4):
        (memory / f"fastdds_port{number}").touch()
        (memory / f"fastdds_port{number}_el").touch()
        os.utime(memory / f"fastdds_port{number}_el", (number, number))
    (memory / "fastdds_port8").touch()  # no lock: nobody reads there
    (processes / "17").mkdir(parents=True)
    (processes / "17/maps").write_text(
        "7f00-7f01 rw-s 0000 00:1a 5 /dev/shm/fastdds_port1\n"
        "7f02-7f03 rw-s 0000 00:1a 6 /dev/shm/fastdds_port7 (deleted)\n"
        "7f04-7f05 rw-s 0000 00:1a 7 /dev/shm/fastdds_0123456789abcdef\n"
    )
    monkeypatch.setattr(fastdds, "MOST_PORTS", 3)
    held: list[int] = []
    monkeypatch.setattr(fastdds, "_held", held)
    living = os.open(memory / "fastdds_port2_el", os.O_RDONLY)
    fcntl.flock(living, fcntl.LOCK_EX)
    try:
        assert avoid_dead_ports(memory, processes) == ["fastdds_port7", "fastdds_port1", "fastdds_port3"]
        assert len(held) == 3
        for name, locked in {"port7": 1, "port1": 1, "port3": 1, "port2": 1, "port0": 0}.items():
            descriptor = os.open(memory / f"fastdds_{name}_el", os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                assert not locked
            except BlockingIOError:
                assert locked
            finally:
                os.close(descriptor)
        assert avoid_dead_ports(tmp_path / "none", processes) == []
    finally:
        for descriptor in (living, *held):
            os.close(descriptor)


def test_links_and_new_files_are_kept(tmp_path):
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


def test_too_little_memory_is_reported(tmp_path, monkeypatch):
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


def test_security_without_keys_reports_what_is_missing(tmp_path):
    ended = run_depth_node(
        ROS_SECURITY_ENABLE="true",
        ROS_SECURITY_STRATEGY="Enforce",
        ROS_SECURITY_KEYSTORE=str(tmp_path / "keys"),
    )
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert "error: ROS does not start with security" in ended.stderr
    assert str(tmp_path / "keys") in ended.stderr and "arguments" not in ended.stderr


def test_a_middleware_without_security_is_distinguished_from_missing_keys(tmp_path):
    (tmp_path / "enclaves/clip2depth").mkdir(parents=True)
    ended = run_depth_node(ROS_SECURITY_ENABLE="true", ROS_SECURITY_KEYSTORE=str(tmp_path))
    assert "Traceback" not in ended.stderr
    if "PyPI" not in ended.stderr:
        pytest.skip("this Fast DDS has its security libraries")
    assert ended.returncode == 2 and "ros2 security" not in ended.stderr


def test_a_log_that_cannot_be_written_is_reported():
    ended = run_depth_node(ROS_LOG_DIR="/proc/nowhere")
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert "ROS cannot write its log" in ended.stderr and "/proc/nowhere" in ended.stderr
    assert "ROS_LOG_DIR" in ended.stderr and "arguments" not in ended.stderr


IMPORTING = "from clip2depth_ros.ros.starting import *; print(1, flush=True); depth_node()"


def test_an_interrupt_during_the_imports_prints_no_traceback():
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
