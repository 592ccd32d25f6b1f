# SPDX-License-Identifier: Apache-2.0
"""What travels down the line: a frame in, a depth frame out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.origins import FrameWarning, MotionSource, ScaleOrigin

NAN = float("nan")

STAGES = ("rectify", "fit", "infer", "stabilize", "scale", "unfit")
"""What the pipeline does with a frame, in its order."""
STD_DEV_STEP = 8
"""The typical deviation is taken from every n-th pixel of every n-th row."""


@dataclass(slots=True)
class Frame:
    """One image as a camera gave it, with whatever is known about it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB; may be a read-only view of a message and may have strides."""
    stamp: int
    """Time of exposure, nanoseconds."""
    frame_id: str
    """Name of the camera's optical frame (z forward, x right, y down)."""
    camera: Camera | None = None
    """The camera that took the image, or None when nobody knows it."""
    name: str = ""
    """File stem, for outputs that are named after their inputs."""
    depth: np.ndarray | None = None
    """(H, W) float32, metres, NaN = unknown: the true depth where it is known."""
    pose: np.ndarray | None = None
    """(4, 4) float64, optical frame to world, metres: the true pose where it is known."""
    odometry: np.ndarray | None = None
    """(4, 4) float64, optical frame to odometry's fixed frame, metres: what the robot believes."""
    gravity: np.ndarray | None = None
    """(3,) float64 unit vector: down, in the optical frame; from an IMU or the camera's mounting."""
    ranges: np.ndarray | None = None
    """(N, 3) float32, metres: points that another sensor measured near the stamp, in the optical frame."""
    shrink: int = 1
    """More than 1: the image was decoded smaller, each pixel the mean of shrink x shrink of the camera's."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The plane that the robot stands on: normal . point = -height for points of the optical frame."""

    normal: np.ndarray
    """(3,) float64 unit vector, up, in the optical frame."""
    height: float
    """Of the camera above the floor, metres of the depth in which it was found."""
    support: float
    """Part of the known pixels that lie on it, 0..1."""

    @classmethod
    def from_mounting(cls, height: float, pitch: float = 0.0, roll: float = 0.0) -> Floor:
        """The floor, level, under a camera that is mounted so high, metres, at these angles, radians.

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
    """What happened to one frame on its way."""

    times: dict[str, float] = field(default_factory=dict)
    """Seconds by stage; see STAGES."""
    valid_fraction: float = 0.0
    """Part of the depth's pixels that are known, 0..1."""
    focal_scale: float = 1.0
    """Factor from the network's metres to this camera's, by its focal length."""
    temporal_error: float = NAN
    """Median |log depth - log expected depth|; NaN without a past. Expected is the previous depth, carried
    along by the camera's motion where the stabilizer is on."""
    reset: bool = False
    """True when the past was forgotten before this frame."""
    motion: MotionSource = MotionSource.OFF
    """What gave the camera's motion since the frame before."""
    flicker: float = NAN
    """This frame's own scale over the expected one, which the stabilizer removed; NaN without a past."""
    scale: float = 1.0
    """Factor from the bundle's metres to the robot's, applied after the stabilizer."""
    scale_deviation: float = NAN
    """Relative standard deviation of that factor; NaN while no source has spoken."""
    scale_source: ScaleOrigin = ScaleOrigin.NONE
    """Which source was accepted last."""
    scale_age: float = NAN
    """Seconds since it was believed; NaN for never."""
    scale_shift: float = NAN
    """Of a bundle whose inverse depth is right up to factor and shift: 1 / metres = scale * output + shift.
    NaN for other bundles, and while it is not known."""
    no_metres: str = ""
    """Why this frame's depth has no metres, one sentence; its depth is unknown then. "" when it has."""
    floor: Floor | None = None
    """The floor in the published metres, when it is known."""
    warnings: tuple[FrameWarning, ...] = ()
    """Why measurements of other sensors were not used, one sentence each."""


@dataclass(slots=True)
class DepthFrame:
    """Depth of one frame. The arrays belong to the pipeline and hold until its next frame."""

    depth: np.ndarray
    """(h, w) float32, metres along the optical axis, NaN = unknown."""
    image: np.ndarray
    """(h, w, 3) uint8 RGB, rectified, at the depth's resolution."""
    camera: Camera | None
    """Camera of the depth: rescaled and without distortion. None when the frame had none."""
    stamp: int
    """The frame's own stamp, nanoseconds."""
    frame_id: str
    """The frame's own frame_id."""
    facts: FrameFacts = field(default_factory=FrameFacts)
    std_dev: np.ndarray | None = None
    """(h, w) float32 relative standard deviation of depth, NaN = unknown; None where nobody estimates it."""
    raw: np.ndarray | None = None
    """(h, w) float32, metres: the network's own depth, before stabilizer and scale; None unless asked for."""
    motion: np.ndarray | None = None
    """(4, 4) float64, points of the previous frame's optical frame into this one's, metres of this depth:
    what the stabilizer carried the past by; None when it trusted no motion, and without it."""

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the depth, pixels."""
        return self.depth.shape

    def fill_depth(self, out: np.ndarray) -> np.ndarray:
        """Write depth into `out` (h, w) float32, and return it."""
        np.copyto(out, self.depth)
        return out

    def depth_at(self, rows: int, columns: int) -> np.ndarray:
        """Every n-th pixel of depth of every m-th row, without making the rest; rows: m, columns: n."""
        return self.depth[::rows, ::columns]

    def std_dev_at(self, rows: int, columns: int) -> np.ndarray | None:
        """The same of the deviation."""
        return None if self.std_dev is None else self.std_dev[::rows, ::columns]

    def image_at(self, step: int) -> np.ndarray:
        """Every step-th pixel of every step-th row of the image."""
        return self.image[::step, ::step]

    def coarse_depth(self) -> np.ndarray | None:
        """(h', w') float32: all that is known of depth, where it was enlarged from fewer pixels."""
        return None

    def mask_at(self, mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
        """A mask of the coarse depth's pixels at the pixels of depth_at."""
        raise NotImplementedError

    def median_std_dev(self) -> float:
        """Median of the known deviations, NaN without any; of a few pixels, for it varies slowly."""
        if self.std_dev is None:
            return NAN
        few = self.std_dev[STD_DEV_STEP // 2 :: STD_DEV_STEP, STD_DEV_STEP // 2 :: STD_DEV_STEP]
        few = few[np.isfinite(few)]
        return float(np.median(few)) if few.size else NAN
