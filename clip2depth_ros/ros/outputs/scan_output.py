# SPDX-License-Identifier: Apache-2.0
"""Obstacles above the floor as a sensor_msgs/LaserScan, and the level frame of the scan."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import sensor_msgs.msg

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import DepthFrame, Floor
from clip2depth_ros.outputs import LaserScan
from clip2depth_ros.ros.inputs.known_floor import KnownFloor
from clip2depth_ros.ros.inputs.level_frame import LevelFrame, level_frame_id
from clip2depth_ros.ros.outputs.outgoing import filled_header
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

NO_FLOOR = (
    "No scan is published, because the floor is not visible and its position is not known: set scale.height "
    "to the camera's height above the floor, and mounting.pitch and mounting.roll to its tilt."
)


class ScanOutput:
    """Makes scans of depth frames, and publishes their frame to tf."""

    def __init__(self, node: Any, notices: Notices) -> None:
        self._notices = notices
        self._level = LevelFrame(node, notices)
        self._builder = LaserScan()
        self._message = sensor_msgs.msg.LaserScan()
        self._last_stamp = 0

    def destroy(self) -> None:
        """Stop publishing the frame."""
        self._level.destroy()

    def idle(self) -> None:
        """There are no subscribers: clear the states that are about scans."""
        for key in ("scan", "floor", "tf"):
            self._notices.clear(key)

    def make(
        self, frame: DepthFrame, settings: DepthSettings, known: KnownFloor
    ) -> sensor_msgs.msg.LaserScan | None:
        """The scan of a frame, valid until the next call; None if no floor is known. Publishes its tf frame.

        known: updated with this frame already.
        """
        self._builder.settings = settings.scan
        if known.floor is not None:
            self._notices.clear("floor")
        elif known.out_of_sight:
            self._notices.say("floor", NO_FLOOR)
        if known.floor is None:
            return None
        try:
            self._fill(frame, known.floor)
        except Clip2DepthError as error:
            self._notices.say("scan", str(error))
            return None
        self._notices.clear("scan")
        frame_id = level_frame_id(settings.scan.frame_id, frame.frame_id)
        filled_header(self._message.header, frame.stamp, frame_id)
        if settings.scan.publish_tf:
            self._level.publish(self._builder.rotation, frame.stamp, frame.frame_id, frame_id)
        else:
            self._notices.clear("tf")
        return self._message

    def _fill(self, frame: DepthFrame, floor: Floor) -> None:
        builder, message = self._builder, self._message
        if frame.camera is not None:
            count = builder.prepare(frame.camera)
            if len(message.ranges) != count:
                message.ranges = array.array("f", bytes(4 * count))
        builder.build(frame, floor, np.frombuffer(message.ranges, np.float32))
        message.angle_min, message.angle_max = builder.angle_min, builder.angle_max
        message.angle_increment = builder.angle_increment
        message.range_min, message.range_max = builder.settings.min_range, builder.settings.max_range
        message.scan_time = max(0.0, (frame.stamp - self._last_stamp) * 1e-9) if self._last_stamp else 0.0
        self._last_stamp = frame.stamp
