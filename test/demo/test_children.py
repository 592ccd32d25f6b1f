# SPDX-License-Identifier: Apache-2.0
"""Child processes end in every case, and their reason is reported."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from clip2depth_ros.demo.children import Child, Children, free_domain, private_environment
from clip2depth_ros.demo.installed import find_executable, find_shared
from clip2depth_ros.errors import Clip2DepthError

STUBBORN = "trap '' INT TERM; echo deaf; while :; do sleep 0.1; done"


def shell(children: Children, tmp_path, script: str, name: str = "child") -> Child:
    return children.start(name, ["bash", "-c", script], os.environ, tmp_path / "logs" / f"{name}.log")


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_children_are_interrupted_on_exit(tmp_path):
    with Children() as children:
        child = shell(
            children, tmp_path, "trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.05; done"
        )
        assert wait_until(lambda: "ready" in child.last_lines())
        child.check()
    assert child.code == 0
    assert child.last_lines() == "    ready\n    bye"


def test_a_child_that_ignores_signals_is_killed_with_its_children(tmp_path):
    child = Child(
        "stubborn", ["bash", "-c", f"sleep 987 & echo $!; {STUBBORN}"], os.environ, tmp_path / "log"
    )
    assert wait_until(lambda: "deaf" in child.last_lines())
    grandchild = int(child.last_lines().split()[0])
    child.end(timeout=0.2)
    assert child.code == -signal.SIGKILL
    assert wait_until(lambda: not is_running(grandchild))


def test_an_error_ends_the_children_too(tmp_path):
    with pytest.raises(RuntimeError), Children() as children:
        child = shell(children, tmp_path, "sleep 987")
        raise RuntimeError
    assert child.code is not None


def test_a_dead_child_is_reported_with_its_last_lines(tmp_path):
    with Children() as children:
        child = shell(children, tmp_path, "for i in $(seq 30); do echo line $i; done; exit 3", "depth_node")
        assert wait_until(lambda: child.code is not None)
        with pytest.raises(Clip2DepthError) as error:
            child.check()
    text = str(error.value)
    assert text.startswith("depth_node ended early with exit code 3")
    assert text.endswith("line 30") and "line 19\n" in text and "line 18\n" not in text


def test_an_exit_without_error_is_allowed_if_expected(tmp_path):
    with Children() as children:
        child = shell(children, tmp_path, "exit 0")
        assert wait_until(lambda: child.code is not None)
        child.check(may_have_ended=True)
        with pytest.raises(Clip2DepthError, match="wrote nothing"):
            child.check()


def test_a_killed_child_is_reported(tmp_path):
    with Children() as children:
        child = shell(children, tmp_path, "kill -SEGV $$")
        assert wait_until(lambda: child.code is not None)
        with pytest.raises(Clip2DepthError, match="SIGSEGV"):
            child.check(may_have_ended=True)


def test_a_missing_program_gives_one_sentence(tmp_path):
    with pytest.raises(Clip2DepthError, match="cannot start camera_node"):
        Child("camera_node", ["/nowhere/camera_node"], os.environ, tmp_path / "log")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_no_signal_to_the_parent_leaves_a_child_behind(tmp_path, number):
    program = f"""
        import os, sys, time
        from pathlib import Path
        from clip2depth_ros.demo.children import Children
        with Children() as children:
            child = children.start("child", ["sleep", "987"], os.environ, Path({str(tmp_path / "log")!r}))
            print(child.pid, flush=True)
            time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(number)
        parent.communicate(timeout=20)
        assert parent.returncode != 0
        assert wait_until(lambda: not is_running(pid))
    finally:
        parent.kill()


def test_signal_handlers_are_restored():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Children():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_the_environment_is_limited_to_this_machine(tmp_path):
    environ, reason = private_environment({"PATH": "/bin", "ROS_STATIC_PEERS": "10.0.0.9"}, tmp_path)
    assert environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert 0 < int(environ["ROS_DOMAIN_ID"]) <= 101
    assert "ROS_STATIC_PEERS" not in environ
    assert environ["ROS_LOG_DIR"] == str(tmp_path)
    profiles = [value for name, value in environ.items() if name.endswith("DEFAULT_PROFILES_FILE")]
    assert profiles == ([str(find_shared("config/fastdds_large_data.xml"))] if not reason else [])


def test_a_domain_in_use_is_not_selected(monkeypatch):
    monkeypatch.setattr("clip2depth_ros.demo.children.DOMAINS", range(90, 92))
    for taken, free in ((90, 91), (91, 90)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
            participant.bind(("", 7410 + 250 * taken))
            assert {free_domain() for _ in range(8)} == {free}


@pytest.mark.ros
def test_a_ros_node_occupies_its_domain(monkeypatch):
    """The assumption of free_domain."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    monkeypatch.setattr("clip2depth_ros.demo.children.DOMAINS", range(93, 95))
    program = """
        import sys, rclpy
        rclpy.init(domain_id=int(sys.argv[1]))
        node = rclpy.create_node("occupant")
        print("ready", flush=True)
        sys.stdin.read()
    """
    environ = dict(os.environ, ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    node = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), "94"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    try:
        assert node.stdout.readline() == "ready\n"
        assert {free_domain() for _ in range(8)} == {93}
    finally:
        node.communicate(timeout=20)


def test_the_users_choice_is_kept(tmp_path):
    chosen = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    environ, reason = private_environment(chosen, tmp_path)
    assert environ["RMW_IMPLEMENTATION"] == "rmw_cyclonedds_cpp"
    assert "rmw_cyclonedds_cpp" in reason


def test_installed_programs_are_preferred(tmp_path, monkeypatch):
    program = tmp_path / "lib" / "clip2depth_ros" / "depth_node"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "none"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "none"))
    assert find_executable("depth_node") == [sys.executable, "-m", "clip2depth_ros.ros.nodes.depth_node"]
    program.chmod(0o755)
    assert find_executable("depth_node") == [str(program)]
    assert find_executable("camera_node") == [sys.executable, "-m", "clip2depth_ros.ros.nodes.camera_node"]


def test_a_missing_shared_file_gives_none():
    assert find_shared("config/fastdds_large_data.xml").is_file()
    assert find_shared("config/no_such_thing.xml") is None
