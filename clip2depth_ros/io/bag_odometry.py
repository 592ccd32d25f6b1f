# SPDX-License-Identifier: Apache-2.0
"""Where a bag's odometry says that the camera was, at any time of the recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from clip2depth_ros.camera.transforms import OPTICAL_IN_BODY, matrix_of, pose_between, pose_matrix
from clip2depth_ros.errors import Clip2DepthError

# Between messages farther apart than this, nanoseconds, the way is anybody's guess.
LONGEST_GAP = 500_000_000


class BagOdometry:
    """The poses of an odometry topic, and between its messages: straight on, turning evenly.

    messages: nav_msgs/Odometry, deserialised, in any order; those that are no pose are left out.
    mounting: x, y, z (metres), roll, pitch, yaw (radians) of the camera, looking along x, in child_frame_id.
    Raises Clip2DepthError when a number of the mounting is not finite or no message holds a pose.
    """

    def __init__(self, messages: Iterable[Any], mounting: Sequence[float]) -> None:
        # No ROS in these two: they read any object with a message's fields.
        from clip2depth_ros.io.messages.images import nanoseconds
        from clip2depth_ros.io.messages.sensors import odometry_pose

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
            raise Clip2DepthError("The bag's odometry topic holds no pose.")
        self._stamps = np.array(sorted(poses), np.int64)
        self._poses = [poses[stamp] for stamp in self._stamps.tolist()]

    def at(self, stamp: int, frame_id: str) -> np.ndarray | None:
        """(4, 4) float64: points of the optical frame in odometry's fixed frame, metres; None where unknown.

        stamp: nanoseconds. frame_id: of the image; odometry of that very frame needs no mounting.
        """
        after = int(np.searchsorted(self._stamps, stamp))
        if after == len(self._stamps):
            return None
        end = int(self._stamps[after])
        place = self._poses[after]
        if end != stamp:
            begin = int(self._stamps[after - 1])
            if after == 0 or end - begin > LONGEST_GAP:
                return None
            place = pose_between(self._poses[after - 1], place, (stamp - begin) / (end - begin))
        pose = matrix_of(*place)
        return pose if self._child and self._child == frame_id else pose @ self._optical_in_child
