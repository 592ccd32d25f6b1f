# SPDX-License-Identifier: Apache-2.0
"""The pose at a time between measured poses."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from clip2depth_ros.camera.transforms import pose_between

LONGEST_GAP = 500_000_000
"""Nanoseconds: between odometry messages farther apart than this, the pose is not interpolated."""


def pose_at(
    stamps: Sequence[int],
    poses: Sequence[tuple[np.ndarray, np.ndarray]],
    stamp: int,
    *,
    extrapolation: int = 0,
    baseline: int = 0,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Position (3,) in meters and unit quaternion (4,) at `stamp`; None where they are not known.

    Positions are interpolated linearly, orientations on the shortest way. Poses more than LONGEST_GAP apart
    are not interpolated.

    Args:
        stamps: of the measured poses, nanoseconds, ascending.
        poses: position (3,) and unit quaternion (4,) at each stamp.
        stamp: nanoseconds.
        extrapolation: how far after the last pose the motion is continued; 0 does not extrapolate.
        baseline: the extrapolated motion starts at a pose that is at least this much older than the last
            one, because the noise of two close poses would give a wrong speed.
    """
    after = bisect_left(stamps, stamp)
    if after < len(stamps) and stamps[after] == stamp:
        return poses[after]
    if after == 0 or len(stamps) < 2:
        return None  # before the first pose, or a single pose, which tells no motion
    before = after - 1
    if after == len(stamps):
        if stamp - stamps[-1] > extrapolation:
            return None
        after -= 1
        before = max(0, bisect_right(stamps, stamps[after] - baseline) - 1)
    first, second = stamps[before], stamps[after]
    if second - first > LONGEST_GAP:
        return None
    return pose_between(poses[before], poses[after], (stamp - first) / (second - first))
