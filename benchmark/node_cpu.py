#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Processor time of depth_node's process per image, by thread and by part, over DDS.

    python benchmark/node_cpu.py [--sizes 640x480,1920x1080] [--jpeg] [--seconds 10] [--rounds 3] [--rate 30]
                                 [--against CHECKOUT] [--parts]

A camera, depth_node, and a subscriber to depth, points and scan run in one process each, all on this machine
with Fast DDS. The result is the processor time of all threads of the node's process while the camera
publishes, divided by the number of its depth images; it is less sensitive to other programs than wall time.
The first seconds are not counted. --against: the node of another checkout, such as one of an older commit,
alternates with this one's, with the same Python; the ratio is the median over the rounds. "network": the
engine alone, without a node. --parts: the time of the Python threads by function; this adds overhead, so use
it in a separate run.
"""

from __future__ import annotations

import argparse
import array
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.machine.processor import machine
from benchmark.transport import camera_info, environment, publish_images

HERE = Path(__file__).resolve().parents[1]
WARM_UP = 4.0  # seconds
FOCAL = 0.82  # focal length over image width
TRIES = 3
SUBSCRIBE_TIMEOUT = 30.0  # seconds until the node subscribes
VIEWS = 40  # images of the sequence, played forward and backward
EXECUTOR, WORKER, OTHERS = "executor", "worker", "engine and DDS"


def pan(width: int, height: int, jpeg: bool) -> list[array.array]:
    """A view that pans over structure at every scale: the data of rgb8 images, or of JPEGs."""
    rng = np.random.default_rng(5)
    step = max(1, width // 160)
    scene = np.zeros((height, width + VIEWS * step, 3), np.float32)
    for cells in (6, 30, 150):
        grain = rng.random((cells, cells, 3), np.float32)
        scene += cv2.resize(grain, scene.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    scene = np.clip(scene * 85, 0, 255).astype(np.uint8)
    views = [np.ascontiguousarray(scene[:, step * n : step * n + width]) for n in range(VIEWS)]
    coded = [cv2.imencode(".jpg", view)[1] if jpeg else view for view in views]
    return [array.array("B", one.tobytes()) for one in coded]


def camera(width: int, height: int, jpeg: bool, seconds: float, rate: float) -> None:
    """Publish the views forward and backward; see `publish_images`."""
    from sensor_msgs.msg import CompressedImage, Image

    views = pan(width, height, jpeg)
    message = (
        CompressedImage(format="jpeg")
        if jpeg
        else Image(width=width, height=height, encoding="rgb8", step=3 * width)
    )

    def fill(number: int) -> None:
        turn = number % (2 * VIEWS - 2)
        message.data = views[min(turn, 2 * VIEWS - 2 - turn)]

    publish_images(
        "image/compressed" if jpeg else "image",
        message,
        camera_info(width, height, FOCAL * width),
        fill,
        warm_up=WARM_UP,
        seconds=seconds,
        rate=rate,
        timeout=SUBSCRIBE_TIMEOUT,
    )


def listener() -> None:
    """Receive depth, points and scan until SIGTERM; print the stamps of each, nanoseconds, as JSON."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image, LaserScan, PointCloud2

    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    node = rclpy.create_node("listener")
    arrived = {"depth": [], "points": [], "scan": []}
    for name, kind in (("depth", Image), ("points", PointCloud2), ("scan", LaserScan)):

        def on(message, name=name) -> None:
            stamp = message.header.stamp
            arrived[name].append(stamp.sec * 10**9 + stamp.nanosec)

        node.create_subscription(kind, name, on, qos_profile_sensor_data)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    while not ended:
        rclpy.spin_once(node, timeout_sec=0.2)
    print(json.dumps(arrived), flush=True)


# Prints the median processor time of one inference (all threads, milliseconds) and the precision.
NETWORK = """
import time
from statistics import median
import numpy as np
from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.engines import open_engine
bundle, took = open_bundle("mini"), []
image = np.ascontiguousarray(bundle.check()[0])
with open_engine(bundle, "auto") as engine:
    for _ in range(120):
        before = time.process_time()
        engine.infer(image)
        took.append((time.process_time() - before) * 1e3)
        time.sleep(0.01)
    print(median(took[10:]), engine.precision)
"""


def network(checkout: Path, scratch: Path) -> tuple[float, str]:
    """Processor time of one inference without a node, milliseconds, and its precision."""
    command = [sys.executable, "-c", NETWORK]
    given = environment(with_profile=True) | {"PYTHONPATH": str(checkout)}
    answer = subprocess.run(
        command,
        env=given,
        cwd=scratch,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    ).stdout.split()
    return float(answer[0]), answer[1]


# Runs the node. Writes the ids of Python's threads to the first file. On SIGUSR1, writes the processor times
# of functions, each without its callees, to the second file.
NODE = """
import importlib, json, os, signal, sys, threading, time
ids, parts = sys.argv.pop(1), sys.argv.pop(1)
begin = threading.Thread.run
def run(self):
    with open(ids, "a") as file:
        print(threading.get_native_id(), self.name, file=file)
    begin(self)
threading.Thread.run = run
totals, held = {}, threading.local()
def timed(function, label):
    def measured(*args, **options):
        stack = held.__dict__.setdefault("stack", [0.0])
        stack.append(0.0)
        before = time.thread_time()
        try:
            return function(*args, **options)
        finally:
            took = time.thread_time() - before
            name = label(*args) if callable(label) else label
            totals[name] = totals.get(name, 0.0) + took - stack.pop()
            stack[-1] += took
    return measured
def tell(*_):
    with open(parts + ".part", "w") as file:
        json.dump(totals, file)
    os.replace(parts + ".part", parts)
if parts:
    signal.signal(signal.SIGUSR1, tell)
    import gc
    collecting = []
    def collected(phase, info):
        collecting.append(time.thread_time())
        if phase == "stop":
            stop, start = collecting.pop(), collecting.pop()
            label = "garbage, generation %d" % info["generation"]
            totals[label] = totals.get(label, 0.0) + stop - start
    gc.callbacks.append(collected)
    short = lambda name: name.rpartition("/")[2]
    for module, owner, name, label in (
        ("rclpy.executors", "Executor", "_take_subscription", lambda _, s: "take " + short(s.topic_name)),
        ("rclpy.executors", "SingleThreadedExecutor", "spin_once", "executor, the rest"),
        ("rclpy.publisher", "Publisher", "publish", lambda p, _: "publish " + short(p.topic_name)),
        ("clip2depth_ros.ros.nodes.depth_node", "DepthNode", "_watch", "watch and diagnostics"),
        ("clip2depth_ros.ros.nodes.depth_node", "DepthNode", "_publish_diagnostics", "watch and diagnostics"),
        ("clip2depth_ros.ros.nodes.depth_node", "DepthNode", "_one_image", "worker, the rest"),
        ("clip2depth_ros.io.messages.images", "ImageCodec", "decode", "decode"),
        ("clip2depth_ros.io.messages.images", "ImageCodec", "decode_for", "decode"),
        ("clip2depth_ros.ros.inputs.camera_input", "CameraInput", "camera_for", "camera"),
        ("clip2depth_ros.pipeline", "Pipeline", "process", "pipeline, the rest"),
        ("clip2depth_ros.camera.resampler", "Resampler", "resample", "fit"),
        ("clip2depth_ros.camera", "Letterbox", "letterbox", "fit"),
        ("clip2depth_ros.engines.openvino", "OpenVinoEngine", "infer", "infer (this thread's part)"),
        ("clip2depth_ros.stabilizer", "Stabilizer", "update", "stabilize"),
        ("clip2depth_ros.scale", "ScaleEstimator", "update", "scale"),
        ("clip2depth_ros.camera", "Letterbox", "restore", "unfit"),
        ("clip2depth_ros.camera", "Letterbox", "take", "unfit"),
        ("clip2depth_ros.camera", "Letterbox", "enlarge", "unfit"),
        ("clip2depth_ros.outputs", "PointCloud", "build", "cloud"),
        ("clip2depth_ros.outputs", "LaserScan", "build", "scan"),
        ("clip2depth_ros.ros.outputs.outgoing", "DepthMessage", "fill", "fill depth"),
        ("clip2depth_ros.ros.outputs.outgoing", "DepthMessage", "fill_frame", "fill depth"),
    ):
        owner = getattr(importlib.import_module(module), owner, None)
        if name in vars(owner or object):
            setattr(owner, name, timed(vars(owner)[name], label))
try:
    from clip2depth_ros.ros.nodes.depth_node import main
except ModuleNotFoundError:  # a checkout from before 0.1.0
    from clip2depth_ros.ros.depth_node import main
raise SystemExit(main())
"""


def parts_of(node: subprocess.Popen, path: Path) -> dict[str, float]:
    """Processor time of the node's functions so far, seconds."""
    path.unlink(missing_ok=True)
    node.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + 5
    while not path.exists():
        if time.monotonic() > deadline:
            raise SystemExit("node_cpu: the node does not report its functions")
        time.sleep(0.01)
    return json.loads(path.read_text())


class Silent(Exception):
    """No messages arrived. With Fast DDS this sometimes happens after another process was killed."""


def threads_of(pid: int) -> dict[int, float]:
    """Processor time of every thread so far, seconds."""
    taken = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            taken[int(task.name)] = int((task / "schedstat").read_text().split()[0]) * 1e-9
        except (FileNotFoundError, ProcessLookupError):  # the thread has just ended
            continue
    return taken


def measure(checkout: Path, size: tuple[int, int], args: argparse.Namespace, scratch: Path) -> dict:
    """Milliseconds per depth image, of each thread and in total; and the fraction of lost images."""
    ids, parts = scratch / "threads", scratch / "parts"
    ids.write_text("")
    surroundings = environment(with_profile=True)
    here = [sys.executable, __file__, "--seconds", str(args.seconds), "--rate", str(args.rate)]
    here += ["--sizes", "x".join(map(str, size)), *(["--jpeg"] if args.jpeg else []), "--part"]
    names = {"~/depth/image_rect": "depth", "~/points": "points", "~/scan": "scan"}
    given = [word for name, to in names.items() for word in ("-r", f"{name}:={to}")]
    settings = ["scale.height:=0.6", "mounting.pitch:=0.1", f"points.stride:={args.stride}"]
    settings += ["image_transport:=compressed"] if args.jpeg else []
    given += [word for setting in settings for word in ("-p", setting)]
    processes = []

    def start(command: list[str], **options) -> subprocess.Popen:
        processes.append(subprocess.Popen(command, text=True, **options))
        return processes[-1]

    quiet = {"stderr": subprocess.DEVNULL, "env": surroundings}
    try:
        node = start(
            [sys.executable, "-c", NODE, str(ids), str(parts) if args.parts else "", "--ros-args", *given],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=surroundings | {"PYTHONPATH": str(checkout)},
            cwd=scratch,
        )
        listening = start([*here, "listener"], stdout=subprocess.PIPE, **quiet)
        filming = start([*here, "camera"], stdout=subprocess.PIPE, **quiet)
        if filming.stdout.readline() != "counting\n":
            raise Silent(f"the camera found no subscriber within {SUBSCRIBE_TIMEOUT:g} s")
        before = threads_of(node.pid)
        functions = parts_of(node, parts) if args.parts else {}
        sent = json.loads(filming.stdout.readline())
        after = threads_of(node.pid)
        functions_after = parts_of(node, parts) if args.parts else {}
        filming.wait()
        listening.send_signal(signal.SIGTERM)
        arrived = json.loads(listening.communicate()[0])
    finally:
        # Orderly shutdown, so that Fast DDS removes its shared memory.
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    counted = set(sent)
    got = {name: len(counted.intersection(stamps)) for name, stamps in arrived.items()}
    if not got["depth"]:
        raise Silent(f"no depth from {checkout}")
    named = dict(line.split(" ", 1) for line in ids.read_text().splitlines())
    spent = {EXECUTOR: 0.0, WORKER: 0.0, OTHERS: 0.0}
    for thread, seconds in after.items():
        name = named.get(str(thread))
        kind = EXECUTOR if thread == node.pid else WORKER if name == "clip2depth" else OTHERS
        spent[kind] += (seconds - before.get(thread, 0.0)) * 1e3 / got["depth"]
    spent["node"] = sum(spent.values())
    spent["lost"] = 1 - got["depth"] / len(sent)
    spent["points"] = got["points"] / got["depth"]
    spent["scans"] = got["scan"] / got["depth"]
    for name, seconds in functions_after.items():
        spent[f"part {name}"] = (seconds - functions.get(name, 0.0)) * 1e3 / got["depth"]
    return spent


def measured(checkout: Path, size: tuple[int, int], args: argparse.Namespace, scratch: Path) -> dict:
    """`measure`, up to TRIES times."""
    for attempt in range(1, TRIES + 1):
        try:
            return measure(checkout, size, args, scratch)
        except Silent as error:
            if attempt == TRIES:
                raise SystemExit(f"node_cpu: {error}") from None
            print(f"retry: {error}", file=sys.stderr)


def print_parts(rows: dict[str, list[dict]]) -> None:
    """Print a line for each part: medians of the runs."""
    names = sorted({key for runs in rows.values() for run in runs for key in run if key.startswith("part ")})
    for name in names:
        values = (median(run.get(name, 0.0) for run in runs) for runs in rows.values())
        print(f"    {name.removeprefix('part '):40}" + "".join(f"{value:10.2f}" for value in values))


def sizes_of(text: str) -> list[tuple[int, int]]:
    """Widths and heights; ValueError, which argparse reports, for invalid text."""
    return [(int(width), int(height)) for width, height in (size.split("x") for size in text.split(","))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=sizes_of, default="640x480", help="image sizes, such as 640x480,1920x1080"
    )
    parser.add_argument("--jpeg", action="store_true", help="JPEG images")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=30.0, help="images per second")
    parser.add_argument("--stride", type=int, default=2, help="stride of the point cloud")
    parser.add_argument("--parts", action="store_true", help="also by function")
    parser.add_argument("--against", type=Path, help="another checkout of this repository")
    parser.add_argument("--part", choices=("camera", "listener"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part == "camera":
        return camera(*args.sizes[0], args.jpeg, args.seconds, args.rate)
    if args.part == "listener":
        return listener()
    checkouts = {"now": HERE} | ({"before": args.against.resolve()} if args.against else {})
    print(f"{machine()}; {args.rate:g} Hz, {args.rounds} rounds of {args.seconds:g} s, stride {args.stride}")
    print(
        f"{'ms of processor time':22} {'':7}" + "".join(f"{k:>16}" for k in (EXECUTOR, WORKER, OTHERS)),
        end="",
    )
    print(f"{'node':>9} {'% of a core':>12} {'lost':>6}")
    with tempfile.TemporaryDirectory() as scratch:
        alone = {name: [] for name in checkouts}
        for _ in range(args.rounds):
            for name, checkout in checkouts.items():
                alone[name].append(network(checkout, Path(scratch)))
        for name, runs in alone.items():
            print(
                f"{'network':22} {name:7} {median(took for took, _ in runs):.1f} ({runs[0][1]})", flush=True
            )
        for size in args.sizes:
            rows = {name: [] for name in checkouts}
            for _ in range(args.rounds):
                for name, checkout in checkouts.items():
                    rows[name].append(measured(checkout, size, args, Path(scratch)))
            title = f"{size[0]}x{size[1]}{' JPEG' if args.jpeg else ''}"
            for name, runs in rows.items():
                m = {key: median(run.get(key, 0.0) for run in runs) for key in runs[0]}
                print(
                    f"{title:22} {name:7}"
                    + "".join(f"{m[k]:16.1f}" for k in (EXECUTOR, WORKER, OTHERS))
                    + f"{m['node']:9.1f} {m['node'] * args.rate / 10:12.0f} {m['lost']:6.1%}"
                    + (
                        ""
                        if min(m["points"], m["scans"]) > 0.9
                        else f"  points {m['points']:.2f} scans {m['scans']:.2f}"
                    ),
                    flush=True,
                )
            if args.parts:
                print_parts(rows)
            if "before" in rows:
                ratios = [a["node"] / b["node"] for a, b in zip(rows["now"], rows["before"], strict=True)]
                print(
                    f"{title:22} ratio now / before {median(ratios):.2f}  "
                    f"({', '.join(f'{r:.2f}' for r in ratios)})"
                )


if __name__ == "__main__":
    main()
