# SPDX-License-Identifier: Apache-2.0
"""Parameters of depth_node and camera_node, grouped. See declaration.py for the files made from them.

Those of the robot around the camera are in robot_settings.py, those of the stages in clip2depth_ros.settings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.parameters.robot_settings import (
    ImuSettings,
    MountingSettings,
    OdometrySettings,
    RangesSettings,
    ScaleParameters,
)
from clip2depth_ros.settings import (
    PipelineSettings,
    PointsSettings,
    ScaleSettings,
    ScanSettings,
    StabilizerSettings,
    again,
    group,
    setting,
)
from clip2depth_ros.settings.engines import ENGINE_NAMES

ENGINES = ("auto", *ENGINE_NAMES)
PRECISIONS = ("auto", "fp16", "bf16", "int8", "fp32")


@dataclass(frozen=True)
class ImageSettings:
    """The camera's images."""

    reliability: str = setting(
        "auto",
        "Reliability requested from the camera's publishers. best_effort receives images from every "
        "publisher, but may lose large ones; reliable receives none from a best-effort publisher. auto: "
        "reliable if every publisher of the images is, else best_effort.",
        choices=("auto", "best_effort", "reliable"),
        read_only=True,
    )
    queue: int = setting(
        1,
        "Images that the middleware keeps for the node. The node always processes the newest one; more than "
        "one only makes the count of dropped images exact under load.",
        minimum=1,
        maximum=100,
        read_only=True,
    )
    max_rate: float = setting(
        0.0,
        "Largest number of images per second that are processed; the others are dropped and counted. 0: "
        "every image, as far as the computer keeps up.",
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
    )
    timeout: float = setting(
        5.0,
        "When no image (or no message of another sensor) arrives for this long, or images arrive without "
        "camera_info, the node logs the reason once.",
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
        "32FC1: meters, NaN where unknown. 16UC1: millimeters, 0 where unknown, nothing beyond 65.5 m.",
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
class PointsParameters(PointsSettings):
    """The published point cloud."""

    max_range: float = again(PointsSettings, "max_range", maximum=1000.0)
    rate: float = setting(
        0.0,
        "Largest number of clouds per second. 0: one for every depth image.",
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
    )


@dataclass(frozen=True)
class ScanParameters(ScanSettings):
    """The published laser scan."""

    frame_id: str = setting(
        "",
        "frame_id of the scan: level, at the camera, x in its viewing direction. Empty: the image's frame_id "
        "followed by _level.",
    )
    publish_tf: bool = setting(
        True, "Publish the scan's frame on /tf, as a child of the images' frame. It needs tf2_msgs."
    )


@dataclass(frozen=True)
class LoadParameters:
    """What the node may use of the computer."""

    max_cpu: float = setting(
        0.0,
        "Processor time that the node's process may use, 1 being one core. Above it fewer images are "
        "processed; the others are dropped and counted, and /diagnostics reports it. Cameras in one process "
        "(depth_nodes) share it evenly. 0: no limit.",
        unit="cores",
        minimum=0.0,
        maximum=1024.0,
    )


@dataclass(frozen=True)
class DepthSettings:
    """Parameters of depth_node."""

    autostart: bool = setting(
        True,
        "Configure and activate at start. false: a lifecycle manager (nav2's, or launch) does it.",
        read_only=True,
    )
    bundle: str = setting(
        "mini",
        "The depth network: the name of a bundle, or the path of its folder or zip. Another one is opened "
        "and checked while the current one runs, and replaces it between two images. docs/import.md explains "
        "how to make bundles of other networks.",
    )
    engine: str = setting(
        "auto",
        "Runtime of the network. auto: TensorRT or TensorRT RTX where it is installed and finds a GPU, else "
        "PyTorch with CUDA, else OpenVINO, PyTorch on the CPU or OpenCV, the first that is installed; the "
        "log and /diagnostics give the reason.",
        choices=ENGINES,
        read_only=True,
    )
    precision: str = setting(
        "auto",
        "Arithmetic of the network. auto: the engine's fastest that passes the bundle's check: fp16 or "
        "fp32 on a GPU; on a CPU bf16 where the processor supports it, else int8 where the bundle holds "
        "it, else fp32.",
        choices=PRECISIONS,
        read_only=True,
    )
    engine_cache: str = setting(
        "",
        "Folder of built TensorRT engines. Empty: clip2depth/tensorrt in $XDG_CACHE_HOME or ~/.cache.",
        read_only=True,
    )
    threads: int = setting(
        0,
        "CPU threads for the network. 0: the engine's choice.",
        minimum=0,
        maximum=256,
        read_only=True,
    )
    image_transport: str = setting(
        "raw",
        "raw: sensor_msgs/Image. compressed: sensor_msgs/CompressedImage from the image topic followed by "
        "/compressed.",
        choices=("raw", "compressed"),
        read_only=True,
    )
    camera_info_topic: str = setting(
        "",
        "Topic of the camera_info. Empty: next to the image topic, or the remapped camera_info.",
        read_only=True,
    )
    horizontal_fov: float = setting(
        0.0,
        "Horizontal field of view of a camera that has no camera_info or is not calibrated; it is then "
        "treated as an ideal pinhole camera. 0: such images are not used.",
        unit="rad",
        minimum=0.0,
        maximum=3.1,
    )
    image: ImageSettings = group(ImageSettings)  # noqa: RUF009
    load: LoadParameters = group(LoadParameters)  # noqa: RUF009
    depth: DepthImageSettings = group(DepthImageSettings)  # noqa: RUF009
    points: PointsParameters = group(PointsParameters)  # noqa: RUF009
    scan: ScanParameters = group(ScanParameters)  # noqa: RUF009
    stabilizer: StabilizerSettings = group(StabilizerSettings)  # noqa: RUF009
    scale: ScaleParameters = group(ScaleParameters)  # noqa: RUF009
    mounting: MountingSettings = group(MountingSettings)  # noqa: RUF009
    odometry: OdometrySettings = group(OdometrySettings)  # noqa: RUF009
    imu: ImuSettings = group(ImuSettings)  # noqa: RUF009
    ranges: RangesSettings = group(RangesSettings)  # noqa: RUF009

    def scale_settings(self, name: str = "") -> ScaleSettings:
        """The scale's settings with the mounting, and with the sources that have a topic.

        name: key of the factor in the memory file.
        """
        return replace(
            self.scale,
            pitch=self.mounting.pitch,
            roll=self.mounting.roll,
            odometry=self._uses_odometry,
            ranges=self._uses_ranges,
            name=name,
        )

    def pipeline_settings(self, name: str) -> PipelineSettings:
        """What `Pipeline.configure` takes. name: as in `scale_settings`."""
        return PipelineSettings(self.stabilizer, self.scale_settings(name))

    @property
    def has_scale_source(self) -> bool:
        """True when a source of scale is configured."""
        return self.scale.height > 0 or self._uses_odometry or self._uses_ranges

    @property
    def _uses_odometry(self) -> bool:
        return self.scale.odometry and bool(self.odometry.topic)

    @property
    def _uses_ranges(self) -> bool:
        return self.scale.ranges and bool(self.ranges.topic)


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
        "Images per second. 0: the source's own rate.",
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
        read_only=True,
    )
    every: int = setting(1, "Play every n-th image of the source.", minimum=1, maximum=10000, read_only=True)
    loop: bool = setting(False, "Start again at the end of the source.")
    exit_at_end: bool = setting(
        True, "End the process at the end of the source (unless it loops).", read_only=True
    )
    wait_for_subscribers: int = setting(
        0,
        "Number of subscribers of the image to wait for before the first one is played.",
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
