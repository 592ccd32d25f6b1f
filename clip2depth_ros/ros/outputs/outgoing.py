# SPDX-License-Identifier: Apache-2.0
"""Messages to publish. Each is kept and filled in place: a new message costs more than its content."""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import quaternion_of
from clip2depth_ros.images.depth_images import Millimeters
from clip2depth_ros.images.frame import DepthFrame
from clip2depth_ros.io.messages.camera_info import fill_camera_info
from clip2depth_ros.io.messages.images import set_stamp

POINT_BYTES = 16


def filled_header(header: Any, stamp: int, frame_id: str) -> None:
    """Write stamp (nanoseconds) and frame_id into a std_msgs/Header."""
    set_stamp(header.stamp, stamp)
    header.frame_id = frame_id


def bytes_of(message: Any, size: int) -> np.ndarray:
    """(size,) uint8: a writable view of `message.data`, which is replaced only when its size changes."""
    if len(message.data) != size:
        message.data = array.array("B", bytes(size))
    return np.frombuffer(message.data, np.uint8)


class DepthMessage:
    """A sensor_msgs/Image of depth, 32FC1 or 16UC1 as in REP 118."""

    def __init__(self) -> None:
        self.message = Image()
        self._millimetres = Millimeters()

    def fill(self, depth: np.ndarray, encoding: str, stamp: int, frame_id: str) -> Image:
        """Write depth, (H, W) float32 in meters with NaN = unknown.

        Returns the message, which is valid until the next call.
        """
        height, width = depth.shape
        message = self._describe(height, width, encoding, stamp, frame_id)
        if encoding == "16UC1":
            self._millimetres.fill(
                depth, bytes_of(message, height * width * 2).view("<u2").reshape(height, width)
            )
        else:
            np.copyto(bytes_of(message, height * width * 4).view("<f4").reshape(height, width), depth)
        return message

    def fill_frame(self, frame: DepthFrame, encoding: str) -> Image:
        """`fill` with the depth of a frame, which is enlarged directly into the message where possible."""
        if encoding != "32FC1":
            return self.fill(frame.depth, encoding, frame.stamp, frame.frame_id)
        height, width = frame.shape
        frame.fill_depth(bytes_of(self.message, height * width * 4).view("<f4").reshape(height, width))
        return self._describe(height, width, encoding, frame.stamp, frame.frame_id)

    def _describe(self, height: int, width: int, encoding: str, stamp: int, frame_id: str) -> Image:
        message = self.message
        filled_header(message.header, stamp, frame_id)
        message.height, message.width, message.encoding = height, width, encoding
        message.is_bigendian, message.step = 0, width * (2 if encoding == "16UC1" else 4)
        return message


class RgbMessage:
    """A sensor_msgs/Image of color, rgb8."""

    def __init__(self) -> None:
        self.message = Image()

    def fill(self, image: np.ndarray, stamp: int, frame_id: str) -> Image:
        """Write image, (H, W, 3) uint8 RGB, and return the message (valid until the next call)."""
        height, width = image.shape[:2]
        message = self.message
        filled_header(message.header, stamp, frame_id)
        message.height, message.width, message.encoding = height, width, "rgb8"
        message.is_bigendian, message.step = 0, width * 3
        np.copyto(bytes_of(message, height * width * 3).reshape(height, width, 3), image)
        return message


class CompressedMessage:
    """A sensor_msgs/CompressedImage, JPEG."""

    def __init__(self) -> None:
        self.message = CompressedImage(format="rgb8; jpeg compressed bgr8")
        self._bgr = np.empty((0, 0, 3), np.uint8)

    def fill(self, image: np.ndarray, quality: int, stamp: int, frame_id: str) -> CompressedImage:
        """Write image, (H, W, 3) uint8 RGB, and return the message (valid until the next call)."""
        if self._bgr.shape != image.shape:
            self._bgr = np.empty(image.shape, np.uint8)
        cv2.cvtColor(image, cv2.COLOR_RGB2BGR, dst=self._bgr)
        filled_header(self.message.header, stamp, frame_id)
        _, coded = cv2.imencode(".jpg", self._bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        self.message.data = array.array("B", coded.tobytes())
        return self.message


class CameraInfoMessage:
    """A sensor_msgs/CameraInfo."""

    def __init__(self) -> None:
        self.message = CameraInfo()
        self._camera: Camera | None = None

    def fill(self, camera: Camera, stamp: int, frame_id: str) -> CameraInfo:
        """Write the camera and return the message (valid until the next call)."""
        filled_header(self.message.header, stamp, frame_id)
        if camera != self._camera:
            fill_camera_info(self.message, camera)
            self._camera = camera
        return self.message


class OdometryMessage:
    """A nav_msgs/Odometry of a pose; velocity and covariances are unknown and stay zero."""

    def __init__(self) -> None:
        self.message = Odometry()

    def fill(self, pose: np.ndarray, stamp: int, frame_id: str, child_frame_id: str) -> Odometry:
        """Write pose, (4, 4): points of the child frame in the fixed frame, meters.

        Returns the message, which is valid until the next call.
        """
        message, written = self.message, self.message.pose.pose
        filled_header(message.header, stamp, frame_id)
        message.child_frame_id = child_frame_id
        written.position.x, written.position.y, written.position.z = map(float, pose[:3, 3])
        q = written.orientation
        q.x, q.y, q.z, q.w = map(float, quaternion_of(pose[:3, :3]))
        return message


class PointsMessage:
    """An organized sensor_msgs/PointCloud2 of x, y, z (float32, meters) and rgb, 16 bytes a point."""

    def __init__(self) -> None:
        self.message = PointCloud2(
            fields=[
                PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
                for i, name in enumerate(("x", "y", "z", "rgb"))
            ],
            point_step=POINT_BYTES,
            is_bigendian=False,
            is_dense=False,
        )

    def buffer(self, height: int, width: int) -> np.ndarray:
        """(height * width * 16,) uint8: the writable bytes of the message's points, row by row."""
        self.message.height, self.message.width = height, width
        self.message.row_step = width * POINT_BYTES
        return bytes_of(self.message, height * width * POINT_BYTES)

    def finish(self, stamp: int, frame_id: str) -> PointCloud2:
        """The message with its header (valid until the next call of `buffer`)."""
        filled_header(self.message.header, stamp, frame_id)
        return self.message
