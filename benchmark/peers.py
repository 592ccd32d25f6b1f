#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""depth_node compared with a typical depth node in rclpy, on the same images at 30 Hz.

    python benchmark/peers.py [--seconds 20] [--rate 30] [--only NUMBER ...]

1. depth_node with its defaults: automatic precision, stabilizer, points of every second pixel and row.
2. depth_node with the work of the typical node: fp32, no stabilizer, points of every pixel.
3. The typical node: conversion as in cv_bridge, ONNX Runtime, the cloud from structured arrays; the bundle's
own
   model.onnx, so the same network in the same precision.
4. The typical node with a network of Depth Anything V2 Small's size at 518x392 (ViT-S/14, DPT head, random
   weights, created here by PyTorch).

Each in turn in its own process, with a camera process and a subscriber of depth and points, all on this
machine with Fast DDS. CPU: processor time of the node's process (all threads) per depth image. Latency: from
the stamp, set just before the camera publishes, to the subscriber's callback. Lost: images without depth.
Needs ONNX Runtime, and for 4 the `train` extra. The first seconds are not counted.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.engine_table.networks import PEER, bundle_of
from benchmark.transport import camera_info, environment, publish_images
from clip2depth_ros.bundle import open_bundle

WIDTH, HEIGHT, FOCAL = 640, 480, 525.0
WARM_UP = 4.0  # seconds
VIT = (392, 518)  # 4:3 in multiples of 14
NODE = "from clip2depth_ros.ros.starting import depth_node; raise SystemExit(depth_node())"
LIKE_THE_USUAL = ("precision:=fp32", "stabilizer.enabled:=false", "points.stride:=1")


def camera(seconds: float, rate: float) -> None:
    """Publish moving images; see `publish_images`."""
    from sensor_msgs.msg import Image

    message = Image(width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH)
    message.data = array.array("B", bytes(3 * WIDTH * HEIGHT))
    pixels = np.frombuffer(message.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    picture = cv2.resize(open_bundle("mini").check()[0], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)

    def fill(number: int) -> None:
        pixels[:] = np.roll(picture, number % 40, axis=1)

    info = camera_info(WIDTH, HEIGHT, FOCAL)
    publish_images("image", message, info, fill, warm_up=WARM_UP, seconds=seconds, rate=rate)


def subscriber() -> None:
    """Receive depth and points until SIGTERM; print [stamp, latency] of each, nanoseconds, as JSON."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image, PointCloud2

    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    node = rclpy.create_node("subscriber")
    arrived = {"depth": [], "points": []}

    def on(name: str, message) -> None:
        now, stamp = time.time_ns(), message.header.stamp
        stamp = stamp.sec * 10**9 + stamp.nanosec
        arrived[name].append((stamp, now - stamp))

    for name, kind in (("depth", Image), ("points", PointCloud2)):
        node.create_subscription(kind, name, lambda m, name=name: on(name, m), qos_profile_sensor_data)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    while not ended:
        rclpy.spin_once(node, timeout_sec=0.2)
    print(json.dumps(arrived), flush=True)


def usual_node(model: str) -> None:
    """The typical node: everything in the image callback."""
    import onnxruntime
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    _, height, width, _ = session.get_inputs()[0].shape
    rclpy.init()
    node = rclpy.create_node("usual")
    depths = node.create_publisher(Image, "depth", 10)
    clouds = node.create_publisher(PointCloud2, "points", 10)
    k = []

    def on_info(message: CameraInfo) -> None:
        k[:] = message.k

    def on_image(message: Image) -> None:
        image = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        fitted = cv2.resize(image, (width, height))
        (depth,) = session.run(None, {session.get_inputs()[0].name: fitted[None]})
        depth = cv2.resize(depth[0], (message.width, message.height))
        answer = Image(header=message.header, height=message.height, width=message.width)
        answer.encoding, answer.step = "32FC1", 4 * message.width
        answer.data = array.array("B", depth.tobytes())
        depths.publish(answer)
        if not k:
            return
        v, u = np.indices(depth.shape)
        points = np.zeros(depth.shape, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("rgb", "u4")])
        points["x"] = (u - k[2]) * depth / k[0]
        points["y"] = (v - k[5]) * depth / k[4]
        points["z"] = depth
        red, green, blue = (image[..., channel].astype(np.uint32) for channel in range(3))
        points["rgb"] = red << 16 | green << 8 | blue
        cloud = PointCloud2(header=message.header, height=message.height, width=message.width, point_step=16)
        cloud.row_step = 16 * message.width
        cloud.fields = [
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate(("x", "y", "z", "rgb"))
        ]
        cloud.data = array.array("B", points.tobytes())
        clouds.publish(cloud)

    node.create_subscription(CameraInfo, "camera_info", on_info, qos_profile_sensor_data)
    node.create_subscription(Image, "image", on_image, qos_profile_sensor_data)
    rclpy.spin(node)


def subjects(scratch: Path) -> dict[int, tuple[str, list[str]]]:
    """Number -> title and command."""
    ours = [
        sys.executable,
        "-c",
        NODE,
        "--ros-args",
        "-r",
        "~/depth/image_rect:=depth",
        "-r",
        "~/points:=points",
    ]
    usual = [sys.executable, __file__, "--part", "usual", "--model"]
    alike = [word for setting in LIKE_THE_USUAL for word in ("-p", setting)]
    (scratch / "mini.onnx").write_bytes(open_bundle("mini").model())
    return {
        1: ("depth_node", ours),
        2: ("depth_node, like the usual", [*ours, *alike]),
        3: ("usual node, same network", [*usual, str(scratch / "mini.onnx")]),
        4: ("usual node, ViT-S/14 + DPT", [*usual, str(scratch / "vit.onnx")]),
    }


def processor_time(pid: int) -> float:
    """Processor time of all threads of a process so far, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(command: list[str], seconds: float, rate: float) -> dict:
    """Results of one subject: sent, depth and points: (stamp, latency) of counted messages; cpu, seconds."""
    surroundings = environment(with_profile=True)
    here = [sys.executable, __file__, "--seconds", str(seconds), "--rate", str(rate), "--part"]
    processes = []

    def start(command: list[str], **options) -> subprocess.Popen:
        options["stderr"] = subprocess.DEVNULL
        processes.append(subprocess.Popen(command, env=surroundings, text=True, **options))
        return processes[-1]

    try:
        node = start(command, stdout=subprocess.DEVNULL)
        listening = start([*here, "subscriber"], stdout=subprocess.PIPE)
        filming = start([*here, "camera"], stdout=subprocess.PIPE)
        if filming.stdout.readline() != "counting\n":
            raise SystemExit("peers: the camera found no subscriber")
        before = processor_time(node.pid)
        sent = json.loads(filming.stdout.readline())
        spent = processor_time(node.pid) - before
        filming.wait()
        listening.send_signal(signal.SIGTERM)
        arrived = json.loads(listening.communicate()[0])
    finally:
        for process in processes:
            process.kill()
            process.wait()
    counted = set(sent)
    kept = {name: [late for stamp, late in both if stamp in counted] for name, both in arrived.items()}
    return {"sent": len(sent), "cpu": spent, **kept}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=30.0, help="images per second")
    parser.add_argument("--only", type=int, nargs="+", choices=(1, 2, 3, 4), default=(1, 2, 3, 4))
    parser.add_argument("--part", choices=("camera", "subscriber", "usual"), help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part == "camera":
        return camera(args.seconds, args.rate)
    if args.part == "subscriber":
        return subscriber()
    if args.part == "usual":
        return usual_node(args.model)
    print(f"{WIDTH}x{HEIGHT} rgb8, {args.rate:g} Hz, {args.seconds:g} s each, {os.cpu_count()} cores")
    print(f"{'':27} {'CPU a frame':>11} {'depth after':>11} {'95 %':>9} {'points after':>12} {'lost':>6}")
    with tempfile.TemporaryDirectory() as scratch:
        if 4 in args.only:
            (Path(scratch) / "vit.onnx").write_bytes(bundle_of(PEER, VIT, Path(scratch) / "peer").model())
        for number, (title, command) in subjects(Path(scratch)).items():
            if number not in args.only:
                continue
            row = measure(command, args.seconds, args.rate)
            depth, points = (np.array(row[name]) / 1e6 for name in ("depth", "points"))
            if not len(depth):
                print(f"{title:27} no depth came")
                continue
            lost = 1 - len(depth) / row["sent"]
            late = np.median(points) if len(points) else np.nan
            print(
                f"{title:27} {1e3 * row['cpu'] / len(depth):8.1f} ms {np.median(depth):8.1f} ms "
                f"{np.percentile(depth, 95):6.1f} ms {late:9.1f} ms {lost:6.1%}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
