#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several cameras in one process on one engine, against one process and engine for each: memory and images.

    python benchmark/cameras.py [--cameras 2,4,6] [--rate 30] [--seconds 10] [--repeats 3] [--engine auto]

Another process simulates all cameras and subscribes to every scan and quality message. Each case is started
anew; the cases alternate, and medians are printed. Memory is PSS, which counts shared memory once. "Cores
shared out": each process has the parameter threads = cores / cameras.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.machine.processor import machine
from clip2depth_ros.camera import Camera
from clip2depth_ros.ros.fastdds import large_message_environment

WIDTH, HEIGHT = 640, 480
WARM = 5.0  # seconds of images before the measurement
DEADLINE = 60.0
TRIES = 3
MODES = ("one process", "a process each", "a process each, cores shared out", "one process, load.max_cpu: 1")


def pictures() -> list[array.array]:
    """A view that moves sideways, as the data of rgb8 images."""
    coarse = np.random.default_rng(11).integers(0, 256, (60, 90, 3), np.uint8)
    wide = cv2.resize(coarse, (900, 600), interpolation=cv2.INTER_CUBIC)
    views = (wide[:HEIGHT, 5 * shift : 5 * shift + WIDTH] for shift in (*range(30), *range(30, 0, -1)))
    return [array.array("B", np.ascontiguousarray(view).tobytes()) for view in views]


class Cameras:
    """The cameras, and the output of their nodes."""

    def __init__(self, names: list[str]) -> None:
        import rclpy
        from clip2depth_ros.msg import DepthQuality
        from sensor_msgs.msg import CameraInfo, Image, LaserScan

        from clip2depth_ros.io.messages.camera_info import fill_camera_info
        from clip2depth_ros.ros.qos import volatile

        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("benchmark_cameras", context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.quality: dict[str, list] = {name: [] for name in names}
        self.outlets = []
        for name in names:
            image = Image(width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH)
            info = CameraInfo()
            fill_camera_info(info, Camera(WIDTH, HEIGHT, 525.0, 525.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2))
            publishers = [
                self.node.create_publisher(kind, f"/{name}/{topic}", volatile(2))
                for kind, topic in ((Image, "image"), (CameraInfo, "camera_info"))
            ]
            self.outlets.append((image, info, *publishers))
            heard = self.quality[name].append
            self.node.create_subscription(DepthQuality, f"/{name}/clip2depth/quality", heard, volatile(200))
            self.node.create_subscription(
                LaserScan, f"/{name}/clip2depth/scan", lambda _scan: None, volatile(5)
            )
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def stream(self, rate: float) -> None:
        """Publish images of every camera until `close`, the cameras in turn."""
        self._thread = threading.Thread(target=self._send, args=(rate,), daemon=True)
        self._thread.start()

    def _send(self, rate: float) -> None:
        views, begin, number = pictures(), time.monotonic(), 0
        while not self._ended.is_set():
            image, info, to_image, to_info = self.outlets[number % len(self.outlets)]
            image.data = views[number // len(self.outlets) % len(views)]
            stamp = self.node.get_clock().now().to_msg()
            for message, publisher in ((info, to_info), (image, to_image)):
                message.header.stamp, message.header.frame_id = stamp, "optical"
                with contextlib.suppress(
                    RuntimeError
                ):  # Fast DDS timed out on a full queue: a camera continues
                    publisher.publish(message)
            number += 1
            due = begin + number / rate / len(self.outlets)
            self._ended.wait(max(0.0, due - time.monotonic()))

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


def commands(mode: str, names: list[str], engine: str) -> list[list[str]]:
    """The commands to start for these cameras."""
    run = [sys.executable, "-m"]
    given = ["-p", f"engine:={engine}", "-p", "image.queue:=2"]
    if mode == MODES[3]:
        given += ["-p", "load.max_cpu:=1.0"]
    if mode in (MODES[0], MODES[3]):
        return [[*run, "clip2depth_ros.ros.nodes.depth_nodes", *names, "--ros-args", *given]]
    if mode == MODES[2]:
        given += ["-p", f"threads:={max(1, (os.cpu_count() or 1) // len(names))}"]
    node = [*run, "clip2depth_ros.ros.nodes.depth_node", "--ros-args", *given]
    return [[*node, "-r", f"__ns:=/{name}"] for name in names]


def memory(pid: int) -> float:
    """Megabytes (PSS) of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("cameras: this kernel does not provide PSS")


def spent(pid: int) -> float:
    """Processor time of a process so far, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(mode: str, count: int, options: argparse.Namespace) -> dict[str, float]:
    """Run one case."""
    names = [f"camera{number}" for number in range(count)]
    cameras = Cameras(names)
    with tempfile.TemporaryFile("w+") as log:
        running = [
            subprocess.Popen(command, stdout=log, stderr=log)
            for command in commands(mode, names, options.engine)
        ]
        try:
            cameras.stream(options.rate)
            deadline = time.monotonic() + DEADLINE
            while not all(cameras.quality.values()):
                cameras.spin(0.2)
                if time.monotonic() > deadline or any(p.poll() is not None for p in running):
                    log.seek(0)
                    raise SystemExit(f"cameras: {mode}, {count} cameras: no depth\n{log.read()}")
            cameras.spin(WARM)
            before = {name: len(heard) for name, heard in cameras.quality.items()}
            began, cpu = time.monotonic(), sum(spent(p.pid) for p in running)
            cameras.spin(options.seconds)
            took = time.monotonic() - began
            cpu = sum(spent(p.pid) for p in running) - cpu
            megabytes = sum(memory(p.pid) for p in running)
        finally:
            for process in running:
                process.send_signal(signal.SIGINT)
            for process in running:
                process.wait(30)
            cameras.close()
    new = {name: heard[before[name] :] for name, heard in cameras.quality.items()}
    done = [len(heard) for heard in new.values()]
    return {
        "MB": megabytes,
        "images": sum(done) / took,
        "even": min(done) / max(done),
        "cpu": 1e3 * cpu / max(1, sum(done)),
        "latency": 1e3 * statistics.median(q.latency for heard in new.values() for q in heard),
    }


def measured(mode: str, count: int, options: argparse.Namespace) -> dict[str, float]:
    """One case, with its cameras in their own process, like drivers; retried if no image arrives."""
    command = [sys.executable, __file__, "--case", mode, "--cameras", str(count), "--engine", options.engine]
    command += ["--rate", str(options.rate), "--seconds", str(options.seconds)]
    for _ in range(TRIES):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1])
        print(f"cameras: {mode}, {count} cameras: retry", file=sys.stderr)
    raise SystemExit(f"cameras: {mode}, {count} cameras: no depth")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cameras", default="2,4,6", help="numbers of cameras, separated by commas")
    parser.add_argument("--rate", type=float, default=30.0, help="images per second of each camera")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--case", choices=MODES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case, int(options.cameras), options)))
        return 0
    os.environ.update(large_message_environment()[0])
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ["PYTHONPATH"] = f"{Path(__file__).resolve().parents[1]}:{os.environ.get('PYTHONPATH', '')}"
    print(f"{machine()}; {WIDTH}x{HEIGHT} at {options.rate:g} Hz from each camera, the scan listened to\n")
    print("| cameras | | memory, MB | images/s | slowest / fastest camera | CPU, ms/image | latency, ms |")
    print("|---|---|---|---|---|---|---|")
    for count in (int(text) for text in options.cameras.split(",")):
        found: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
        for _ in range(options.repeats):
            for mode in MODES:
                found[mode].append(measured(mode, count, options))
        for mode, runs in found.items():
            middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(
                f"| {count} | {mode} | {middle['MB']:.0f} | {middle['images']:.1f} | {middle['even']:.2f} | "
                f"{middle['cpu']:.0f} | {middle['latency']:.0f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
