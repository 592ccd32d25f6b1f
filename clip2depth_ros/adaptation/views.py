# SPDX-License-Identifier: Apache-2.0
"""Keyframes that see the same scene from other positions, and the held-out stretches of a recording."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.adaptation.recording import angle_between

NEAREST, FARTHEST = 0.04, 0.30
"""Meters between the cameras of two compared views: below, parallax is too small; above, views differ."""
LARGEST_TURN = np.radians(15.0)
LONGEST = 4.0
"""Seconds between them: odometry drifts, and light and people change."""
SOURCES = 3
"""Number of other views that each keyframe is compared with."""
BLOCK, SHARE = 2.0, 0.25
"""Seconds of a held-out stretch, and the held-out part of the recording."""
MARGIN = 0.0


def kept_out_blocks(seconds: np.ndarray, block: float = BLOCK, share: float = SHARE) -> np.ndarray:
    """(N,) int: the number of the held-out block of a keyframe, -1 for training.

    Blocks of `block` seconds lie evenly in the recording and are together `share` of it, at least one.
    seconds: (N,) rising.
    """
    total = float(seconds[-1])
    count = max(1, round(total * share / block))
    length = min(block, total * share) if count == 1 else block
    starts = (np.arange(count) + 0.5) * total / count - length / 2
    number = np.full(len(seconds), -1)
    for index, start in enumerate(starts):
        number[(seconds >= start) & (seconds < start + length)] = index
    return number


def find_sources(
    poses: np.ndarray, seconds: np.ndarray, group: np.ndarray, candidates: int = 6
) -> list[np.ndarray]:
    """For each keyframe the numbers of keyframes that see the same scene, at most `candidates`.

    poses (N, 4, 4), seconds (N,). group: (N,) int; views are of the same group, so that held-out keyframes
    are not used in training.
    """
    found = []
    for index in range(len(poses)):
        away = np.linalg.norm(poses[:, :3, 3] - poses[index, :3, 3], axis=1)
        good = (away >= NEAREST) & (away <= FARTHEST) & (group == group[index])
        good &= np.abs(seconds - seconds[index]) <= LONGEST
        good &= angle_between(poses, poses[index]) < LARGEST_TURN
        numbers = np.flatnonzero(good)
        if len(numbers) > candidates:
            # Evenly over the distances: near ones match best, far ones determine depth best.
            order = numbers[np.argsort(away[numbers], kind="stable")]
            numbers = order[np.linspace(0, len(order) - 1, candidates).round().astype(int)]
        found.append(numbers)
    return found


def motion_between(pose: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(4, 4): points of the optical frame at `pose` into the one at `other`."""
    return np.linalg.inv(other) @ pose
