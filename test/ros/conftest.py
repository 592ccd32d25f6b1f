# SPDX-License-Identifier: Apache-2.0
"""A private ROS graph for every test of this room, and what the tests do on it."""

from __future__ import annotations

import array
import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Generous, because the machine may be busy with something else; nothing waits for it in vain.
DEADLINE = 60.0


@pytest.fixture(scope="package", autouse=True)
def ros_environment(tmp_path_factory) -> Iterator[None]:
    """This machine only, a domain of our own, our profile for large messages."""
    pytest.importorskip("rclpy")
    from clip2depth_ros.ros.fastdds import large_message_environment

    profile, _ = large_message_environment()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        if os.environ.get("ROS_DISTRO") == "humble":  # later ones warn about it
            patch.setenv("ROS_LOCALHOST_ONLY", "1")
        patch.setenv("ROS_LOG_DIR", str(tmp_path_factory.mktemp("log")))
        if "AMENT_PREFIX_PATH" not in os.environ:
            patch.setenv("AMENT_PREFIX_PATH", sys.prefix)
        for name, value in profile.items():
            patch.setenv(name, value)
        yield


class Graph:
    """A ROS context with nodes that all spin in the test's own thread, while it waits."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes: list[Any] = []
        self.tester = self.add(rclpy.create_node("tester", context=self.context))

    def add(self, node: Any) -> Any:
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def wait(self, condition: Callable[[], Any], what: str = "", timeout: float = DEADLINE) -> Any:
        """Spin until the condition is true, and return what it gave."""
        end = time.monotonic() + timeout
        while not (result := condition()):
            assert time.monotonic() < end, f"waited {timeout:g} s in vain for {what or condition}"
            self.executor.spin_once(timeout_sec=0.05)
        return result

    def spin(self, seconds: float) -> None:
        """Spin for a while, to see that something does not happen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def listen(
        self, message_type: Any, topic: str, reliability: str = "reliable", queue: int = 200
    ) -> list[Any]:
        """Subscribe; the list fills as messages come."""
        from clip2depth_ros.ros.qos import volatile

        messages: list[Any] = []
        self.tester.create_subscription(message_type, topic, messages.append, volatile(queue, reliability))
        return messages

    @staticmethod
    def stamps(messages: list[Any]) -> list[int]:
        """The messages' stamps, nanoseconds."""
        return [m.header.stamp.sec * 1_000_000_000 + m.header.stamp.nanosec for m in messages]

    def close(self) -> None:
        for node in reversed(self.nodes):
            self.executor.remove_node(node)
            if hasattr(node, "is_shut_down") and not node.is_shut_down:
                node.trigger_shutdown()
            node.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()
        # rclpy leaves a lifecycle node's own publisher on the graph until the node is collected.
        self.nodes.clear()
        del node, self.tester, self.executor
        gc.collect()


def _while_used() -> Iterator[Graph]:
    made = Graph()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def graph() -> Iterator[Graph]:
    yield from _while_used()


@pytest.fixture
def other_graph() -> Iterator[Graph]:
    """A second participant, as another process would be."""
    yield from _while_used()


@pytest.fixture
def make_depth_node(graph, tiny_bundle, monkeypatch):
    """Function that makes a depth node on the graph, active unless told otherwise; configured means with its
    engine, however busy the machine is.
    """
    from rclpy.parameter import Parameter

    from clip2depth_ros.ros.nodes import node_engine
    from clip2depth_ros.ros.nodes.depth_node import DepthNode, start

    monkeypatch.setattr(node_engine, "OPEN_TIMEOUT", DEADLINE)

    def make(active: bool = True, **parameters: Any) -> DepthNode:
        given = {"bundle": str(tiny_bundle.path)} | {k.replace("__", "."): v for k, v in parameters.items()}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        node = graph.add(DepthNode(context=graph.context, parameter_overrides=overrides))
        if active:
            start(node)
        return node

    return make


class FakeCamera:
    """A camera driver on the tester's node."""

    def __init__(
        self, graph: Graph, namespace: str = "", reliability: str = "reliable", compressed: bool = False
    ) -> None:
        from sensor_msgs.msg import CameraInfo, CompressedImage, Image

        from clip2depth_ros.ros.qos import volatile

        self.graph = graph
        self.node = graph.tester
        qos = volatile(10, reliability)
        if compressed:
            self.image = self.node.create_publisher(CompressedImage, f"{namespace}/image/compressed", qos)
        else:
            self.image = self.node.create_publisher(Image, f"{namespace}/image", qos)
        self.info = self.node.create_publisher(CameraInfo, f"{namespace}/camera_info", qos)
        self.stamp = 1_700_000_000_000_000_000

    def wait_for_subscriber(self) -> None:
        self.graph.wait(lambda: self.image.get_subscription_count() > 0, "the depth node to subscribe")
        self.graph.spin(0.3)  # the other side's match has no sign here

    def send(
        self, width: int = 64, height: int = 48, info: bool = True, changes: dict[str, Any] | None = None
    ) -> int:
        """Send one image, with its camera_info first; returns the stamp. `changes` are set on the image."""
        self.stamp += 33_000_000
        if info:
            self.send_info(width, height)
        message = image_message(width, height, stamp=self.stamp)
        for name, value in (changes or {}).items():
            setattr(message, name, value)
        self.image.publish(message)
        return self.stamp

    def send_info(
        self,
        width: int = 64,
        height: int = 48,
        focal: float = 60.0,
        changes: dict[str, Any] | None = None,
    ) -> None:
        """Send a camera_info; focal 0: of a camera that is not calibrated. `changes` are set on it."""
        from sensor_msgs.msg import CameraInfo

        from clip2depth_ros.camera import Camera
        from clip2depth_ros.io.messages.camera_info import fill_camera_info
        from clip2depth_ros.ros.outputs.outgoing import filled_header

        info = CameraInfo()
        filled_header(info.header, self.stamp, "optical")
        if focal > 0:
            fill_camera_info(info, Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2))
        else:
            info.width, info.height = width, height
        for name, value in (changes or {}).items():
            setattr(info, name, value)
        self.info.publish(info)


@pytest.fixture
def fake_camera(graph):
    """Function that makes a camera driver on the graph."""
    return lambda **options: FakeCamera(graph, **options)


def image_message(width: int, height: int, encoding: str = "rgb8", stamp: int = 0, seed: int = 0) -> Any:
    """A sensor_msgs/Image of noise."""
    from sensor_msgs.msg import Image

    from clip2depth_ros.ros.outputs.outgoing import filled_header

    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    message = Image(height=height, width=width, encoding=encoding, step=width * 3)
    message.data = array.array("B", pixels.tobytes())
    filled_header(message.header, stamp, "optical")
    return message


class NodeProcess:
    """depth_node or camera_node as a process of its own, its output in a file."""

    def __init__(self, module: str, log: Path, parameters: dict[str, Any], *arguments: str) -> None:
        self.log = log
        given = [text for name, value in parameters.items() for text in ("-p", f"{name}:={_yaml(value)}")]
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    f"clip2depth_ros.ros.nodes.{module}",
                    "--ros-args",
                    *given,
                    *arguments,
                ],
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, number: int = signal.SIGINT, timeout: float = DEADLINE) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.fixture
def start_process(tmp_path):
    """Function that starts a node as a process: start_process("depth_node", {"bundle": b}, "-r", "a:=b")."""
    started: list[NodeProcess] = []

    def start(module: str, parameters: dict[str, Any], *arguments: str) -> NodeProcess:
        process = NodeProcess(module, tmp_path / f"{module}{len(started)}.log", parameters, *arguments)
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.process.kill()
        process.process.wait()
        print(f"--- {process.log.name}\n{process.text()}")
