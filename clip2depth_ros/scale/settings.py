# SPDX-License-Identifier: Apache-2.0
"""What a robot says about its scale: which sources it has, and how the factor may move."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from clip2depth_ros.errors import Clip2DepthError

MAX_HEIGHT = 100.0
"""Metres; a camera higher than this above its floor is a height in millimetres."""


@dataclass(frozen=True)
class ScaleSettings:
    """Raises Clip2DepthError for a number that is not finite or out of its range."""

    height: float = 0.0
    """Of the camera above the floor, metres; 0 = unknown, the floor tells no scale."""
    pitch: float = 0.0
    """Of the mounted camera, radians, positive when it looks down. Gravity of a frame goes before it."""
    roll: float = 0.0
    """Of the mounted camera, radians, positive when its right side is down. Gravity goes before it."""
    tilt_tolerance: float = 0.2
    """How far the floor may lean from what mounting or gravity says, radians: suspension, slopes, and the
    network's own error."""
    odometry: bool = False
    """Whether driven distance tells the scale."""
    ranges: bool = False
    """Whether other sensors' ranges tell the scale."""
    initial: float = 1.0
    """Factor until anybody has spoken."""
    drift: float = 0.02
    """How far the true factor wanders, relative, in a second, and with the square root of time: larger
    follows sooner, smaller is steadier."""
    max_step: float = 0.02
    """Largest relative change of the published factor from one frame to the next."""
    freeze: bool = False
    """Hold the factor as it is."""
    memory: str = ""
    """File that keeps the factor over restarts; "" = none."""
    name: str = ""
    """Whose factor it is in that file, such as bundle and frame_id; the camera's numbers are added to it."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not math.isfinite(value):
                raise Clip2DepthError(f"Scale: {field.name} must be a finite number, it is {value}.")
        if not 0 <= self.height <= MAX_HEIGHT:
            raise Clip2DepthError(
                f"Scale: the camera's height is {self.height:g}, but must be metres above the floor, more "
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
        """Whether evidence that was gathered under `old` settings no longer counts.

        A camera that moves on its robot is turned a little in every frame. Only where it turned farther than
        the floor's search reaches was the floor sought in the wrong place.
        """
        turned = max(abs(self.pitch - old.pitch), abs(self.roll - old.roll))
        sources = ("height", "tilt_tolerance", "odometry", "ranges")
        return turned > self.tilt_tolerance or any(getattr(self, n) != getattr(old, n) for n in sources)
