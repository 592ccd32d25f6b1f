#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures loss and latency of large messages between two processes.

One process publishes the messages of a camera and of the depth node at a fixed rate, another receives them.
Latency is from just before `publish` to the callback with the unpacked message. Messages are reused and
refilled in place, as in the node, so that filling them is not measured.

    python benchmark/transport.py [--seconds 10] [--rate 30] [--width 640] [--height 480] [--one-sided]
"""

from __future__ import annotations

import argparse
import array
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

PROFILE = Path(__file__).resolve().parent.parent / "config" / "fastdds_large_data.xml"
VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
CASES = (
    "image best_effort",
    "image reliable",
    "cloud best_effort",
    "cloud reliable",
    "both best_effort",
    "both reliable",
)
SETTINGS = {"default": (), "ours": ("publish", "receive"), "sender": ("publish",), "receiver": ("receive",)}


def topics(case):
    """The topics of a case: (name, whether it is a cloud)."""
    kind = case.split()[0]
    return [("image", False)] * (kind != "cloud") + [("cloud", True)] * (kind != "image")


def quality(case, depth):
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    reliable = case.endswith(" reliable")
    policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, reliability=policy)


def new_message(cloud, width, height):
    from sensor_msgs.msg import Image, PointCloud2, PointField

    if cloud:
        message = PointCloud2(width=width, height=height, point_step=16, row_step=16 * width, is_dense=False)
        message.fields = [
            PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, n in enumerate(("x", "y", "z", "rgb"))
        ]
        message.data = array.array("B", bytes(16 * width * height))
    else:
        message = Image(width=width, height=height, encoding="rgb8", step=3 * width)
        message.data = array.array("B", bytes(3 * width * height))
    return message


def publish(case, seconds, rate, width, height):
    """Publish for `seconds` after somebody has subscribed; print the number of messages as JSON."""
    import rclpy

    rclpy.init()
    node = rclpy.create_node("transport_publisher")
    outputs = []
    for name, cloud in topics(case):
        message = new_message(cloud, width, height)
        outputs.append((node.create_publisher(type(message), f"transport/{name}", quality(case, 1)), message))
    deadline = time.monotonic() + 20
    while any(p.get_subscription_count() == 0 for p, _ in outputs):
        if time.monotonic() > deadline:
            raise SystemExit("transport: no subscriber within 20 s")
        rclpy.spin_once(node, timeout_sec=0.05)
    time.sleep(1.0)
    count, start = int(seconds * rate), time.monotonic()
    spent = 0.0
    for i in range(count):
        time.sleep(max(0.0, start + i / rate - time.monotonic()))
        for publisher, message in outputs:
            np.frombuffer(message.data, np.uint8)[:] = i % 256
            now = time.time_ns()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
            message.header.frame_id = str(i)
            begin = time.perf_counter()
            publisher.publish(message)
            spent += time.perf_counter() - begin
    time.sleep(1.0)
    print(json.dumps({"sent": count, "publish_ms": 1e3 * spent / count}), flush=True)
    node.destroy_node()
    rclpy.shutdown()


def camera_info(width, height, focal):
    """The CameraInfo of a pinhole camera without distortion; focal: in pixels."""
    from sensor_msgs.msg import CameraInfo

    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = [focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0]
    info.p = [focal, 0.0, width / 2, 0.0, 0.0, focal, height / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    return info


def publish_images(topic, message, info, fill, *, warm_up, seconds, rate, timeout=math.inf):
    """Publish images, each after its camera_info, to a subscriber; give up after `timeout` seconds without
    one.

    message: refilled by fill(number) for every image. Prints "counting" after warm_up seconds, and in the end
    the stamps from then on, nanoseconds, as JSON.
    """
    import rclpy
    from rclpy.qos import qos_profile_sensor_data

    rclpy.init()
    node = rclpy.create_node("camera")
    images = node.create_publisher(type(message), topic, qos_profile_sensor_data)
    infos = node.create_publisher(type(info), "camera_info", qos_profile_sensor_data)
    message.header.frame_id = info.header.frame_id = "camera"
    deadline = time.monotonic() + timeout
    while images.get_subscription_count() == 0:
        if time.monotonic() > deadline:
            return
        rclpy.spin_once(node, timeout_sec=0.05)
    start, stamps = time.monotonic(), []
    for number in range(int((warm_up + seconds) * rate)):
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        fill(number)
        now = time.time_ns()
        if number >= warm_up * rate:
            if not stamps:
                print("counting", flush=True)
            stamps.append(now)
        for header in (message.header, info.header):
            header.stamp.sec, header.stamp.nanosec = divmod(now, 10**9)
        infos.publish(info)
        images.publish(message)
    print(json.dumps(stamps), flush=True)
    time.sleep(3.0)  # wait for messages in transit


def receive(case):
    """Receive until no message has arrived for 4 s (25 s for the first one); print the messages as JSON."""
    import rclpy

    rclpy.init()
    node = rclpy.create_node("transport_receiver")
    arrived = {name: [] for name, _ in topics(case)}
    state = {"last": time.monotonic() + 21, "torn": 0}

    def callback(name, message):
        now = time.time_ns()
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        arrived[name].append((now - stamp) / 1e6)
        content = np.frombuffer(message.data, np.uint8)
        state["torn"] += bool(content[0] != int(message.header.frame_id) % 256 or content[0] != content[-1])
        state["last"] = time.monotonic()

    kept = []
    for name, cloud in topics(case):
        kind = type(new_message(cloud, 1, 1))
        kept.append(
            node.create_subscription(
                kind, f"transport/{name}", lambda m, name=name: callback(name, m), quality(case, 1)
            )
        )
    while time.monotonic() < state["last"] + 4:
        rclpy.spin_once(node, timeout_sec=0.2)
    print(json.dumps({"arrived": arrived, "torn": state["torn"]}), flush=True)
    node.destroy_node()
    rclpy.shutdown()


def environment(with_profile):
    """This process's environment with or without our profile, for Fast DDS on this machine only."""
    result = {k: v for k, v in os.environ.items() if k not in (*VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")}
    result["RMW_IMPLEMENTATION"] = "rmw_fastrtps_cpp"
    result.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if with_profile:
        result.update(dict.fromkeys(VARIABLES, str(PROFILE)))
    return result


def measure(case, profile_on, options):
    """Run one case in two processes; return (rows, publish milliseconds, torn messages)."""
    common = [
        sys.executable,
        __file__,
        "--case",
        case,
        "--seconds",
        str(options.seconds),
        "--rate",
        str(options.rate),
        "--width",
        str(options.width),
        "--height",
        str(options.height),
    ]
    receiver, publisher = (
        subprocess.Popen(
            [*common, "--part", part], env=environment(part in profile_on), stdout=subprocess.PIPE, text=True
        )
        for part in ("receive", "publish")
    )
    sent = json.loads(publisher.communicate()[0].splitlines()[-1])
    got = json.loads(receiver.communicate()[0].splitlines()[-1])
    rows = [(name, sent["sent"], values) for name, values in got["arrived"].items()]
    return rows, sent["publish_ms"], got["torn"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--case", choices=CASES, help="only this case")
    parser.add_argument("--one-sided", action="store_true", help="also with the profile in one process only")
    parser.add_argument("--part", choices=("publish", "receive"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "publish":
        return publish(options.case, options.seconds, options.rate, options.width, options.height)
    if options.part == "receive":
        return receive(options.case)
    print(
        f"{options.width}x{options.height} rgb8 image and XYZRGB cloud, {options.rate:g} Hz, "
        f"{options.seconds:g} s, keep last 1, two rclpy processes"
    )
    print(
        f"{'case':20s} {'topic':6s} {'profile':9s} {'arrived':>12s} {'median ms':>10s} {'95 % ms':>8s} "
        f"{'max ms':>7s} {'publish ms':>10s}"
    )
    for case in (options.case,) if options.case else CASES:
        for label, profile_on in SETTINGS.items() if options.one_sided else list(SETTINGS.items())[:2]:
            rows, publish_ms, torn = measure(case, profile_on, options)
            for name, sent, values in rows:
                figures = (
                    [f"{v:.1f}" for v in (*np.percentile(values, (50, 95)), max(values))]
                    if values
                    else ["-"] * 3
                )
                print(
                    f"{case:20s} {name:6s} {label:9s} {len(values):>5d} of {sent:<4d}{figures[0]:>10s} "
                    f"{figures[1]:>8s} {figures[2]:>7s} {publish_ms:>10.1f}"
                    + (f"  {torn} torn" if torn else ""),
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
