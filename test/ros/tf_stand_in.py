# SPDX-License-Identifier: Apache-2.0
"""What the node uses of tf2_ros, which PyPI's ROS lacks: a buffer of static and of moving transforms."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped

from clip2depth_ros.camera.transforms import inverse_pose, quaternion_of


class TransformException(Exception):
    pass


class LookupException(TransformException):
    pass


class ExtrapolationException(TransformException):
    pass


class Buffer:
    """Child frame -> (parent, {stamp: pose in the parent}); one stamp of None for a static one."""

    def __init__(self) -> None:
        self.frames: dict[str, tuple[str, dict]] = {}

    def put(self, parent: str, child: str, pose: np.ndarray, stamp: int | None = None) -> None:
        self.frames.setdefault(child, (parent, {}))[1][stamp] = pose

    def lookup_transform(self, target: str, source: str, time) -> TransformStamped:
        stamp = time.nanoseconds
        if stamp == 0:  # the newest that all have in common
            stamp = min((max(poses) for _, poses in self.frames.values() if None not in poses), default=0)
        for frame in (target, source):
            if frame not in self.frames and all(parent != frame for parent, _ in self.frames.values()):
                raise LookupException(f'"{frame}" passed to lookupTransform does not exist.')
        pose = inverse_pose(self._in_root(target, stamp)) @ self._in_root(source, stamp)
        found = TransformStamped()
        found.header.stamp.sec, found.header.stamp.nanosec = divmod(stamp, 10**9)
        move, turn = found.transform.translation, found.transform.rotation
        move.x, move.y, move.z = map(float, pose[:3, 3])
        turn.x, turn.y, turn.z, turn.w = map(float, quaternion_of(pose[:3, :3]))
        return found

    def _in_root(self, frame: str, stamp: int) -> np.ndarray:
        pose = np.eye(4)
        while frame in self.frames:
            frame, poses = self.frames[frame]
            if None not in poses and stamp > max(poses):
                raise ExtrapolationException("Lookup would require extrapolation into the future.")
            pose = poses.get(None, poses.get(stamp)) @ pose
        return pose


class TransformListener:
    """Remembers whom it fills; a test puts the transforms there."""

    made: list[TransformListener] = []

    def __init__(self, buffer: Buffer, node, *, spin_thread: bool = True) -> None:
        assert not spin_thread, "the node's executor runs the callbacks"
        self.buffer, self.is_open = buffer, True
        self.made.append(self)

    def unregister(self) -> None:
        self.is_open = False
