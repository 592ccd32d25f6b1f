# SPDX-License-Identifier: Apache-2.0
"""The floor for scan and cloud: detected in the depth, or from the camera's mounting."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.images.frame import DepthFrame, Floor
from clip2depth_ros.outputs import FloorLimits
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

# How long a floor is used after it was last detected: longer than a person takes to walk by, and too short
# for a large motion of a camera that the robot tilts. Nanoseconds.
FLOOR_MEMORY = 2_000_000_000


class KnownFloor:
    """The floor for the outputs of one camera.

    floor: in the published meters, None while unknown. out_of_sight: no floor was detected for FLOOR_MEMORY,
    and the last one was dropped. Both are of the last frame that was given to `see`.
    """

    def __init__(self) -> None:
        self.floor: Floor | None = None
        self.out_of_sight = False
        self._found: Floor | None = None
        self._stamp = 0

    def see(self, frame: DepthFrame, settings: DepthSettings, gravity: np.ndarray | None) -> None:
        """Update the floor with a frame.

        gravity: (3,) unit vector, down in the optical frame, or None. After FLOOR_MEMORY without a detected
        floor, the floor is computed from the camera's height and gravity or mounting.
        """
        first = not 0 < self._stamp <= frame.stamp  # or time jumped back
        if first or frame.facts.floor is not None:
            self._found, self._stamp = frame.facts.floor, frame.stamp
        self.out_of_sight = frame.stamp - self._stamp > FLOOR_MEMORY
        if self.out_of_sight:
            self._found = None
        self.floor = self._found or _floor_by_height(settings, gravity)

    def limits(self, settings: DepthSettings) -> FloorLimits | None:
        """The detected and the expected floor for the point cloud; None while no floor is known."""
        if self.floor is None:
            return None
        mounting = settings.mounting
        height = mounting.z if mounting.z > 0 else settings.scale.height
        expected = Floor.from_mounting(height, mounting.pitch, mounting.roll) if height > 0 else self.floor
        return FloorLimits(self.floor, expected, settings.scan.min_height, settings.scan.floor_tolerance)


def _floor_by_height(settings: DepthSettings, gravity: np.ndarray | None) -> Floor | None:
    height, mounting = settings.scale.height, settings.mounting
    if height <= 0:
        return None
    return (
        Floor.from_mounting(height, mounting.pitch, mounting.roll)
        if gravity is None
        else Floor(-gravity, height, 1.0)
    )
