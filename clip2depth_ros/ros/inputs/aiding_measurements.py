# SPDX-License-Identifier: Apache-2.0
"""What the robot's other sensors say about a frame: odometry, IMU and ranges, as far as configured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clip2depth_ros.ros.inputs.aiding_input import HintInput
from clip2depth_ros.ros.inputs.extrinsics import Extrinsics
from clip2depth_ros.ros.inputs.imu_input import ImuInput
from clip2depth_ros.ros.inputs.odometry_input import OdometryInput
from clip2depth_ros.ros.inputs.ranges_input import RangesInput
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings


class SensorHints:
    """The inputs beside the camera, subscribed while the camera is.

    `open`, `close` and `watch` belong to the executor's thread, `at` to the working thread, `clear` to any.

    Args:
        node: an rclpy node.
        settings: gives the current settings.
        notices: where missing and unusable things are said.
    """

    def __init__(self, node: Any, settings: Callable[[], DepthSettings], notices: Notices) -> None:
        start = settings()
        self.extrinsics = Extrinsics(node, settings, notices)
        kinds: dict[str, tuple[str, type[HintInput]]] = {
            "odometry": (start.odometry.topic, OdometryInput),
            "gravity": (start.imu.topic, ImuInput),
            "ranges": (start.ranges.topic, RangesInput),
        }
        self.inputs = {
            name: kind(node, topic, settings, notices, self.extrinsics)
            for name, (topic, kind) in kinds.items()
            if topic
        }
        self._stamp = 0

    def open(self) -> None:
        """Subscribe."""
        self.extrinsics.open()
        for source in self.inputs.values():
            source.open()

    def close(self) -> None:
        """Unsubscribe and forget."""
        self.extrinsics.close()
        for source in self.inputs.values():
            source.close()

    def clear(self) -> None:
        """Forget what was said: time jumped, or the past shall be forgotten."""
        for source in self.inputs.values():
            source.clear()

    def watch(self) -> None:
        """Say what is missing. Call it a few times a second while open."""
        for source in self.inputs.values():
            source.watch()

    def at(self, stamp: int, camera_frame: str) -> dict[str, np.ndarray | None]:
        """What is known at an image's stamp (nanoseconds), by the names that Frame's fields have."""
        if stamp < self._stamp:
            self.clear()
        self._stamp = stamp
        return {name: source.at(stamp, camera_frame) for name, source in self.inputs.items()}

    def facts(self) -> dict[str, Any]:
        """For the diagnostics: the topics and how much came from them, and what says where the camera is."""
        return self.extrinsics.facts() | {
            source.what: f"{source.received} messages on {source.topic}" for source in self.inputs.values()
        }
