# SPDX-License-Identifier: Apache-2.0
"""Messages of every type that depth_node subscribes to, as broken drivers and hostile peers may send them."""

from __future__ import annotations

import array
import math
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, LaserScan, PointCloud2, PointField, Range

from clip2depth_ros.camera import Camera
from clip2depth_ros.io.messages.camera_info import fill_camera_info
from clip2depth_ros.io.messages.encodings import ENCODINGS
from clip2depth_ros.ros.outputs.outgoing import filled_header

SIZE = (64, 48)
NUMBERS = (0.0, -1.0, 1e-300, 1e-6, 1.0, 60.0, 1e6, 1e300, -1e300, math.inf, -math.inf, math.nan)
TEXTS = ("", "optical", "a" * 50_000, "x\n\x1b[31mred\0", "\u202egnp", "../../etc/passwd", "/", "%s%n{0}")
STAMPS = ((0, 0), (2**31 - 1, 999_999_999), (-(2**31), 0), (1, 4_000_000_000), (1_700_000_000, 5))


class Hostile:
    """Draws random messages; reproducible with the same random generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._stamp = 1_700_000_000_000_000_000

    def _one(self, values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def _number(self) -> float:
        if self.rng.random() < 0.7:
            return self._one(NUMBERS)
        return float(self.rng.normal() * 10.0 ** self.rng.uniform(-9, 9))

    def _numbers(self, count: int) -> list[float]:
        return [self._number() if self.rng.random() < 0.3 else float(self.rng.normal()) for _ in range(count)]

    def _text(self) -> str:
        return (
            self._one(TEXTS)
            if self.rng.random() < 0.8
            else "".join(map(chr, self.rng.integers(1, 0xD7FF, 30)))
        )

    def _header(self, header: Any) -> None:
        self._stamp += int(
            self.rng.choice([33_000_000, 0, 1, 10**12, -(10**9)], p=[0.7, 0.1, 0.1, 0.05, 0.05])
        )
        filled_header(header, max(self._stamp, 0), "optical")
        if self.rng.random() < 0.2:
            sec, nanosec = self._one(STAMPS)
            header.stamp = Time(sec=sec, nanosec=nanosec)
        if self.rng.random() < 0.3:
            header.frame_id = self._text()

    def _size(self) -> tuple[int, int]:
        kinds = (
            SIZE,
            (1, 1),
            (2, 2),
            (3, 200),
            (0, 0),
            (0, 48),
            (2**16, 2**16),
            (2**32 - 1, 1),
            (1, 2**32 - 1),
        )
        if self.rng.random() < 0.5:
            return SIZE
        return (
            self._one(kinds)
            if self.rng.random() < 0.5
            else tuple(int(n) for n in self.rng.integers(1, 130, 2))
        )

    def image(self) -> Image:
        """An Image: encoding, size, step and length are sometimes consistent."""
        if self.rng.random() < 0.4:  # valid except for its header
            message = Image(width=SIZE[0], height=SIZE[1], encoding="rgb8", step=3 * SIZE[0])
            message.data = array.array("B", self.rng.bytes(3 * SIZE[0] * SIZE[1]))
            self._header(message.header)
            return message
        width, height = self._size()
        encoding = self._one(list(ENCODINGS)) if self.rng.random() < 0.8 else self._text()
        message = Image(width=width, height=height, encoding=encoding)
        message.is_bigendian = int(self.rng.choice([0, 1, 255]))
        channels = int(self.rng.choice([1, 2, 3, 4, 6, 8]))
        step = width * channels + int(self.rng.choice([0, 0, 0, 1, 64]))
        message.step = int(self._one([0, 1, 2**32 - 1])) if self.rng.random() < 0.1 else min(step, 2**32 - 1)
        length = message.step * height
        length = int(self.rng.choice([length, length, length, length - 1, length + 7, length * 3 // 2, 0]))
        length = max(0, min(length, 200_000))
        message.data = array.array("B", self.rng.bytes(length))
        self._header(message.header)
        return message

    def compressed(self) -> CompressedImage:
        """A CompressedImage: an image with damaged bytes, or other data."""
        from .mutation import damage

        suffix = self._one([".jpg", ".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm"])
        width, height = SIZE if self.rng.random() < 0.5 else (int(n) for n in self.rng.integers(1, 100, 2))
        picture = self.rng.integers(0, 256, (height, width, 3), np.uint8)
        content = cv2.imencode(suffix, picture)[1].tobytes()
        if self.rng.random() < 0.9:
            content = damage(content, self.rng)
        message = CompressedImage(
            format=self._text() if self.rng.random() < 0.3 else "rgb8; jpeg compressed bgr8"
        )
        message.data = array.array("B", content[:200_000])
        self._header(message.header)
        return message

    def camera_info(self) -> CameraInfo:
        """A CameraInfo with some extreme numbers."""
        message = CameraInfo()
        fill_camera_info(message, Camera(*SIZE, 60.0, 60.0, 31.5, 23.5))
        for name in ("k", "p", "r"):
            values = list(getattr(message, name))
            for _ in range(int(self.rng.choice([0, 0, 1, 3]))):
                values[int(self.rng.integers(len(values)))] = self._number()
            setattr(message, name, values)
        if self.rng.random() < 0.5:
            message.distortion_model = self._one(
                ["plumb_bob", "rational_polynomial", "equidistant", "", self._text()]
            )
            message.d = self._numbers(int(self.rng.choice([0, 1, 4, 5, 8, 14, 200])))
        if self.rng.random() < 0.3:
            message.width, message.height = self._size()
        if self.rng.random() < 0.2:
            message.binning_x, message.binning_y = (int(n) for n in self.rng.choice([0, 1, 2, 2**32 - 1], 2))
            roi = message.roi
            roi.x_offset, roi.y_offset, roi.width, roi.height = (
                int(n) for n in self.rng.choice([0, 1, 10, 64, 2**32 - 1], 4)
            )
        self._header(message.header)
        return message

    def odometry(self) -> Odometry:
        """Poses that are invalid, jump, or have no unit quaternion."""
        message = Odometry(child_frame_id=self._one(["base_link", "", self._text()]))
        place, turn = message.pose.pose.position, message.pose.pose.orientation
        place.x, place.y, place.z = self._numbers(3)
        turn.x, turn.y, turn.z, turn.w = self._numbers(4) if self.rng.random() < 0.5 else (0.0, 0.0, 0.0, 1.0)
        self._header(message.header)
        return message

    def imu(self) -> Imu:
        """Gravity in any direction and of any magnitude."""
        message = Imu()
        turn, pull = message.orientation, message.linear_acceleration
        turn.x, turn.y, turn.z, turn.w = self._numbers(4)
        pull.x, pull.y, pull.z = self._numbers(3)
        message.orientation_covariance = self._numbers(9)
        self._header(message.header)
        return message

    def scan(self) -> LaserScan:
        """A LaserScan with inconsistent angles and ranges."""
        message = LaserScan()
        for name in ("angle_min", "angle_max", "angle_increment", "range_min", "range_max"):
            setattr(message, name, _float32(self._number()))
        message.ranges = array.array(
            "f", [_float32(v) for v in self._numbers(int(self.rng.choice([0, 1, 90, 2000])))]
        )
        self._header(message.header)
        return message

    def cloud(self) -> PointCloud2:
        """A PointCloud2 with inconsistent fields, steps and bytes."""
        width, height = (int(n) for n in self.rng.choice([0, 1, 7, 200, 2**32 - 1], 2))
        message = PointCloud2(width=width, height=height)
        names = self._one(
            [("x", "y", "z"), ("x", "y"), ("x", "y", "z", "rgb"), ("x", "x", "x"), (self._text(),)]
        )
        message.fields = [
            PointField(
                name=name,
                offset=int(self.rng.choice([4 * i, 4 * i, 0, 2**32 - 1])),
                datatype=int(self.rng.choice([7, 7, 7, 8, 1, 0, 255])),
                count=int(self.rng.choice([1, 1, 0, 2**32 - 1])),
            )
            for i, name in enumerate(names)
        ]
        message.point_step = int(self.rng.choice([12, 16, 0, 1, 2**32 - 1]))
        message.row_step = min(message.point_step * width, 2**32 - 1)
        message.is_bigendian = bool(self.rng.random() < 0.2)
        message.data = array.array(
            "B", self.rng.bytes(int(self.rng.choice([0, 11, 12, 12 * 200, 16 * 1400])))
        )
        self._header(message.header)
        return message

    def range(self) -> Range:
        """One distance."""
        message = Range()
        for name in ("field_of_view", "min_range", "max_range", "range"):
            setattr(message, name, _float32(self._number()))
        message.radiation_type = int(self.rng.choice([0, 1, 255]))
        self._header(message.header)
        return message


def _float32(value: float) -> float:
    """A value that the message accepts: its setter rejects numbers outside float32."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))
