# SPDX-License-Identifier: Apache-2.0
"""Settings of the stages that a frame passes: stabilizer, scale, point cloud, laser scan.

They are here, not beside the stages, so that launch files can read them without NumPy and OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass

from clip2depth_ros.settings.schema import check, setting


@dataclass(frozen=True)
class StabilizerSettings:
    """Temporal fusion of depth. Raises Clip2DepthError for a value out of its range."""

    enabled: bool = setting(True, "Fuse each image's depth with that of the images before it.")
    memory: float = setting(
        2.0,
        "Longest time over which a surface's depth is averaged while it does not change. A longer time gives "
        "less noise; a shorter time follows changes of the network's output sooner.",
        unit="s",
        minimum=0.0,
        maximum=60.0,
    )
    scale_memory: float = setting(
        2.0,
        "Time over which the scale of the whole image is averaged. A wrong scale is corrected within about "
        "this time.",
        unit="s",
        minimum=0.0,
        maximum=600.0,
    )
    gate: float = setting(
        3.0,
        "Standard deviations from the expected depth beyond which a pixel takes the new measurement. A "
        "smaller value follows moving objects sooner; a larger value gives less noise.",
        minimum=1.0,
        maximum=20.0,
    )
    noise: float = setting(
        0.1,
        "Relative standard deviation of a single image's depth, used until it is estimated from the images.",
        minimum=0.001,
        maximum=1.0,
    )
    max_gap: float = setting(
        1.0,
        "Longest time between two images. A longer gap clears the temporal state.",
        unit="s",
        minimum=0.01,
        maximum=60.0,
    )
    flow_pixels: int = setting(
        43200,
        "Pixels of the image in which optical flow is computed; larger images are reduced to it. A change "
        "clears the temporal state.",
        unit="pixels",
        minimum=2000,
        maximum=1000000,
    )

    def __post_init__(self) -> None:
        check(self, "stabilizer")


@dataclass(frozen=True)
class ScaleSettings:
    """Sources of the metric scale, and how the factor moves. Raises Clip2DepthError for a value out of range.

    Each source that is named here is used; where a frame lacks its measurement, it gives no evidence.
    """

    height: float = setting(
        0.0,
        "Height of the camera's optical center above the floor; the floor in the depth then gives the scale. "
        "0: unknown.",
        unit="m",
        minimum=0.0,
        maximum=100.0,
    )
    odometry: bool = setting(
        False, "Estimate the scale from the driven distance; this needs some centimeters of motion."
    )
    ranges: bool = setting(False, "Estimate the scale from true distances of another sensor.")
    tilt_tolerance: float = setting(
        0.2,
        "Largest angle between the floor's direction and that given by the mounting or the IMU.",
        unit="rad",
        minimum=0.01,
        maximum=0.8,
    )
    initial: float = setting(
        1.0,
        "Factor on the network's meters until a source gives evidence.",
        minimum=0.01,
        maximum=100.0,
    )
    drift: float = setting(
        0.02,
        "Relative drift of the true factor in one second (it grows with the square root of time). A larger "
        "value follows sooner; a smaller value gives less noise.",
        minimum=0.0001,
        maximum=1.0,
    )
    max_step: float = setting(
        0.02,
        "Largest relative change of the factor from one image to the next.",
        minimum=0.0001,
        maximum=0.02,
    )
    freeze: bool = setting(False, "Hold the factor as it is.")
    memory: str = setting(
        "",
        "File that keeps the factor of every bundle and camera over restarts. Empty: none.",
        read_only=True,
    )
    pitch: float = setting(
        0.0,
        "Of the mounted camera, positive when it looks down. A frame's gravity takes precedence.",
        unit="rad",
        minimum=-3.2,
        maximum=3.2,
        internal=True,
    )
    roll: float = setting(
        0.0,
        "Of the mounted camera, positive when its right side is down. A frame's gravity takes precedence.",
        unit="rad",
        minimum=-3.2,
        maximum=3.2,
        internal=True,
    )
    name: str = setting(
        "",
        "Key of the factor in the file, such as bundle and frame_id; the camera's numbers are added to it.",
        internal=True,
    )

    def __post_init__(self) -> None:
        check(self, "scale")

    def outdates(self, old: ScaleSettings) -> bool:
        """Whether evidence that was gathered under `old` settings no longer counts.

        A camera that moves on its robot turns a little in every frame. The evidence is discarded only after
        a turn that is larger than the tolerance of the floor's search.
        """
        turned = max(abs(self.pitch - old.pitch), abs(self.roll - old.roll))
        sources = ("height", "tilt_tolerance", "odometry", "ranges")
        return turned > self.tilt_tolerance or any(getattr(self, n) != getattr(old, n) for n in sources)


EDGE_REACH = {
    "default": 0.01,
    "description": "How far around a depth edge points are removed, as a fraction of the image's width.",
    "minimum": 0.0,
    "maximum": 0.2,
    "internal": True,
}


@dataclass(frozen=True)
class PointsSettings:
    """The point cloud. Raises Clip2DepthError for a value out of its range."""

    stride: int = setting(
        2, "Every n-th pixel of every n-th row becomes a point.", unit="pixels", minimum=1, maximum=64
    )
    min_range: float = setting(
        0.1, "Points nearer than this become NaN.", unit="m", minimum=0.0, maximum=1000.0
    )
    max_range: float = setting(
        20.0, "Points farther than this become NaN.", unit="m", minimum=0.0, maximum=float("inf")
    )
    edge_threshold: float = setting(
        0.1,
        "Points at a depth edge become NaN, because depth there is a mixture of near and far. An edge is "
        "where depth jumps by more than this part of itself. 0: keep every point.",
        minimum=0.0,
        maximum=0.99,
    )
    edge_reach: float = setting(**EDGE_REACH)

    def __post_init__(self) -> None:
        check(self, "points", ("min_range", "max_range"))


@dataclass(frozen=True)
class ScanSettings:
    """The laser scan of obstacles in a band above the floor. Raises Clip2DepthError for a wrong value."""

    min_height: float = setting(
        0.1,
        "Lower edge of the band above the floor: lower objects are driven over.",
        unit="m",
        minimum=0.0,
        maximum=100.0,
    )
    max_height: float = setting(
        1.0,
        "Upper edge of the band above the floor: the robot drives under higher objects.",
        unit="m",
        minimum=0.0,
        maximum=100.0,
    )
    min_range: float = setting(
        0.1,
        "Nearest obstacle, horizontally from the camera; nearer pixels are the robot itself.",
        unit="m",
        minimum=0.0,
        maximum=1000.0,
    )
    max_range: float = setting(
        10.0,
        "Farthest obstacle, and how far free space is seen.",
        unit="m",
        minimum=0.0,
        maximum=1000.0,
    )
    resolution: float = setting(
        0.00873, "Angle between two readings.", unit="rad", minimum=0.001, maximum=0.5
    )
    floor_tolerance: float = setting(
        0.03,
        "How much steeper than found the floor may be, meters up per meter of distance, before it is an "
        "obstacle. The lower edge of the band rises by this much.",
        minimum=0.0,
        maximum=1.0,
    )
    edge_threshold: float = setting(
        0.1,
        "Relative jump in depth from which pixels between two surfaces are left out. 0: none.",
        minimum=0.0,
        maximum=0.99,
        internal=True,
    )
    edge_reach: float = setting(**EDGE_REACH)

    def __post_init__(self) -> None:
        check(self, "scan", ("min_height", "max_height"), ("min_range", "max_range"))


@dataclass(frozen=True)
class PipelineSettings:
    """What may change between two frames.

    stabilizer: None, like `enabled=False`, leaves it out. scale: None keeps the network's own meters.
    """

    stabilizer: StabilizerSettings | None = StabilizerSettings()
    scale: ScaleSettings | None = None
