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
OVERLAP_AWAY, OVERLAP_TURN, OVERLAP_LONGEST = 1.5, np.radians(35.0), 20.0
"""Meters, radians and seconds between two views that show a part of the same scene. Their depths are
compared, not their images: views may differ more, and odometry may drift by some percent of the distance."""
SOURCES = 3
"""Number of other views that each keyframe is compared with."""
BLOCK, SHARE = 2.0, 0.25
"""Seconds of a held-out stretch, and the held-out part of the recording."""
SHIFTS = (0.0, 0.1, -0.1, 0.2, -0.2, 0.3, -0.3)
"""Places of the held-out stretches that are tried, from the middle of equal parts of the recording, in such
parts."""


def hold_out(
    poses: np.ndarray, seconds: np.ndarray, block: float, fewest: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The blocks of `kept_out_blocks` and the sources of `find_sources`.

    In a short recording the one held-out stretch may be a turn without parallax: the blocks are shifted until
    `fewest` keyframes for training and `fewest` held-out ones have sources. Where no shift reaches that, they
    are not shifted.
    """
    tried = []
    for shift in SHIFTS:
        group = kept_out_blocks(seconds, block, shift=shift)
        sources = find_sources(poses, seconds, group)
        paired = np.array([len(numbers) > 0 for numbers in sources])
        if min(np.sum(paired & (group < 0)), np.sum(paired & (group >= 0))) >= fewest:
            return group, sources
        tried.append((group, sources))
    return tried[0]


def kept_out_blocks(
    seconds: np.ndarray, block: float = BLOCK, share: float = SHARE, shift: float = 0.0
) -> np.ndarray:
    """(N,) int: the number of the held-out block of a keyframe, -1 for training.

    Blocks of `block` seconds are together `share` of the recording, at least one. The recording is divided
    into as many equal parts; a block lies in the middle of each, `shift` parts later. seconds: (N,) rising.
    """
    total = float(seconds[-1])
    count = max(1, round(total * share / block))
    length = min(block, total * share) if count == 1 else block
    starts = (np.arange(count) + 0.5 + shift) * total / count - length / 2
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


def find_overlapping(
    poses: np.ndarray, seconds: np.ndarray, group: np.ndarray, sources: list[np.ndarray]
) -> list[np.ndarray]:
    """For each keyframe without sources, the numbers of keyframes of its group that see a part of its scene.

    A camera that turns on the spot shows directions that no other view shows with parallax. Their depth
    follows from views that have sources; where those are further than OVERLAP_TURN, from each other. Empty
    for keyframes with sources. sources: of `find_sources`.
    """
    paired = np.array([len(numbers) > 0 for numbers in sources], bool)
    found = []
    for index in range(len(poses)):
        if paired[index]:
            found.append(np.empty(0, np.int64))
            continue
        good = np.linalg.norm(poses[:, :3, 3] - poses[index, :3, 3], axis=1) <= OVERLAP_AWAY
        good &= angle_between(poses, poses[index]) < OVERLAP_TURN
        good &= (np.abs(seconds - seconds[index]) <= OVERLAP_LONGEST) & (group == group[index])
        good[index] = False
        found.append(np.flatnonzero(good & paired if (good & paired).any() else good))
    return found


def motion_between(pose: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(4, 4): points of the optical frame at `pose` into the one at `other`."""
    return np.linalg.inv(other) @ pose
