# SPDX-License-Identifier: Apache-2.0
"""Where the sensors are on the robot, by the parameters: poses between their frames and the camera's."""

from __future__ import annotations

from typing import Any

import numpy as np

from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.ros.robot_settings import MountingSettings
from clip2depth_ros.ros.settings import DepthSettings
from clip2depth_ros.transforms import OPTICAL_IN_BODY, inverse_pose, pose_matrix


def optical_in_base(mounting: MountingSettings) -> np.ndarray:
    """(4, 4): points of the camera's optical frame in the robot's base frame, metres."""
    return _in_base(mounting) @ OPTICAL_IN_BODY


def sensor_in_optical(
    settings: DepthSettings, sensor: str, message_frame: str, camera_frame: str
) -> np.ndarray:
    """(4, 4): points of a message of a sensor ("imu", "ranges") in the camera's optical frame, metres.

    A message may come in the camera's own optical frame, in the base frame, or in the sensor's configured
    frame, whose pose in the base frame is configured too. Raises Clip2DepthError for any other frame:
    nothing says where it is.
    """
    configured = getattr(settings, sensor)
    base_in_optical = inverse_pose(optical_in_base(settings.mounting))
    if message_frame and message_frame == camera_frame:
        return np.eye(4)
    if message_frame and message_frame == configured.frame_id:
        return base_in_optical @ _in_base(configured)
    if message_frame and message_frame == settings.mounting.base_frame:
        return base_in_optical
    raise Clip2DepthError(
        f"Messages on {configured.topic} are in the frame '{printable(message_frame)}', and nothing says "
        f"where that is, so they are not used: set the parameter {sensor}.frame_id to it, and its pose in "
        f"'{settings.mounting.base_frame}' beside it."
    )


def _in_base(part: Any) -> np.ndarray:
    """(4, 4): points of the frame of camera body, IMU (turned only) or range sensor in the base frame."""
    position = [getattr(part, axis, 0.0) for axis in "xyz"]
    return pose_matrix(*position, part.roll, part.pitch, part.yaw)
