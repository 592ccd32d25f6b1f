# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Imu: the gravity direction at an image's time, in the camera's optical frame."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from sensor_msgs.msg import Imu

from clip2depth_ros.camera.transforms import rotation_of, unit_quaternion
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.inputs.aiding_input import AidingInput

STANDARD_GRAVITY = 9.80665

# Seconds over which accelerations are averaged: a robot's own accelerations are shorter.
AVERAGING = 1.0

# Relative difference from standard gravity above which an acceleration is the robot's own, and is not used.
OWN_ACCELERATION = 0.15

# Rates, rad/s, and accelerations, m/s^2, above those of any robot's sensor: spikes of a bus or a driver.
LARGEST_RATE = 100.0
LARGEST_ACCELERATION = 1e4

# Largest difference of a direction's stamp from the image's,
# and the longest gap that does not reset the average; nanoseconds.
NEAR = 100_000_000
LONGEST_PAUSE = 500_000_000


class ImuInput(AidingInput):
    """Gives (3,) float64 unit vector: the gravity direction (down), in the optical frame.

    It is computed from the IMU's orientation if there is one. Otherwise from its acceleration: an average,
    which is rotated by the gyroscope's rates.
    """

    what = "imu"
    message_type = Imu
    QUEUE = 50

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._downs: deque[tuple[int, np.ndarray]] = deque(maxlen=400)
        self._frame = ""

    def _take(self, message: Any, stamp: int) -> None:
        if message.header.frame_id != self._frame:
            self._downs.clear()
            self._frame = message.header.frame_id
        down = self._down_of_orientation(message)
        if down is None:
            down = self._down_of_acceleration(message, stamp)
        if down is not None:
            self._downs.append((stamp, down))

    @staticmethod
    def _down_of_orientation(message: Any) -> np.ndarray | None:
        """Down in the IMU's frame; None without orientation (covariance -1, or a quaternion of zeros)."""
        turn = message.orientation
        if message.orientation_covariance[0] == -1.0 or not any((turn.x, turn.y, turn.z, turn.w)):
            return None
        return -rotation_of(unit_quaternion(turn.x, turn.y, turn.z, turn.w))[2]

    def _down_of_acceleration(self, message: Any, stamp: int) -> np.ndarray | None:
        """The averaged direction, None while there is none. At rest, an accelerometer's vector points up."""
        if message.linear_acceleration_covariance[0] == -1.0:
            raise Clip2DepthError("it has neither an orientation nor an acceleration")
        a, w = message.linear_acceleration, message.angular_velocity
        acceleration, rate = np.array([a.x, a.y, a.z]), np.array([w.x, w.y, w.z])
        if not (np.isfinite(acceleration).all() and np.isfinite(rate).all()):
            raise Clip2DepthError("its acceleration or angular velocity is not finite")
        if np.abs(acceleration).max() > LARGEST_ACCELERATION or np.abs(rate).max() > LARGEST_RATE:
            raise Clip2DepthError(
                f"its acceleration is above {LARGEST_ACCELERATION:g} m/s^2 or its angular velocity above "
                f"{LARGEST_RATE:g} rad/s"
            )
        size = float(np.linalg.norm(acceleration))
        trusted = abs(size / STANDARD_GRAVITY - 1) < OWN_ACCELERATION
        if not self._downs or stamp - self._downs[-1][0] > LONGEST_PAUSE:
            return -acceleration / size if trusted else None
        seconds, down = (stamp - self._downs[-1][0]) * 1e-9, self._downs[-1][1]
        if message.angular_velocity_covariance[0] != -1.0:
            down = down - seconds * np.cross(rate, down)
        if trusted:
            down = down + (1 - math.exp(-seconds / AVERAGING)) * (-acceleration / size - down)
        length = float(np.linalg.norm(down))
        return down / length if length > 0.1 else None

    def _find(self, stamp: int, camera_frame: str) -> np.ndarray | None:
        near = min(self._downs, key=lambda kept: abs(kept[0] - stamp), default=None)
        if near is None or abs(near[0] - stamp) > NEAR:
            return None
        return self._extrinsics.sensor_in_optical("imu", self._frame, camera_frame, near[0])[:3, :3] @ near[1]

    def _forget(self) -> None:
        self._downs.clear()
