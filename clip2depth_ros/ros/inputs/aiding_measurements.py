# SPDX-License-Identifier: Apache-2.0
"""The aiding measurements of a frame: odometry, IMU and ranges, as configured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clip2depth_ros.ros.inputs.aiding_input import AidingInput
from clip2depth_ros.ros.inputs.extrinsics import Extrinsics
from clip2depth_ros.ros.inputs.imu_input import ImuInput
from clip2depth_ros.ros.inputs.odometry_input import OdometryInput
from clip2depth_ros.ros.inputs.ranges_input import RangesInput
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings


class AidingMeasurements:
    """The inputs besides the camera, subscribed while the camera is.

    `open`, `close` and `watch` must be called from the executor's thread, `at` from the worker thread,
    `clear` from any.

    Args:
        node: an rclpy node.
        settings: gives the current settings.
        notices: the throttled log.
    """

    def __init__(self, node: Any, settings: Callable[[], DepthSettings], notices: Notices) -> None:
        start = settings()
        self.extrinsics = Extrinsics(node, settings, notices)
        kinds: dict[str, tuple[str, type[AidingInput]]] = {
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
        """Unsubscribe and drop all messages."""
        self.extrinsics.close()
        for source in self.inputs.values():
            source.close()

    def clear(self) -> None:
        """Drop all messages, after a jump of time or a reset."""
        for source in self.inputs.values():
            source.clear()

    def watch(self) -> None:
        """Warn about missing messages. Call it a few times a second while open."""
        for source in self.inputs.values():
            source.watch()

    def at(self, stamp: int, camera_frame: str) -> dict[str, np.ndarray | None]:
        """The measurements at an image's stamp (nanoseconds), by the names of Frame's fields."""
        if stamp < self._stamp:
            self.clear()
        self._stamp = stamp
        return {name: source.at(stamp, camera_frame) for name, source in self.inputs.items()}

    def facts(self) -> dict[str, Any]:
        """For the diagnostics: the topics with their message counts, and the source of the mounting."""
        return self.extrinsics.facts() | {
            source.what: f"{source.received} messages on {source.topic}" for source in self.inputs.values()
        }
