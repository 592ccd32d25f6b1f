# SPDX-License-Identifier: Apache-2.0
"""The camera's poses by a bag's odometry, at any time of the recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from clip2depth_ros.camera.trajectory import pose_at
from clip2depth_ros.camera.transforms import OPTICAL_IN_BODY, matrix_of, pose_matrix
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.messages.images import nanoseconds
from clip2depth_ros.io.messages.sensors import odometry_pose


class BagOdometry:
    """The poses of an odometry topic, interpolated between its messages.

    messages: nav_msgs/Odometry, deserialized, in any order; messages without a valid pose are left out.
    mounting: x, y, z (meters), roll, pitch, yaw (radians) of the camera, looking along x, in child_frame_id.
    Raises Clip2DepthError when a number of the mounting is not finite or no message has a valid pose.
    """

    def __init__(self, messages: Iterable[Any], mounting: Sequence[float]) -> None:
        if not np.isfinite(mounting).all():
            raise Clip2DepthError("The camera's mounting must be six finite numbers: x y z roll pitch yaw.")
        self._optical_in_child = pose_matrix(*mounting) @ OPTICAL_IN_BODY
        poses: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._child = ""
        for message in messages:
            try:
                poses[nanoseconds(message.header.stamp)] = odometry_pose(message)
            except Clip2DepthError:
                continue
            self._child = message.child_frame_id
        if not poses:
            raise Clip2DepthError("The bag's odometry topic has no valid pose.")
        self._stamps = sorted(poses)
        self._poses = [poses[stamp] for stamp in self._stamps]

    def at(self, stamp: int, frame_id: str) -> np.ndarray | None:
        """(4, 4) float64: points of the optical frame in odometry's fixed frame, meters; None where unknown.

        stamp: nanoseconds. frame_id: of the image; odometry whose child frame is this frame needs no
        mounting.
        """
        place = pose_at(self._stamps, self._poses, stamp)
        if place is None:
            return None
        pose = matrix_of(*place)
        return pose if self._child and self._child == frame_id else pose @ self._optical_in_child
