# SPDX-License-Identifier: Apache-2.0
"""One run of the demo: starts the two nodes, records and counts what they publish, stops them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clip2depth_ros.demo.children import Child, Children, private_environment
from clip2depth_ros.demo.installed import find_executable, find_shared
from clip2depth_ros.demo.live import Tally, Topics
from clip2depth_ros.demo.recording import Recorder, add_message_type, prepare
from clip2depth_ros.errors import Clip2DepthError

TYPES = {  # field of Topics: message type
    "image": "sensor_msgs/msg/Image",
    "camera_info": "sensor_msgs/msg/CameraInfo",
    "odometry": "nav_msgs/msg/Odometry",
    "true_depth": "sensor_msgs/msg/Image",
    "depth": "sensor_msgs/msg/Image",
    "depth_camera_info": "sensor_msgs/msg/CameraInfo",
    "points": "sensor_msgs/msg/PointCloud2",
    "quality": "clip2depth_ros/msg/DepthQuality",
}
START_TIMEOUT = 120.0  # seconds until the first depth: the first start compiles the network
SILENCE = 20.0  # timeout without any message after the first depth, seconds
DRAIN = 3.0  # time to wait for the last depths after the camera stops, seconds


@dataclass
class Plan:
    """Settings of one run. The parameters are those of the nodes, by name."""

    seconds: float
    """When to stop the camera, seconds after the first image; 0: not at all, the source ends by itself."""
    camera: dict[str, object] = field(default_factory=dict)
    depth: dict[str, object] = field(default_factory=dict)


def _arguments(parameters: Mapping[str, object], *rules: str) -> list[str]:
    """Command line arguments for parameters and remappings."""
    arguments = ["--ros-args"]
    for rule in rules:
        arguments += ["-r", rule]
    for name, value in parameters.items():
        if isinstance(value, str):
            value = "'" + value.replace("'", "''") + "'"  # quoted, so that YAML reads it as a string
        arguments += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
    return arguments


def run_session(
    plan: Plan, folder: Path, *, show: Callable[[str], None], say: Callable[[str], None]
) -> tuple[Tally, Recorder]:
    """Run both nodes with the plan; recording in `folder`/recording, their output in `folder`/logs.

    show: receives the live line, often. say: receives lines that stay.
    Raises Clip2DepthError if a node dies, no message arrives, or ROS is missing; all child processes have
    then ended.
    """
    try:
        from clip2depth_ros.ros.nodes.observer import Observer, message_class
    except ImportError as error:
        raise Clip2DepthError(
            f"the demo needs ROS 2 ({error}): `make demo` installs it, or source a ROS installation"
        ) from error
    topics = Topics()
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    environment, reason = private_environment(os.environ, logs.resolve() / "ros")
    depth_parameters = dict(plan.depth)
    if reason:
        say(f"without our Fast DDS profile: {reason}")
        # Large Best Effort images are mostly lost without the profile; Reliable ones arrive late.
        depth_parameters["image.reliability"] = "reliable"
    os.environ.update(environment)  # this process joins the same graph
    types = {getattr(topics, name): kind for name, kind in TYPES.items()}
    definition = find_shared("msg/DepthQuality.msg")
    if definition is None:
        raise Clip2DepthError(
            "msg/DepthQuality.msg is not installed beside clip2depth_ros: install the package again"
        )
    add_message_type(TYPES["quality"], definition.read_text(encoding="utf-8"))
    prepare(types.values())
    for kind in types.values():
        message_class(kind)  # reports a missing type before any node starts
    tally = Tally(topics)
    recorder = Recorder(folder / "recording")

    def take(topic: str, raw: bytes, now: int) -> None:
        tally.take(topic, types[topic], raw, now)
        recorder.write(topic, types[topic], raw, now)

    try:
        with Children() as children:
            depth_node = children.start(
                "depth_node",
                find_executable("depth_node") + _arguments(depth_parameters, f"image:={topics.image}"),
                environment,
                logs / "depth_node.log",
            )
            camera = {"wait_for_subscribers": 2, **plan.camera}
            camera_node = children.start(
                "camera_node",
                find_executable("camera_node") + _arguments(camera, "__ns:=/camera"),
                environment,
                logs / "camera_node.log",
            )
            # After the children: a process with threads should not fork.
            with Observer("clip2depth_demo", types, take) as observer:
                _watch(observer, tally, plan, camera_node, depth_node, show)
    finally:
        recorder.close()
    return tally, recorder


def _watch(
    observer, tally: Tally, plan: Plan, camera_node: Child, depth_node: Child, show: Callable[[str], None]
) -> None:
    """Receive messages until the camera or the plan ends, then until the last depths have arrived."""
    began = time.monotonic()
    first = None  # time.monotonic() of the first image
    asked = False
    while camera_node.code is None:
        observer.spin(0.1)
        now = time.monotonic()
        depth_node.check()
        if first is None and tally.frames_in:
            first = now
        if not tally.frames_out:
            show(f"waiting for the nodes: {now - began:.0f} s, {tally.frames_in} images")
            if now - began > START_TIMEOUT:
                raise Clip2DepthError(_silent("no depth", START_TIMEOUT, camera_node, depth_node))
            continue
        show(tally.line())
        if plan.seconds and first is not None and now - first >= plan.seconds and not asked:
            camera_node.interrupt()
            asked = True
        if now - tally.last_arrival > SILENCE:
            raise Clip2DepthError(_silent("no message", SILENCE, camera_node, depth_node))
    camera_node.check(may_have_ended=True, interrupted=asked)
    end = time.monotonic() + DRAIN
    while time.monotonic() < end and not tally.is_drained:
        observer.spin(0.1)
        depth_node.check()
    if asked:
        tally.forget_unanswered()
    observer.spin(0.3)  # cloud and quality of the last depth
    show(tally.line())
    if not tally.frames_out:
        raise Clip2DepthError(_silent("no depth", time.monotonic() - began, camera_node, depth_node))


def _silent(what: str, seconds: float, camera_node: Child, depth_node: Child) -> str:
    return (
        f"{what} was received for {seconds:.0f} s although both nodes run; last lines of {camera_node.log}:\n"
        f"{camera_node.last_lines(5)}\nand of {depth_node.log}:\n{depth_node.last_lines(8)}"
    )
