# SPDX-License-Identifier: Apache-2.0
"""Every parameter of both nodes, each written once. See parameters.py for what is made from them."""

from __future__ import annotations

from dataclasses import dataclass

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.parameters import group, setting


@dataclass(frozen=True)
class ImageSettings:
    """How the camera's images come in."""

    reliability: str = setting(
        "auto",
        "Reliability asked of the camera's publishers. best_effort takes images from every publisher, but "
        "may lose large ones; reliable takes none from a best-effort publisher. auto: reliable if every "
        "publisher of the images is, else best_effort.",
        choices=("auto", "best_effort", "reliable"),
        read_only=True,
    )
    queue: int = setting(
        1,
        "Images that the middleware keeps for the node. The node always works on the newest one, so more "
        "than one only helps the count of dropped images to be exact under load.",
        minimum=1,
        maximum=100,
        read_only=True,
    )
    timeout: float = setting(
        5.0,
        "When no image comes for this long, or images come without camera_info, the node says so once, with "
        "the reason.",
        unit="s",
        minimum=0.1,
        maximum=3600.0,
    )
    rectified: str = setting(
        "auto",
        "Whether the images are rectified already, so that camera_info's P describes them and D is not "
        "applied. auto: if the image topic's last word contains 'rect'.",
        choices=("auto", "always", "never"),
        read_only=True,
    )


@dataclass(frozen=True)
class DepthImageSettings:
    """The published depth image."""

    encoding: str = setting(
        "32FC1",
        "32FC1: metres, NaN where unknown. 16UC1: millimetres, 0 where unknown, nothing beyond 65.5 m.",
        choices=("32FC1", "16UC1"),
    )
    width: int = setting(
        0,
        "Width of the published depth. 0: the image's own.",
        unit="pixels",
        minimum=0,
        maximum=8192,
        read_only=True,
    )
    height: int = setting(
        0,
        "Height of the published depth. 0: the image's own.",
        unit="pixels",
        minimum=0,
        maximum=8192,
        read_only=True,
    )

    def __post_init__(self) -> None:
        if (self.width == 0) != (self.height == 0):
            raise Clip2DepthError(
                f"Parameters 'depth.width' and 'depth.height' are {self.width} and {self.height}, but must "
                "both be 0 or both be set."
            )

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) in pixels, None for the image's own."""
        return (self.width, self.height) if self.width else None


@dataclass(frozen=True)
class PointsSettings:
    """The published point cloud."""

    stride: int = setting(
        2, "Every n-th pixel of every n-th row becomes a point.", unit="pixels", minimum=1, maximum=64
    )
    min_range: float = setting(
        0.1, "Points nearer than this become NaN.", unit="m", minimum=0.0, maximum=1000.0
    )
    max_range: float = setting(
        20.0, "Points farther than this become NaN.", unit="m", minimum=0.0, maximum=1000.0
    )
    edge_threshold: float = setting(
        0.1,
        "Points at a depth edge become NaN, because depth there is a mixture of near and far. An edge is "
        "where depth jumps by more than this part of itself. 0: keep every point.",
        minimum=0.0,
        maximum=0.99,
    )
    rate: float = setting(
        0.0,
        "At most so many clouds a second. 0: one for every depth image.",
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
    )

    def __post_init__(self) -> None:
        if self.min_range >= self.max_range:
            raise Clip2DepthError(
                f"Parameter 'points.min_range' is {self.min_range:g} m, but must be less than "
                f"'points.max_range', {self.max_range:g} m; set both at once."
            )


@dataclass(frozen=True)
class DepthSettings:
    """Parameters of depth_node."""

    autostart: bool = setting(
        True,
        "Configure and activate by itself. false: a lifecycle manager (nav2's, or launch) does.",
        read_only=True,
    )
    bundle: str = setting(
        "mini", "The depth network: the name of a bundle, or the path of its folder or zip.", read_only=True
    )
    engine: str = setting(
        "auto", "What runs the network: auto, or an engine's name such as openvino.", read_only=True
    )
    threads: int = setting(
        0,
        "CPU threads for the network. 0: as many as the engine finds best.",
        minimum=0,
        maximum=256,
        read_only=True,
    )
    image_transport: str = setting(
        "raw",
        "raw: sensor_msgs/Image. compressed: sensor_msgs/CompressedImage from the image topic with "
        "/compressed behind.",
        choices=("raw", "compressed"),
        read_only=True,
    )
    camera_info_topic: str = setting(
        "",
        "Topic of the camera_info. Empty: beside the image, or what camera_info is remapped to.",
        read_only=True,
    )
    horizontal_fov: float = setting(
        0.0,
        "Horizontal field of view of a camera that has no camera_info or is not calibrated; it then counts "
        "as an ideal pinhole camera. 0: such images are not used.",
        unit="rad",
        minimum=0.0,
        maximum=3.1,
    )
    image: ImageSettings = group(ImageSettings)  # noqa: RUF009
    depth: DepthImageSettings = group(DepthImageSettings)  # noqa: RUF009
    points: PointsSettings = group(PointsSettings)  # noqa: RUF009


@dataclass(frozen=True)
class CameraSettings:
    """Parameters of camera_node."""

    source: str = setting(
        "sim:0",
        "What to play: a folder of images or in the rgbd layout, a video file, a rosbag2, /dev/videoN, or "
        "sim:SEED.",
        read_only=True,
    )
    camera: str = setting(
        "", "Calibration file (JSON or camera_info YAML) for a source that has none.", read_only=True
    )
    horizontal_fov: float = setting(
        0.0,
        "Horizontal field of view of a source that has no calibration. 0: then no camera_info is published.",
        unit="rad",
        minimum=0.0,
        maximum=3.1,
        read_only=True,
    )
    rate: float = setting(
        0.0,
        "Images a second. 0: the source's own rate.",
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
        read_only=True,
    )
    every: int = setting(1, "Play every n-th image of the source.", minimum=1, maximum=10000, read_only=True)
    loop: bool = setting(False, "Start again at the source's end.")
    exit_at_end: bool = setting(
        True, "End the process at the end of the source (unless it loops).", read_only=True
    )
    wait_for_subscribers: int = setting(
        0,
        "Wait until so many subscribe to the image before the first one is played.",
        minimum=0,
        maximum=100,
        read_only=True,
    )
    frame_id: str = setting("", "frame_id of every message. Empty: the source's own.", read_only=True)
    stamps: str = setting(
        "now",
        "now: the node's clock. source: the stamps in the source.",
        choices=("now", "source"),
        read_only=True,
    )
    image_transport: str = setting(
        "raw",
        "raw: sensor_msgs/Image on image_raw. compressed: JPEG on image_raw/compressed.",
        choices=("raw", "compressed"),
        read_only=True,
    )
    jpeg_quality: int = setting(90, "Quality of compressed images.", minimum=1, maximum=100)
    reliability: str = setting(
        "reliable", "Reliability of the publishers.", choices=("reliable", "best_effort"), read_only=True
    )
    queue: int = setting(5, "Messages kept for slow subscribers.", minimum=1, maximum=1000, read_only=True)
