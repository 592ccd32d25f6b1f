# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS profile: well formed, found, set only where it helps, and accepted by Fast DDS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from clip2depth_ros.ros import fastdds

ROOT = Path(__file__).resolve().parents[2]
ROOMY = Path(__file__).parent  # a folder on a disk with more than two segments free
SPACE = "{http://www.eprosima.com}"


def test_the_profile_keeps_udp_and_enlarges_shared_memory():
    root = ElementTree.parse(ROOT / "config" / fastdds.PROFILE).getroot()
    transports = {
        node.find(f"{SPACE}transport_id").text: node for node in root.iter(f"{SPACE}transport_descriptor")
    }
    kinds = {name: node.find(f"{SPACE}type").text for name, node in transports.items()}
    assert sorted(kinds.values()) == ["SHM", "UDPv4"]
    shared = next(transports[name] for name, kind in kinds.items() if kind == "SHM")
    size = int(shared.find(f"{SPACE}segment_size").text)
    cloud = 1280 * 720 * 16  # a full XYZRGB cloud of an HD camera
    assert size >= 4 * cloud
    assert size < fastdds.SEGMENT < 1.1 * size

    (participant,) = root.iter(f"{SPACE}participant")
    assert participant.get("is_default_profile") == "true"
    (used,) = participant.iter(f"{SPACE}userTransports")
    assert {node.text for node in used} == set(transports)
    (builtin,) = participant.iter(f"{SPACE}useBuiltinTransports")
    assert builtin.text == "false"


def test_the_profile_is_found_in_the_source_tree_and_in_an_installation(tmp_path, monkeypatch):
    assert fastdds.find_profile({}) == ROOT / "config" / fastdds.PROFILE
    monkeypatch.setattr(fastdds, "__file__", str(tmp_path / "lib" / "clip2depth_ros" / "ros" / "fastdds.py"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    assert fastdds.find_profile({}) is None
    config = tmp_path / "prefix" / "share" / "clip2depth_ros" / "config"
    config.mkdir(parents=True)
    shutil.copy(ROOT / "config" / fastdds.PROFILE, config)
    prefixes = os.pathsep.join(["/nowhere", str(tmp_path / "prefix")])
    assert fastdds.find_profile({"AMENT_PREFIX_PATH": prefixes}) == config / fastdds.PROFILE
    assert fastdds.large_message_environment({}, ROOMY) == ({}, f"{fastdds.PROFILE} is not installed")


@pytest.mark.parametrize(
    ("distribution", "variable"),
    [("humble", fastdds.OLD), ("iron", fastdds.OLD), ("jazzy", fastdds.OLD)]
    + [("kilted", fastdds.NEW), ("lyrical", fastdds.NEW), ("rolling", fastdds.NEW)],
)
def test_the_variable_is_the_one_that_the_distribution_reads(distribution, variable):
    assert fastdds.profile_variable({"ROS_DISTRO": distribution}) == variable
    added, reason = fastdds.large_message_environment({"ROS_DISTRO": distribution}, ROOMY)
    assert added == {variable: str(ROOT / "config" / fastdds.PROFILE)}
    assert reason == ""


@pytest.mark.parametrize(("version", "variable"), [("7.1.6", fastdds.OLD), ("9.1.2", fastdds.NEW)])
def test_without_a_distribution_name_the_installed_rclpy_decides(monkeypatch, version, variable):
    monkeypatch.setattr(fastdds.metadata, "version", lambda _name: version)
    assert fastdds.profile_variable({}) == variable


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({fastdds.NEW: "/mine.xml"}, fastdds.NEW),
        ({fastdds.OLD: "/mine.xml"}, fastdds.OLD),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, "FASTDDS_BUILTIN_TRANSPORTS"),
        ({"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}, "rmw_zenoh_cpp"),
    ],
)
def test_the_users_choice_is_kept(environ, word):
    added, reason = fastdds.large_message_environment(environ, ROOMY)
    assert added == {}
    assert word in reason


def test_another_fast_dds_middleware_gets_the_profile_too():
    added, _ = fastdds.large_message_environment({"RMW_IMPLEMENTATION": "rmw_fastrtps_dynamic_cpp"}, ROOMY)
    assert list(added.values()) == [str(ROOT / "config" / fastdds.PROFILE)]


def test_little_shared_memory_is_reported_with_advice(monkeypatch):
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(fastdds.shutil, "disk_usage", lambda _path: usage(64 << 20, 0, 64 << 20))
    added, reason = fastdds.large_message_environment({}, ROOMY)
    assert added == {}
    assert "67 MB" in reason and "--shm-size" in reason


@pytest.mark.ros
def test_fast_dds_accepts_the_profile():
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    if not Path("/dev/shm").is_dir():
        pytest.skip("Fast DDS takes shared memory from /dev/shm on Linux only")
    added, reason = fastdds.large_message_environment({"ROS_DISTRO": os.environ.get("ROS_DISTRO", "")})
    if reason:
        pytest.skip(f"no room for the profile here: {reason}")
    script = (
        "import os, rclpy\n"
        "before = set(os.listdir('/dev/shm'))\n"
        "rclpy.init(); node = rclpy.create_node('profile_probe')\n"
        "new = [f'/dev/shm/{name}' for name in os.listdir('/dev/shm') if name not in before]\n"
        "print('largest', max(map(os.path.getsize, new), default=0))\n"
        "node.destroy_node(); rclpy.shutdown()\n"
    )
    environ = {k: v for k, v in os.environ.items() if k not in fastdds.CHOSEN_BY_USER}
    environ |= {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    largest = {}
    for name, extra in (("default", {}), ("ours", added)):
        done = subprocess.run(
            [sys.executable, "-c", script], env=environ | extra, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        largest[name] = int(done.stdout.split("largest ")[1])
        assert "deprecated" not in done.stderr
    # Another process may create a segment at the same time, so only the larger one is evidence.
    assert largest["ours"] >= 64 << 20, largest
