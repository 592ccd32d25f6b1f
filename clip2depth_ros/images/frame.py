# SPDX-License-Identifier: Apache-2.0
"""Input and output of the pipeline: a frame, a depth frame, and the facts of the frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.origins import FrameWarning, MotionSource, ScaleOrigin

NAN = float("nan")

STAGES = ("rectify", "fit", "infer", "stabilize", "scale", "unfit")
"""The pipeline's stages in order; the keys of FrameFacts.times."""
STD_DEV_STEP = 8
"""The median standard deviation is computed from every n-th pixel of every n-th row."""


@dataclass(slots=True)
class Frame:
    """One image of a camera, with the measurements that belong to it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB. May be a read-only view of a message, and need not be contiguous."""
    stamp: int
    """Time of exposure, nanoseconds."""
    frame_id: str
    """Name of the camera's optical frame (z forward, x right, y down)."""
    camera: Camera | None = None
    """The camera that took the image; None when it is not known."""
    name: str = ""
    """File stem of the outputs."""
    depth: np.ndarray | None = None
    """(H, W) float32, meters, NaN = unknown: ground truth; None where there is none."""
    pose: np.ndarray | None = None
    """(4, 4) float64, optical frame to world, meters: ground truth; None where there is none."""
    odometry: np.ndarray | None = None
    """(4, 4) float64, optical frame to odometry's fixed frame, meters; None without odometry."""
    gravity: np.ndarray | None = None
    """(3,) float64 unit vector: down in the optical frame, from an IMU or the camera's mounting."""
    ranges: np.ndarray | None = None
    """(N, 3) float32, meters: points that another sensor measured near the stamp, in the optical frame."""
    shrink: int = 1
    """More than 1: the image was decoded smaller; each pixel is the mean of shrink x shrink camera pixels."""
    caption: str = ""
    """A sentence about the image, for training; "" where there is none."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The plane that the robot stands on: normal . point = -height, points in the optical frame."""

    normal: np.ndarray
    """(3,) float64 unit vector, up, in the optical frame."""
    height: float
    """Of the camera above the floor, in the meters of the depth in which it was found."""
    support: float
    """Part of the known pixels that lie on it, 0 to 1."""

    @classmethod
    def from_mounting(cls, height: float, pitch: float = 0.0, roll: float = 0.0) -> Floor:
        """The level floor under a camera at this height, meters, and these angles, radians.

        Raises Clip2DepthError for a height that is not positive and for numbers that are not finite.
        """
        if not (height > 0 and np.isfinite([height, pitch, roll]).all()):
            raise Clip2DepthError(
                f"A camera's mounting takes a positive height and finite angles, not {height:g} m, pitch "
                f"{pitch:g} and roll {roll:g}."
            )
        up = (-np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), -np.sin(pitch))
        return cls(np.array(up, np.float64), float(height), 1.0)

    @property
    def pitch(self) -> float:
        """The camera's pitch, radians: positive when it looks down (REP 103, about y of the body)."""
        return float(np.arcsin(np.clip(-self.normal[2], -1.0, 1.0)))

    @property
    def roll(self) -> float:
        """The camera's roll, radians: positive when its right side is down (REP 103, about the body's x)."""
        return float(np.arctan2(-self.normal[0], -self.normal[1]))


@dataclass(slots=True)
class FrameFacts:
    """Measurements about one frame, made by the pipeline. images/facts.py has the table of all facts."""

    times: dict[str, float] = field(default_factory=dict)
    """Seconds, by stage; see STAGES."""
    valid_fraction: float = 0.0
    """Part of the pixels whose depth is known, 0 to 1."""
    focal_scale: float = 1.0
    """Factor from the network's meters to this camera's, from its focal length."""
    temporal_error: float = NAN
    """Median of |log depth - log expected depth|; NaN without a previous frame. Expected is the previous
    depth, moved by the camera's motion where the stabilizer is on."""
    reset: bool = False
    """True when the temporal state was cleared before this frame."""
    motion: MotionSource = MotionSource.OFF
    """What gave the camera's motion since the frame before."""
    flicker: float = NAN
    """Scale jitter: the scale of this frame's depth over the expected one, which the stabilizer removed; NaN
    without a previous frame."""
    scale: float = 1.0
    """Factor from the bundle's meters to the robot's, applied after the stabilizer."""
    scale_deviation: float = NAN
    """Relative standard deviation of that factor; NaN while no source was accepted."""
    scale_source: ScaleOrigin = ScaleOrigin.NONE
    """Which source was accepted last."""
    scale_age: float = NAN
    """Seconds since a source was accepted; NaN while none was."""
    scale_shift: float = NAN
    """Of a bundle that gives inverse depth up to factor and shift: 1 / meters = scale * output + shift. NaN
    for other bundles, and while it is not known."""
    no_metres: str = ""
    """Why this frame's depth is not in meters, one sentence, for people; all depth is NaN then. "" when it is
    in meters."""
    floor: Floor | None = None
    """The floor in the meters of the result; None when it was not found."""
    warnings: tuple[FrameWarning, ...] = ()
    """Why measurements of other sensors were not used, one sentence each."""


@dataclass(slots=True)
class DepthFrame:
    """Depth of one frame. The arrays belong to the pipeline and are valid until its next frame."""

    depth: np.ndarray
    """(h, w) float32, meters along the optical axis, NaN = unknown."""
    image: np.ndarray
    """(h, w, 3) uint8 RGB, rectified, at the depth's resolution."""
    camera: Camera | None
    """Camera of the depth: rescaled and without distortion; None when the frame had none."""
    stamp: int
    """The frame's own stamp, nanoseconds."""
    frame_id: str
    """The frame's own frame_id."""
    facts: FrameFacts = field(default_factory=FrameFacts)
    std_dev: np.ndarray | None = None
    """(h, w) float32 relative standard deviation of depth, NaN = unknown; None without the
    stabilizer."""
    raw: np.ndarray | None = None
    """(h, w) float32, meters: the network's depth before stabilizer and scale; None unless requested."""
    motion: np.ndarray | None = None
    """(4, 4) float64, points of the previous frame's optical frame into this one's, meters of this depth: the
    motion that the stabilizer used; None when no motion was reliable, and without the stabilizer."""

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the depth, pixels."""
        return self.depth.shape

    def fill_depth(self, out: np.ndarray) -> np.ndarray:
        """Write depth into `out` (h, w) float32, and return it."""
        np.copyto(out, self.depth)
        return out

    def depth_at(self, rows: int, columns: int) -> np.ndarray:
        """Every n-th pixel of every m-th row of depth, without computing the rest; rows: m, columns: n."""
        return self.depth[::rows, ::columns]

    def std_dev_at(self, rows: int, columns: int) -> np.ndarray | None:
        """The same of std_dev."""
        return None if self.std_dev is None else self.std_dev[::rows, ::columns]

    def image_at(self, step: int) -> np.ndarray:
        """Every step-th pixel of every step-th row of the image."""
        return self.image[::step, ::step]

    def coarse_depth(self) -> np.ndarray | None:
        """(h', w') float32: the pixels from which depth is enlarged; None where it is not enlarged."""
        return None

    def mask_at(self, mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
        """A mask (h', w') of the coarse depth's pixels, at the pixels of depth_at."""
        raise NotImplementedError

    def median_std_dev(self) -> float:
        """Median of the known values of std_dev, NaN without any; from a few pixels: it varies slowly."""
        if self.std_dev is None:
            return NAN
        few = self.std_dev[STD_DEV_STEP // 2 :: STD_DEV_STEP, STD_DEV_STEP // 2 :: STD_DEV_STEP]
        few = few[np.isfinite(few)]
        return float(np.median(few)) if few.size else NAN
