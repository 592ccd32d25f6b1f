# SPDX-License-Identifier: Apache-2.0
"""Settings of the stabilizer."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from clip2depth_ros.errors import Clip2DepthError

LIMITS = {
    "memory": (0.0, 60.0),
    "scale_memory": (0.0, 600.0),
    "gate": (1.0, 20.0),
    "noise": (0.001, 1.0),
    "max_gap": (0.01, 60.0),
    "flow_pixels": (2_000, 1_000_000),
}
"""Smallest and largest value of each setting."""


@dataclass(frozen=True, slots=True)
class StabilizerSettings:
    """Raises Clip2DepthError when a value is outside its limits."""

    memory: float = 2.0
    """Longest time over which the depth of an unchanged surface is averaged, seconds. A longer time is
    smoother, a shorter one follows changes of the network's output sooner."""
    scale_memory: float = 2.0
    """Seconds over which the scale of the whole image is averaged. A wrong scale decays in the same time."""
    gate: float = 3.0
    """Standard deviations from the predicted depth above which a pixel takes the new measurement. A smaller
    value follows moving objects sooner, a larger one is smoother."""
    noise: float = 0.1
    """Initial relative standard deviation of a single frame's depth,
    before it is estimated from the frames."""
    max_gap: float = 1.0
    """Seconds between two frames above which the past is dropped."""
    flow_pixels: int = 43_200
    """Pixels of the image in which motion is estimated; larger images are reduced to it."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            low, high = LIMITS[field.name]
            if not (isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high):
                raise Clip2DepthError(
                    f"Stabilizer: {field.name} must lie between {low:g} and {high:g}, it is {value}."
                )
