# SPDX-License-Identifier: Apache-2.0
"""nav_msgs/Odometry: the camera's pose at an image's time, in odometry's fixed frame."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry

from clip2depth_ros.camera.trajectory import pose_at
from clip2depth_ros.camera.transforms import matrix_of
from clip2depth_ros.io.messages.sensors import odometry_pose
from clip2depth_ros.ros.inputs.aiding_input import AidingInput

# Poses are kept for this long, nanoseconds, for images that arrive late.
MEMORY = 10_000_000_000

# An image is often newer than the last pose. The robot's motion is extrapolated for this long at most.
EXTRAPOLATION = 100_000_000

# The motion is extrapolated from a pose at least this much older: the noise of two close poses gives a wrong
# speed.
BASELINE = 20_000_000

# A step is a jump (a reset of the odometry, a loop closure, a teleport in a simulator) when it is longer than
# JUMP_DISTANCE (m) and faster than JUMP_FACTOR times the previous speed plus JUMP_SPEED (m/s).
JUMP_DISTANCE = 0.2
JUMP_FACTOR = 3.0
JUMP_SPEED = 2.0


class OdometryInput(AidingInput):
    """Gives (4, 4) float64: points of the optical frame in odometry's fixed frame, meters.

    Poses are interpolated (see pose_at). The camera's mounting is applied to the pose of the message's
    child_frame_id; a child frame that is the camera's own optical frame, as in visual odometry, needs no
    mounting.
    """

    what = "odometry"
    message_type = Odometry
    QUEUE = 50

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._stamps: deque[int] = deque()
        self._poses: deque[tuple[np.ndarray, np.ndarray]] = deque()
        self._frames = ("", "")
        self._speed = 0.0
        self._broken = False
        self.breaks = 0
        """How often the kept poses were discarded: poses before and after cannot be compared."""

    def _take(self, message: Any, stamp: int) -> None:
        position, turn = odometry_pose(message)
        frames = (message.header.frame_id, message.child_frame_id)
        if frames != self._frames:
            self._forget()
            self._frames = frames
        jump = self._jump(position, stamp)
        if jump:
            self._forget()
        self._stamps.append(stamp)
        self._poses.append((position, turn))
        while self._stamps[0] < stamp - MEMORY:
            self._stamps.popleft()
            self._poses.popleft()
        if jump:
            self._notices.count(
                "odometry jump",
                f"The odometry on {self.topic} jumped by {jump:.2f} m; earlier poses are discarded.",
            )

    def _jump(self, position: np.ndarray, stamp: int) -> float:
        """The length of an impossible step, meters, else 0. Updates the speed."""
        if not self._stamps:
            self._speed = 0.0
            return 0.0
        seconds = (stamp - self._stamps[-1]) * 1e-9
        step = float(np.linalg.norm(position - self._poses[-1][0]))
        if step > JUMP_DISTANCE and step > JUMP_FACTOR * seconds * (self._speed + JUMP_SPEED):
            return step
        self._speed = step / seconds
        return 0.0

    def _find(self, stamp: int, camera_frame: str) -> np.ndarray | None:
        broken, self._broken = self._broken, False
        interpolated = pose_at(
            self._stamps, self._poses, stamp, extrapolation=EXTRAPOLATION, baseline=BASELINE
        )
        if interpolated is None or broken:
            return None
        what = f"The odometry on {self.topic}"
        return matrix_of(*interpolated) @ self._extrinsics.camera_in(
            self._frames[1], camera_frame, stamp, what
        )

    def _forget(self) -> None:
        self._stamps.clear()
        self._poses.clear()
        # The worker thread learns of it by one frame without odometry.
        self._broken = True
        self.breaks += 1
