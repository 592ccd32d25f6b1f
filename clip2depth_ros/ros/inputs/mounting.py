# SPDX-License-Identifier: Apache-2.0
"""Poses of the sensors on the robot, from the parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from clip2depth_ros.camera.transforms import OPTICAL_IN_BODY, pose_matrix
from clip2depth_ros.ros.parameters.robot_settings import MountingSettings


def optical_in_base(mounting: MountingSettings) -> np.ndarray:
    """(4, 4): points of the camera's optical frame in the robot's base frame, meters."""
    return in_base(mounting) @ OPTICAL_IN_BODY


def in_base(part: Any) -> np.ndarray:
    """(4, 4): points of the frame of camera body, IMU (rotation only) or range sensor in the base frame."""
    x, y, z = (getattr(part, axis, 0.0) for axis in "xyz")
    return pose_matrix(x, y, z, part.roll, part.pitch, part.yaw)
