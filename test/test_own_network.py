# SPDX-License-Identifier: Apache-2.0
"""Our programs in a network of their own, where every packet that they send is seen, native code's too."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

# Runs in a new network namespace. The loopback device is the only one; it has a second address, as a network
# card has one, and is the route to everywhere. So a socket that listens there sees all that a program sends.
INSIDE = """
import ipaddress, json, os, signal, socket, subprocess, sys, threading, time
ready, command = sys.argv[1], sys.argv[2:]
for line in ("link set lo up", "address add 10.77.0.1/24 dev lo", "route add default via 10.77.0.1"):
    subprocess.run(["ip", *line.split()], check=True)
# Without IPv6 there is nothing to see of it.
subprocess.run(["ip", "-6", "route", "add", "default", "dev", "lo"], stderr=subprocess.DEVNULL)
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
sent = set()
def listen():
    while True:
        packet, (_, kind, direction, *_) = tap.recvfrom(2**17)
        if direction != socket.PACKET_OUTGOING:
            continue
        if kind == 0x0800:
            address, protocol, start = packet[16:20], packet[9], (packet[0] & 15) * 4
        elif kind == 0x86DD:
            address, protocol, start = packet[24:40], packet[6], 40
        else:
            continue
        port = int.from_bytes(packet[start + 2 : start + 4], "big") if protocol in (6, 17) else 0
        sent.add((ipaddress.ip_address(address), port))
threading.Thread(target=listen, daemon=True).start()
process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
said = ""
for line in process.stdout:
    said += line
    if ready and ready in line:
        threading.Timer(3.0, process.send_signal, [signal.SIGINT]).start()
code = process.wait()
time.sleep(0.2)
own = {"127.0.0.1", "10.77.0.1", "::1"}
outside = [
    f"{address}:{port}" for address, port in sorted(sent, key=str)
    if port == 53 or not (address.is_multicast or address.is_loopback or str(address) in own)
]
inside = sum(port > 0 for _, port in sent) - len(outside)
print(json.dumps({"code": code, "said": said, "outside": outside, "inside": inside}))
"""


@pytest.fixture
def in_own_network(tmp_path):
    """Function that runs Python with arguments to its end, or 3 s past a line with `ready`, and tells what it
    sent: code, said, outside (addresses that are neither this computer's nor multicast, and name servers),
    inside (how many other addresses and ports, by TCP or UDP)."""
    try:
        tried = subprocess.run(
            ["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True, text=True
        )
    except FileNotFoundError as error:
        pytest.skip(f"{error.filename} is not installed")
    if tried.returncode:
        pytest.skip(f"no network namespace is to be had here: {tried.stderr.strip()}")
    environment = {
        "HOME": str(tmp_path / "home"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "AMENT_PREFIX_PATH": os.environ.get("AMENT_PREFIX_PATH", sys.prefix),
    }
    for name in ("LD_LIBRARY_PATH", "ROS_DISTRO", "RMW_IMPLEMENTATION"):  # of a ROS installation
        if name in os.environ:
            environment[name] = os.environ[name]
    (tmp_path / "home").mkdir()

    def run(*arguments: str, ready: str = "") -> dict:
        command = ["unshare", "-rn", sys.executable, "-c", INSIDE, ready, sys.executable, *arguments]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run


def test_the_watch_sees_what_leaves(in_own_network):
    program = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
    end.sendto(b"question", ("192.0.2.1", 99))
    end.sendto(b"question", ("127.0.0.1", 53))
    end.sendto(b"question", ("239.255.0.1", 7400))
with socket.socket() as end:
    end.settimeout(0.2)
    try:
        end.connect(("198.51.100.7", 443))
    except OSError:
        pass
"""
    seen = in_own_network("-c", program)
    assert seen["outside"] == ["127.0.0.1:53", "192.0.2.1:99", "198.51.100.7:443"]
    assert seen["inside"] == 1


@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
def test_run_sends_nothing(in_own_network, tmp_path):
    (tmp_path / "rgb").mkdir()
    for number in range(2):
        picture = np.random.default_rng(number).integers(0, 256, (120, 160, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"rgb/{number}.png"), picture)
    seen = in_own_network(
        "-m", "clip2depth_ros", "run", "--input", "rgb", "--output", "out", "--horizontal-fov", "1.0"
    )
    assert seen["code"] == 0, seen["said"]
    assert len(list((tmp_path / "out/depth").iterdir())) == 2
    assert seen["outside"] == [] and seen["inside"] == 0


def test_doctor_asks_nobody_outside(in_own_network):
    """It looks for ROS nodes, so it speaks by multicast, and to itself."""
    seen = in_own_network("-m", "clip2depth_ros", "doctor")
    assert "bundle" in seen["said"].lower(), seen["said"]
    assert seen["outside"] == []


@pytest.mark.ros
@pytest.mark.skipif(find_spec("rclpy") is None, reason="rclpy is not installed")
def test_depth_node_speaks_to_ros_alone(in_own_network):
    seen = in_own_network("-m", "clip2depth_ros.ros.nodes.depth_node", ready="Ready")
    assert "Ready" in seen["said"] and seen["code"] == 0, seen["said"]
    assert seen["outside"] == []
    assert seen["inside"] > 0  # discovery
