# SPDX-License-Identifier: Apache-2.0
"""What travels down the line: a frame in, a depth frame out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from clip2depth_ros.camera import Camera

NAN = float("nan")


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
    """(4, 4) float64, optical frame to world, metres."""


@dataclass(slots=True)
class FrameFacts:
    """What happened to one frame on its way."""

    times: dict[str, float] = field(default_factory=dict)
    """Seconds per stage, in the stages' order: rectify, fit, infer, unfit, ..."""
    valid_fraction: float = 0.0
    """Part of the depth's pixels that are known, 0..1."""
    focal_scale: float = 1.0
    """Factor from the network's metres to this camera's, by its focal length."""
    temporal_error: float = NAN
    """Median |log depth - log previous depth| on a coarse grid; NaN without a previous frame."""
    reset: bool = False
    """True when the past was forgotten before this frame."""


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
