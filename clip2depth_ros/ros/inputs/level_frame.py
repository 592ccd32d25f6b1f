# SPDX-License-Identifier: Apache-2.0
"""The scan's level frame on /tf, as a child of the camera's optical frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped

from clip2depth_ros.camera.transforms import quaternion_of
from clip2depth_ros.errors import printable
from clip2depth_ros.ros.outputs.outgoing import filled_header
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.qos import volatile

try:  # part of every ROS installation, but not of the wheels on PyPI
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None


def level_frame_id(configured: str, camera_frame: str) -> str:
    """The level frame's name: the configured one, or made from the camera's."""
    return configured or f"{camera_frame or 'camera'}_level"


class LevelFrame:
    """Publishes the rotation between the level frame and the camera's optical frame on /tf.

    Without tf2_msgs it logs what to do once, and publishes nothing.
    """

    def __init__(self, node: Any, notices: Notices) -> None:
        self._node = node
        self._notices = notices
        self._transform = TransformStamped()
        self._publisher = None
        if TFMessage is not None:
            self._publisher = node.create_publisher(TFMessage, "/tf", volatile(100))
            self._message = TFMessage(transforms=[self._transform])

    def destroy(self) -> None:
        """Destroy the publisher."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
        self._publisher = None

    def publish(self, rotation: np.ndarray, stamp: int, camera_frame: str, level_frame: str) -> None:
        """Publish it. rotation: (3, 3), points of the optical frame in the level frame, same origin."""
        if self._publisher is None:
            self._notices.say(
                "tf",
                f"tf2_msgs is not installed, so the scan's frame '{printable(level_frame)}' is not on /tf: "
                "install ros-$ROS_DISTRO-tf2-msgs, or set scan.publish_tf to false and let another node "
                "publish it.",
            )
            return
        filled_header(self._transform.header, stamp, camera_frame)
        self._transform.child_frame_id = level_frame
        q = self._transform.transform.rotation
        q.x, q.y, q.z, q.w = map(float, quaternion_of(rotation.T))
        self._publisher.publish(self._message)
