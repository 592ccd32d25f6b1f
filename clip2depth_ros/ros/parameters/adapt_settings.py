# SPDX-License-Identifier: Apache-2.0
"""Parameters of adapt_node. Those of the camera and the robot are the depth node's, with the same names."""

from __future__ import annotations

from dataclasses import dataclass

from clip2depth_ros.ros.parameters.depth_settings import DepthSettings, ImageSettings
from clip2depth_ros.ros.parameters.robot_settings import MountingSettings, OdometrySettings
from clip2depth_ros.settings import ScaleSettings, again, group, setting


@dataclass(frozen=True)
class AdaptParameters:
    """When and how the network is adapted to the drive."""

    depth_node: str = setting(
        "clip2depth",
        "Name of the depth node whose bundle is adapted and that gets the result.",
        read_only=True,
    )
    folder: str = setting(
        "",
        "Folder of the keyframes and the adapted bundles. Empty: clip2depth/adapted/ and the depth node's "
        "name, in $XDG_DATA_HOME or ~/.local/share.",
        read_only=True,
    )
    max_megabytes: int = setting(
        500,
        "Largest size of the keyframes on disk. During adaptation, keyframes that are removed meanwhile "
        "count in addition.",
        unit="MB",
        minimum=1,
        maximum=1000000,
        read_only=True,
    )
    spacing: float = setting(
        0.05,
        "How far the camera moves from one keyframe to the next.",
        unit="m",
        minimum=0.01,
        maximum=1.0,
        read_only=True,
    )
    new_keyframes: int = setting(
        300,
        "Number of new keyframes after which the network is adapted again. 0: only when ~/adapt_now is "
        "called.",
        minimum=0,
        maximum=1000000,
    )
    max_load: float = setting(
        0.7,
        "The network is adapted automatically only while the load average of the last minute, per core, is "
        "below this.",
        minimum=0.0,
        maximum=100.0,
    )
    apply: bool = setting(
        False,
        "Whether the depth node uses a better bundle at once. false: the bundle is offered, and ~/apply sets "
        "it.",
    )


@dataclass(frozen=True)
class HeightSettings:
    """The camera's height, which corrects the scale of the odometry."""

    height: float = again(ScaleSettings, "height")


@dataclass(frozen=True)
class AdaptSettings:
    """Parameters of adapt_node."""

    image_transport: str = again(DepthSettings, "image_transport")
    camera_info_topic: str = again(DepthSettings, "camera_info_topic")
    horizontal_fov: float = again(DepthSettings, "horizontal_fov")
    image: ImageSettings = group(ImageSettings)  # noqa: RUF009
    mounting: MountingSettings = group(MountingSettings)  # noqa: RUF009
    odometry: OdometrySettings = group(OdometrySettings)  # noqa: RUF009
    scale: HeightSettings = group(HeightSettings)  # noqa: RUF009
    adapt: AdaptParameters = group(AdaptParameters)  # noqa: RUF009
