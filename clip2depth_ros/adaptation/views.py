# SPDX-License-Identifier: Apache-2.0
"""Which keyframes see the same from elsewhere, and which stretches of the recording are kept out."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.adaptation.recording import angle_between

NEAREST, FARTHEST = 0.04, 0.30
"""Metres between the cameras of two views that are compared: below, parallax drowns; above, views differ."""
LARGEST_TURN = np.radians(15.0)
LONGEST = 4.0
"""Seconds between them: odometry drifts, and light and people change."""
SOURCES = 3
"""Other views that each keyframe is compared with."""
BLOCK, SHARE = 2.0, 0.25
"""Seconds of a stretch that is kept out, and the part of the recording that is."""
MARGIN = 0.0


def kept_out_blocks(seconds: np.ndarray, block: float = BLOCK, share: float = SHARE) -> np.ndarray:
    """(N,) int: the number of the block that keeps a keyframe out of training, -1 for those trained on.

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
    """For each keyframe the numbers of those that see the same from elsewhere, at most `candidates`.

    poses (N, 4, 4), seconds (N,). group: (N,) int; views are of the same group: what is kept out is compared
    with itself only, and teaches nothing.
    """
    found = []
    for index in range(len(poses)):
        away = np.linalg.norm(poses[:, :3, 3] - poses[index, :3, 3], axis=1)
        good = (away >= NEAREST) & (away <= FARTHEST) & (group == group[index])
        good &= np.abs(seconds - seconds[index]) <= LONGEST
        good &= angle_between(poses, poses[index]) < LARGEST_TURN
        numbers = np.flatnonzero(good)
        if len(numbers) > candidates:
            # Evenly over the distances: near ones match best, far ones tell depth best.
            order = numbers[np.argsort(away[numbers], kind="stable")]
            numbers = order[np.linspace(0, len(order) - 1, candidates).round().astype(int)]
        found.append(numbers)
    return found


def motion_between(pose: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(4, 4): points of the optical frame at `pose` into the one at `other`."""
    return np.linalg.inv(other) @ pose
