# SPDX-License-Identifier: Apache-2.0
"""nav_msgs/Odometry: where the camera was at an image's time, in odometry's fixed frame."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry

from clip2depth_ros.camera.transforms import matrix_of, pose_between
from clip2depth_ros.io.messages.sensors import odometry_pose
from clip2depth_ros.ros.inputs.aiding_input import AidingInput

# How long poses are kept, for images that come late.
MEMORY = 10_000_000_000

# An image is often newer than the last pose. The robot's motion is carried on for so long, and no longer.
EXTRAPOLATION = 100_000_000

# What it is carried on from is at least this old, or the noise of two close poses would be a speed.
BASELINE = 20_000_000

# Between poses farther apart than this, the way is anybody's guess.
LONGEST_GAP = 500_000_000

# A step is a jump (a reset of the odometry, a loop closure, a teleport in a simulator) when it is longer than
# this distance and faster than this many times the speed before it, plus a speed at which a robot may start.
JUMP_DISTANCE = 0.2
JUMP_FACTOR = 3.0
JUMP_SPEED = 2.0


class OdometryInput(AidingInput):
    """Gives (4, 4) float64: points of the optical frame in odometry's fixed frame, metres.

    Positions are interpolated linearly, orientations on the shortest way. The pose of the message's
    child_frame_id is carried on by the mounting's; a child frame that is the camera's own optical frame, as
    visual odometry has it, needs no mounting.
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
        """How often what was known was forgotten: poses before and after cannot be compared."""

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
                f"The odometry on {self.topic} jumped by {jump:.2f} m; what was known from it is forgotten.",
            )

    def _jump(self, position: np.ndarray, stamp: int) -> float:
        """The length of a step that no robot makes, metres, else 0. Keeps the speed."""
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
        interpolated = self._interpolate(stamp)
        if interpolated is None or broken:
            return None
        what = f"The odometry on {self.topic}"
        return matrix_of(*interpolated) @ self._extrinsics.camera_in(
            self._frames[1], camera_frame, stamp, what
        )

    def _interpolate(self, stamp: int) -> tuple[np.ndarray, np.ndarray] | None:
        stamps, poses = self._stamps, self._poses
        after = bisect_left(stamps, stamp)
        if after < len(stamps) and stamps[after] == stamp:
            return poses[after]
        if after == 0 or len(stamps) < 2:
            return None  # older than all of them, or nothing to tell the motion from
        before = after - 1
        if after == len(stamps):
            if stamp - stamps[-1] > EXTRAPOLATION:
                return None
            after -= 1
            before = max(0, bisect_right(stamps, stamps[after] - BASELINE) - 1)
        first, second = stamps[before], stamps[after]
        if second - first > LONGEST_GAP:
            return None
        return pose_between(poses[before], poses[after], (stamp - first) / (second - first))

    def _forget(self) -> None:
        self._stamps.clear()
        self._poses.clear()
        # One frame without odometry tells the working thread so.
        self._broken = True
        self.breaks += 1
