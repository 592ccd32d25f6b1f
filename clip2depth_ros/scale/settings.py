# SPDX-License-Identifier: Apache-2.0
"""Settings of the scale: the sources, and how fast the factor may change."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from clip2depth_ros.errors import Clip2DepthError

MAX_HEIGHT = 100.0
"""Meters; a larger height was probably given in millimeters."""


@dataclass(frozen=True)
class ScaleSettings:
    """Raises Clip2DepthError for a number that is not finite or outside its range."""

    height: float = 0.0
    """Of the camera above the floor, meters; 0 = unknown: the floor gives no scale."""
    pitch: float = 0.0
    """Of the mounted camera, radians, positive when it looks down. A frame's gravity has priority."""
    roll: float = 0.0
    """Of the mounted camera, radians, positive when its right side is down.
    A frame's gravity has priority."""
    tilt_tolerance: float = 0.2
    """Largest angle between the floor's normal and the direction from mounting or gravity, radians. It covers
    suspension, slopes and the network's error."""
    odometry: bool = False
    """Whether driven distance gives the scale."""
    ranges: bool = False
    """Whether other sensors' ranges give the scale."""
    initial: float = 1.0
    """Factor before the first evidence."""
    drift: float = 0.02
    """Relative random walk of the true factor in a second; it grows with the square root of time. A larger
    value follows changes sooner, a smaller one is smoother."""
    max_step: float = 0.02
    """Largest relative change of the published factor from one frame to the next."""
    freeze: bool = False
    """Hold the factor."""
    memory: str = ""
    """File that keeps the factor over restarts; "" = none."""
    name: str = ""
    """Name of the factor in that file, such as bundle and frame_id;
    the camera's intrinsics are added to it."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not math.isfinite(value):
                raise Clip2DepthError(f"Scale: {field.name} must be a finite number, it is {value}.")
        if not 0 <= self.height <= MAX_HEIGHT:
            raise Clip2DepthError(
                f"Scale: the camera's height is {self.height:g}, but must be meters above the floor, more "
                f"than 0 and at most {MAX_HEIGHT:g} (0 = unknown)."
            )
        if max(abs(self.pitch), abs(self.roll)) > math.pi:
            raise Clip2DepthError(
                f"Scale: the mounting's pitch and roll are {self.pitch:g} and {self.roll:g}, but must be "
                "radians between -pi and pi (degrees need to be multiplied by 0.01745)."
            )
        if not 0 < self.tilt_tolerance <= 0.8:
            raise Clip2DepthError(
                f"Scale: tilt_tolerance is {self.tilt_tolerance:g}, but must be radians between 0 and 0.8."
            )
        if not 0.01 <= self.initial <= 100:
            raise Clip2DepthError(
                f"Scale: the initial factor is {self.initial:g}, but must lie between 0.01 and 100."
            )
        if not 0 < self.drift <= 1:
            raise Clip2DepthError(f"Scale: drift is {self.drift:g}, but must lie between 0 and 1.")
        if not 0 < self.max_step <= 0.02:
            raise Clip2DepthError(f"Scale: max_step is {self.max_step:g}, but must lie between 0 and 0.02.")

    def outdates(self, old: ScaleSettings) -> bool:
        """Whether evidence that was gathered with the `old` settings is invalid.

        A camera that moves on its robot is rotated a little in every frame. That invalidates the evidence
        only where the rotation exceeds the tolerance within which the floor was searched.
        """
        turned = max(abs(self.pitch - old.pitch), abs(self.roll - old.roll))
        sources = ("height", "tilt_tolerance", "odometry", "ranges")
        return turned > self.tilt_tolerance or any(getattr(self, n) != getattr(old, n) for n in sources)
