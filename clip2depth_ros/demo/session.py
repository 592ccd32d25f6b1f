# SPDX-License-Identifier: Apache-2.0
"""One run of the demo: start the two nodes, record and count what they publish, end them."""

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

TYPES = {  # message type by the name of its field in Topics
    "image": "sensor_msgs/msg/Image",
    "camera_info": "sensor_msgs/msg/CameraInfo",
    "odometry": "nav_msgs/msg/Odometry",
    "true_depth": "sensor_msgs/msg/Image",
    "depth": "sensor_msgs/msg/Image",
    "depth_camera_info": "sensor_msgs/msg/CameraInfo",
    "points": "sensor_msgs/msg/PointCloud2",
    "quality": "clip2depth_ros/msg/DepthQuality",
}
START_PATIENCE = 120.0  # seconds until the first depth: opening a network for the first time takes a while
SILENCE = 20.0  # seconds without any message, later on
DRAIN = 3.0  # seconds that the last depths may take after the camera's end


@dataclass
class Plan:
    """What one run does. The parameters are those of the nodes, by their names."""

    seconds: float
    """When to stop the camera, from the first image on; 0: never, the source ends by itself."""
    camera: dict[str, object] = field(default_factory=dict)
    depth: dict[str, object] = field(default_factory=dict)


def _arguments(parameters: Mapping[str, object], *rules: str) -> list[str]:
    """ROS arguments for parameters and remappings."""
    arguments = ["--ros-args"]
    for rule in rules:
        arguments += ["-r", rule]
    for name, value in parameters.items():
        if isinstance(value, str):
            value = "'" + value.replace("'", "''") + "'"  # YAML: a text, whatever it looks like
        arguments += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
    return arguments


def run_session(
    plan: Plan, folder: Path, *, show: Callable[[str], None], say: Callable[[str], None]
) -> tuple[Tally, Recorder]:
    """Run both nodes as the plan says; recording to `folder`/recording, their output to `folder`/logs.

    show: gets the live line, often. say: gets what is to stay.
    Raises Clip2DepthError when a node dies, nothing comes, or ROS is missing; no process is left behind then
    either.
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
        # Best Effort images would hardly arrive; Reliable ones do, if late.
        depth_parameters["image.reliability"] = "reliable"
    os.environ.update(environment)  # this process is the third on the same graph
    types = {getattr(topics, name): kind for name, kind in TYPES.items()}
    definition = find_shared("msg/DepthQuality.msg")
    if definition is None:
        raise Clip2DepthError(
            "msg/DepthQuality.msg is not installed beside clip2depth_ros: install the package again"
        )
    add_message_type(TYPES["quality"], definition.read_text(encoding="utf-8"))
    prepare(types.values())
    for kind in types.values():
        message_class(kind)  # so that a missing one shows before anything is started
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
            # After the children: it has threads, and a process with threads should not fork.
            with Observer("clip2depth_demo", types, take) as observer:
                _watch(observer, tally, plan, camera_node, depth_node, show)
    finally:
        recorder.close()
    return tally, recorder


def _watch(
    observer, tally: Tally, plan: Plan, camera_node: Child, depth_node: Child, show: Callable[[str], None]
) -> None:
    """Take messages until the camera's end or the plan's, then until the last depths are here."""
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
            if now - began > START_PATIENCE:
                raise Clip2DepthError(_silent("no depth", START_PATIENCE, camera_node, depth_node))
            continue
        show(tally.line())
        if plan.seconds and now - first >= plan.seconds and not asked:
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
        f"{what} came for {seconds:.0f} s although both nodes run; the last lines of {camera_node.log}:\n"
        f"{camera_node.last_lines(5)}\nand of {depth_node.log}:\n{depth_node.last_lines(8)}"
    )
