# SPDX-License-Identifier: Apache-2.0
"""A separate participant on the ROS graph: subscribes to topics and passes on the messages' raw bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.qos import volatile


def message_class(message_type: str) -> Any:
    """The class of a message type such as "sensor_msgs/msg/Image"; Clip2DepthError if it isn't installed."""
    package, _, name = message_type.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError):
        raise Clip2DepthError(
            f"the message {message_type} is not installed: install clip2depth_ros (pip install ., or colcon "
            "build) and, with a ROS installation, source its setup file"
        ) from None


class Observer:
    """Subscribes, Reliable, to topics and calls `on_message(topic, bytes, time)` for every message.

    topics: message type ("sensor_msgs/msg/Image") by absolute topic name. time: nanoseconds since the epoch,
    when the message was taken. It has its own context and installs no signal handlers. Use it as a
    context manager.
    """

    def __init__(
        self,
        name: str,
        topics: Mapping[str, str],
        on_message: Callable[[str, bytes, int], None],
        queue: int = 50,
    ):
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(name, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        for topic, message_type in topics.items():
            self._node.create_subscription(
                message_class(message_type),
                topic,
                lambda raw, topic=topic: on_message(topic, raw, time.time_ns()),
                volatile(queue),
                raw=True,
            )

    def spin(self, seconds: float) -> None:
        """Receive messages for about `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def close(self) -> None:
        """Leave the graph. Safe to call twice."""
        if self._context.ok():
            self._executor.shutdown()
            self._node.destroy_node()
            rclpy.shutdown(context=self._context)

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
