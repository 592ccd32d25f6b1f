# SPDX-License-Identifier: Apache-2.0
"""Keyframes that see the same scene from other positions, and the held-out stretches of a recording."""

from __future__ import annotations

import numpy as np
import torch

from clip2depth_ros.adaptation.recording import angle_between
from clip2depth_ros.camera import Camera
from clip2depth_ros.training.loss.warp import carry, look_up

NEAREST, FARTHEST = 0.04, 0.30
"""Meters between the cameras of two compared views: below, parallax is too small; above, views differ."""
LARGEST_TURN = np.radians(15.0)
LONGEST = 4.0
"""Seconds between them: odometry drifts, and light and people change."""
OVERLAP, OVERLAP_LONGEST = 0.2, 60.0
"""Least part of a view's points that another view shows, and seconds between the two. Their depths are
compared, not their images: views may differ more, and odometry may drift by some percent of the distance."""
HIDDEN = 0.4
"""Log difference between the depth of a point and the depth there, above which something else is seen."""
GRID = 16
"""Pixels between the points by which an overlap is measured."""
SOURCES = 3
"""Number of other views that each keyframe is compared with."""
BLOCK, SHARE = 2.0, 0.25
"""Seconds of a held-out stretch, and the held-out part of the recording."""


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


def find_overlapping(
    poses: np.ndarray,
    seconds: np.ndarray,
    group: np.ndarray,
    sources: list[np.ndarray],
    depth: np.ndarray,
    camera: Camera,
) -> list[np.ndarray]:
    """For each keyframe without sources, the numbers of keyframes of its group that show a part of its scene.

    A camera that turns on the spot shows directions that no other view shows with parallax. Their depth
    follows from views that have sources; where those show none of it, from views that overlap with those, or
    from each other. Empty for keyframes with sources. sources: of `find_sources`. depth: (N, h, w) meters,
    by which the points of a view are found in others. camera: of its pixels.
    """
    small = torch.from_numpy(np.ascontiguousarray(depth[:, GRID // 2 :: GRID, GRID // 2 :: GRID]))
    k = [[camera.fx, 0, camera.cx - GRID // 2], [0, camera.fy, camera.cy - GRID // 2], [0, 0, GRID]]
    intrinsics = torch.tensor(k, dtype=torch.float32) / GRID
    numbers = np.arange(len(poses))
    paired = np.array([len(found) > 0 for found in sources], bool)

    def overlapping(index: int) -> np.ndarray:
        others = numbers[(numbers != index) & (group == group[index])]
        others = others[np.abs(seconds[others] - seconds[index]) <= OVERLAP_LONGEST]
        motions = torch.from_numpy(np.linalg.inv(poses[others]) @ poses[index])
        place, there = carry(small[[index]].expand(len(others), -1, -1), motions, intrinsics[None])
        seen = (there / look_up(small[others], place, mode="nearest")).log().abs() < HIDDEN
        return others[seen.float().mean((1, 2)).numpy() >= OVERLAP]

    found = [np.empty(0, np.int64) if known else overlapping(index) for index, known in enumerate(paired)]
    reached = paired | [paired[others].any() for others in found]
    for index in np.flatnonzero(~paired):
        for better in (paired, reached):
            if better[found[index]].any():
                found[index] = found[index][better[found[index]]]
                break
    return found


def motion_between(pose: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(4, 4): points of the optical frame at `pose` into the one at `other`."""
    return np.linalg.inv(other) @ pose
