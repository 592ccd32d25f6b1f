# SPDX-License-Identifier: Apache-2.0
"""The depth node's parameters of the robot around the camera: its size, its mounting, its other sensors."""

from __future__ import annotations

from dataclasses import dataclass

from clip2depth_ros.settings import ScaleSettings, again, setting


@dataclass(frozen=True)
class ScaleParameters(ScaleSettings):
    """The metric scale. A node uses odometry and ranges by default, once they have a topic."""

    odometry: bool = again(
        ScaleSettings,
        "odometry",
        default=True,
        description="Estimate the scale from the driven distance, if odometry.topic is set; this needs some "
        "centimeters of motion.",
    )
    ranges: bool = again(
        ScaleSettings,
        "ranges",
        default=True,
        description="Estimate the scale from true distances of another sensor, if ranges.topic is set.",
    )
    timeout: float = setting(
        30.0,
        "Diagnostics warn after this time without accepted evidence from any source of scale.",
        unit="s",
        minimum=1.0,
        maximum=86400.0,
    )


@dataclass(frozen=True)
class MountingSettings:
    """Where the camera is on the robot: its body axes (x forward, y left, z up) in the base frame."""

    source: str = setting(
        "auto",
        "Source of the poses of the camera and the other sensors on the robot. tf: /tf and /tf_static, at "
        "the message's stamp. parameters: those below and of imu and ranges. auto: the parameters that are "
        "set; where they are not, tf, if tf2_ros is installed.",
        choices=("auto", "tf", "parameters"),
        read_only=True,
    )
    base_frame: str = setting(
        "base_link",
        "The robot's frame in which x, y, z, roll, pitch and yaw are given; odometry's child frame.",
    )
    x: float = setting(0.0, "Position in the base frame, forward.", unit="m", minimum=-100.0, maximum=100.0)
    y: float = setting(0.0, "Position in the base frame, left.", unit="m", minimum=-100.0, maximum=100.0)
    z: float = setting(0.0, "Position in the base frame, up.", unit="m", minimum=-100.0, maximum=100.0)
    roll: float = setting(
        0.0,
        "Of the camera as mounted, positive when its right side is down.",
        unit="rad",
        minimum=-3.2,
        maximum=3.2,
    )
    pitch: float = setting(
        0.0,
        "Of the camera as mounted, positive when it looks down. The floor is searched for there, so it "
        "matters without odometry too.",
        unit="rad",
        minimum=-1.6,
        maximum=1.6,
    )
    yaw: float = setting(
        0.0,
        "Of the camera as mounted, positive when it looks to the left.",
        unit="rad",
        minimum=-6.3,
        maximum=6.3,
    )


@dataclass(frozen=True)
class OdometrySettings:
    """The robot's odometry: the camera's motion, and with scale.odometry the metric scale."""

    topic: str = setting("", "Topic of nav_msgs/Odometry. Empty: none.", read_only=True)


@dataclass(frozen=True)
class ImuSettings:
    """An IMU: the gravity direction."""

    topic: str = setting("", "Topic of sensor_msgs/Imu. Empty: gravity as in the mounting.", read_only=True)
    frame_id: str = setting(
        "",
        "frame_id of the IMU's messages; roll, pitch and yaw are its orientation in the base frame. "
        "Messages in the camera's optical frame or the base frame need none of this; any other frame is "
        "rejected.",
    )
    roll: float = setting(0.0, "Of the IMU's frame in the base frame.", unit="rad", minimum=-6.3, maximum=6.3)
    pitch: float = setting(
        0.0, "Of the IMU's frame in the base frame.", unit="rad", minimum=-6.3, maximum=6.3
    )
    yaw: float = setting(0.0, "Of the IMU's frame in the base frame.", unit="rad", minimum=-6.3, maximum=6.3)


@dataclass(frozen=True)
class RangesSettings:
    """A sensor of true distances: a one-line lidar, a time-of-flight sensor, an ultrasonic one."""

    topic: str = setting("", "Topic of the sensor. Empty: none.", read_only=True)
    type: str = setting(
        "laser_scan",
        "Type of the topic: sensor_msgs/LaserScan, PointCloud2 or Range.",
        choices=("laser_scan", "point_cloud", "range"),
        read_only=True,
    )
    frame_id: str = setting(
        "",
        "frame_id of the sensor's messages; x to yaw are its pose in the base frame. Messages in the "
        "camera's optical frame or the base frame need none of this; any other frame is rejected.",
    )
    x: float = setting(0.0, "Of the sensor in the base frame.", unit="m", minimum=-100.0, maximum=100.0)
    y: float = setting(0.0, "Of the sensor in the base frame.", unit="m", minimum=-100.0, maximum=100.0)
    z: float = setting(0.0, "Of the sensor in the base frame.", unit="m", minimum=-100.0, maximum=100.0)
    roll: float = setting(0.0, "Of the sensor in the base frame.", unit="rad", minimum=-6.3, maximum=6.3)
    pitch: float = setting(0.0, "Of the sensor in the base frame.", unit="rad", minimum=-6.3, maximum=6.3)
    yaw: float = setting(0.0, "Of the sensor in the base frame.", unit="rad", minimum=-6.3, maximum=6.3)
    tolerance: float = setting(
        0.1,
        "Largest difference between the stamps of an image and of a message that is used for it.",
        unit="s",
        minimum=0.001,
        maximum=1.0,
    )
