# SPDX-License-Identifier: Apache-2.0
"""The camera's motion from one frame to the next, from odometry."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.camera.transforms import is_pose
from clip2depth_ros.images.origins import FrameWarning

NO_POSE = FrameWarning(
    "odometry pose", "Odometry is not used: its pose is not a rotation and a place in finite numbers."
)


class DrivenMotion:
    """Compares consecutive poses. A frame without a valid pose, and the next one, have no motion."""

    def __init__(self) -> None:
        self._past: np.ndarray | None = None
        self.warning: FrameWarning | None = None

    def reset(self) -> None:
        """Forget the last pose."""
        self._past = None

    def update(self, pose: np.ndarray | None) -> np.ndarray | None:
        """Motion (4, 4) float64: points of the last frame's optical frame into this one's, odometry's meters.

        pose: (4, 4), optical frame to odometry's fixed frame, or None. Returns None where the motion is
        unknown. `warning` is set for an invalid pose, and None otherwise.
        """
        self.warning = NO_POSE if pose is not None and not is_pose(pose) else None
        if self.warning is not None:
            pose = None
        past, self._past = self._past, pose
        return None if past is None or pose is None else np.linalg.inv(pose) @ past
