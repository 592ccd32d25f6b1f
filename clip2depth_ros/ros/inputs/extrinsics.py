# SPDX-License-Identifier: Apache-2.0
"""Poses of camera and sensors on the robot, from tf or from parameters."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from rclpy.time import Time

from clip2depth_ros.camera.transforms import (
    OPTICAL_IN_BODY,
    angle_between,
    inverse_pose,
    is_pose,
    matrix_of,
    roll_pitch_yaw,
    unit_quaternion,
)
from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.files.bounded import reason_of
from clip2depth_ros.ros.inputs.mounting import in_base, optical_in_base
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.robot_settings import MountingSettings

# A dynamic transform is often published slightly later than the image. The newest one is used if it is at
# most this much older, one period of 10 Hz plus the delay; nanoseconds.
LATEST = 150_000_000

# Parameters and tf that differ by more than this contradict each other: meters, radians.
APART = (0.05, 0.05)

# A mounting by tf that moved by less counts as unchanged, so that settings are not replaced downstream.
SAME = 1e-4

_POSE = ("x", "y", "z", "roll", "pitch", "yaw")
_UNSET = MountingSettings()


class TfTree:
    """tf2_ros's buffer, filled from /tf and /tf_static by the node's executor.

    Raises Clip2DepthError if tf2_ros is not installed: it is missing in PyPI's ROS only.
    """

    def __init__(self, node: Any) -> None:
        try:
            self._tf2_ros = importlib.import_module("tf2_ros")
        except ImportError as error:
            raise Clip2DepthError(f"tf2_ros is not installed ({error})") from error
        self._buffer = self._tf2_ros.Buffer()
        self._listener = self._tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def close(self) -> None:
        """Unsubscribe."""
        self._listener.unregister()

    def pose(self, target: str, source: str, stamp: int) -> np.ndarray:
        """(4, 4) float64, meters: points of `source` in the frame `target`, at `stamp` (nanoseconds).

        Raises Clip2DepthError with tf's reason if it is unknown.
        """
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
        except self._tf2_ros.ExtrapolationException as error:
            found = self._latest(target, source, stamp, error)
        except self._tf2_ros.TransformException as error:
            raise Clip2DepthError(reason_of(error)) from error
        position, turn = found.transform.translation, found.transform.rotation
        pose = matrix_of(
            np.array([position.x, position.y, position.z], np.float64),
            unit_quaternion(turn.x, turn.y, turn.z, turn.w),
        )
        if not is_pose(pose):
            raise Clip2DepthError("tf gives a transform that is not a pose")
        return pose

    def _latest(self, target: str, source: str, stamp: int, reason: Exception) -> Any:
        try:
            found = self._buffer.lookup_transform(target, source, Time())
        except self._tf2_ros.TransformException as error:
            raise Clip2DepthError(reason_of(error)) from error
        at = found.header.stamp
        if not 0 <= stamp - (at.sec * 1_000_000_000 + at.nanosec) <= LATEST:
            raise Clip2DepthError(reason_of(reason)) from reason
        return found


class Extrinsics:
    """Poses between camera, robot and sensors, by the parameter mounting.source.

    tf          from tf only; without a transform the pose is unknown
    parameters  from the parameters only
    auto        from the parameters if they are set, otherwise from tf if it is available

    A contradiction between both is logged. `open` and `close` must be called from the executor's thread, the
    other methods from the worker thread.

    Args:
        node: an rclpy node.
        settings: gives the current settings.
        notices: the throttled log.
    """

    def __init__(self, node: Any, settings: Callable[[], Any], notices: Notices) -> None:
        self._node, self._settings, self._notices = node, settings, notices
        self._tree: TfTree | None = None
        self._why_no_tf = "nothing was subscribed yet"
        self._mounting: MountingSettings | None = None
        self._pose: np.ndarray | None = None
        self._made: tuple[Any, MountingSettings, Any] | None = None

    def open(self) -> None:
        """Subscribe to tf, unless mounting.source is parameters or tf2_ros is missing."""
        if self._source == "parameters" or self._tree is not None:
            return
        try:
            self._tree = TfTree(self._node)
        except Clip2DepthError as error:
            self._why_no_tf = str(error)
            if self._source == "tf":
                self._notices.say("tf tree", f"mounting.source is tf, but {error}; set it to parameters.")

    def close(self) -> None:
        """Unsubscribe and drop the cached poses."""
        if self._tree is not None:
            self._tree.close()
        self._tree = self._made = self._pose = None
        for key in ("tf tree", "mounting", "imu pose", "ranges pose"):
            self._notices.clear(key)

    def settings_at(self, stamp: int, camera_frame: str) -> Any:
        """The settings with the camera's mounting at an image's stamp (nanoseconds).

        If mounting.source is tf and there is no transform, scale.height is 0, because a height needs the
        pitch.
        """
        settings = self._settings()
        mounting = settings.mounting
        pose, reason = self._by_tf(mounting.base_frame, camera_frame, stamp)
        if _prefers_tf(mounting):
            if pose is None:
                if mounting.source == "tf":
                    self._notices.say(
                        "mounting",
                        f"tf has no transform from '{printable(camera_frame)}' to '{mounting.base_frame}' "
                        f"({reason}); height and odometry are not used.",
                    )
                    return self._replaced(settings, mounting, replace(settings.scale, height=0.0))
                return settings
            self._notices.clear("mounting")
            return self._replaced(settings, self._as_parameters(mounting, pose), settings.scale)
        if pose is not None:
            self._compare("mounting", "mounting.*", optical_in_base(mounting), pose, mounting.base_frame)
        return settings

    def camera_in(self, frame: str, camera_frame: str, stamp: int, what: str) -> np.ndarray:
        """(4, 4): points of the camera's optical frame in a frame of the robot, meters.

        what: owner of the frame, for the message. Raises Clip2DepthError if the pose is unknown.
        """
        mounting = self._settings().mounting
        if frame and frame == camera_frame:
            return np.eye(4)
        of_base = frame in ("", mounting.base_frame)
        if of_base and not _prefers_tf(mounting):
            return optical_in_base(mounting)
        pose, reason = self._by_tf(frame or mounting.base_frame, camera_frame, stamp)
        if pose is not None:
            return pose
        if of_base and mounting.source != "tf":
            return optical_in_base(mounting)
        frame = printable(frame)
        raise Clip2DepthError(
            f"{what} is in the frame '{frame}', and the camera's pose in it is unknown ({reason}), so it is "
            f"not used: publish the transform on tf, or set the parameter mounting.base_frame to '{frame}' "
            "and the camera's pose in it."
        )

    def sensor_in_optical(self, sensor: str, frame: str, camera_frame: str, stamp: int) -> np.ndarray:
        """(4, 4): points of a message of a sensor ("imu", "ranges") in the camera's optical frame, meters.

        A message may be in the camera's optical frame, in the sensor's configured frame, whose pose in the
        base frame is configured too, or in any frame on tf. Raises Clip2DepthError for any other frame.
        """
        settings = self._settings()
        configured, mounting = getattr(settings, sensor), settings.mounting
        if frame and frame == camera_frame:
            return np.eye(4)
        if mounting.source != "tf" and frame and frame == configured.frame_id:
            base = self.camera_in(mounting.base_frame, camera_frame, stamp, f"{configured.topic}'s base")
            pose = inverse_pose(base) @ in_base(configured)
            by_tf, _ = self._by_tf(camera_frame, frame, stamp)
            if by_tf is not None:
                self._compare(f"{sensor} pose", f"{sensor}.*", pose, by_tf, camera_frame, sensor == "imu")
            return pose
        by_tf, reason = self._by_tf(camera_frame, frame, stamp)
        if by_tf is not None and (frame != mounting.base_frame or _prefers_tf(mounting)):
            return by_tf
        if mounting.source != "tf" and frame and frame == mounting.base_frame:
            return inverse_pose(optical_in_base(mounting))
        raise Clip2DepthError(
            f"Messages on {configured.topic} are in the frame '{printable(frame)}', whose pose is unknown "
            f"({reason}), so they are not used: publish the transform on tf, or set the parameter "
            f"{sensor}.frame_id to this frame, and its pose in '{mounting.base_frame}'."
        )

    def facts(self) -> dict[str, Any]:
        """For the diagnostics: the source of the camera's pose."""
        if self._source == "parameters":
            return {"mounting": "by the parameters"}
        if self._tree is None:
            return {"mounting": f"by the parameters: {self._why_no_tf}"}
        return {"mounting": "by tf" if self._pose is not None else "by the parameters"}

    @property
    def _source(self) -> str:
        return self._settings().mounting.source

    def _by_tf(self, target: str, source: str, stamp: int) -> tuple[np.ndarray | None, str]:
        """(4, 4) pose, or None and the reason."""
        if self._source == "parameters":
            return None, "mounting.source is parameters"
        if self._tree is None:
            return None, self._why_no_tf
        if not (target and source):
            return None, "the frame has no name"
        try:
            return self._tree.pose(target.lstrip("/"), source.lstrip("/"), stamp), ""
        except Clip2DepthError as error:
            return None, printable(str(error), 200).rstrip(".")

    def _as_parameters(self, mounting: MountingSettings, pose: np.ndarray) -> MountingSettings:
        """The mounting with the camera's pose; the same object while the pose is unchanged."""
        same = self._pose is not None and np.abs(self._pose - pose).max() < SAME
        if not same or self._mounting is None or self._mounting.base_frame != mounting.base_frame:
            body = pose @ inverse_pose(OPTICAL_IN_BODY)
            values = (*body[:3, 3], *roll_pitch_yaw(body[:3, :3]))
            named = dict(zip(_POSE, map(float, values), strict=True))
            self._mounting, self._pose = replace(mounting, **named), pose
        return self._mounting

    def _replaced(self, settings: Any, mounting: MountingSettings, scale: Any) -> Any:
        """Settings with these parts; the same object for the same parts."""
        kept = self._made
        if kept is None or kept[0] is not settings or kept[1] is not mounting or kept[2].scale != scale:
            self._made = (settings, mounting, replace(settings, mounting=mounting, scale=scale))
        return self._made[2]

    def _compare(
        self,
        key: str,
        names: str,
        by_parameters: np.ndarray,
        by_tf: np.ndarray,
        frame: str,
        turn_only: bool = False,
    ) -> None:
        """Warn when parameters and tf contradict each other; the parameters are used."""
        distance = 0.0 if turn_only else float(np.linalg.norm(by_parameters[:3, 3] - by_tf[:3, 3]))
        angle = angle_between(by_parameters[:3, :3], by_tf[:3, :3])
        if distance <= APART[0] and angle <= APART[1]:
            self._notices.clear(key)
            return
        self._notices.say(
            key,
            f"The parameters {names} and tf disagree about the pose in '{printable(frame)}' by "
            f"{distance:.2f} m and {math.degrees(angle):.0f} degrees; the parameters are used. Correct one "
            "of them, or set mounting.source.",
        )


def _prefers_tf(mounting: MountingSettings) -> bool:
    """Whether tf has priority: mounting.source is tf, or it is auto and no parameter is set."""
    is_set = any(getattr(mounting, name) != getattr(_UNSET, name) for name in _POSE)
    return mounting.source == "tf" or (mounting.source == "auto" and not is_set)
