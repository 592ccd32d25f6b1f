# SPDX-License-Identifier: Apache-2.0
"""Odometry's motion between two views, with its turn and direction put right by what the images show.

Wheels tell the length of the way well, and its turn to a degree or so. A degree is three pixels, and the
depth that explains these is a wrong one. Corners that are followed from one view to the other tell the turn
and the direction far better, and nothing about the length: that stays odometry's.
"""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.adaptation.agreement import followed, grey_of, off_line
from clip2depth_ros.adaptation.recording import Keyframes
from clip2depth_ros.adaptation.views import motion_between
from clip2depth_ros.camera import Camera

FEWEST = 20
"""Corners that a motion is refined by."""
TURN, DIRECTION, PIXEL = 0.01, 0.1, 0.5
"""Standard deviations: of odometry's turn and direction between two views, radians; of a corner, pixels."""
ROUNDS = 4
STEP = 1e-5
"""Radians; of the numerical derivative."""


def refined_motions(frames: Keyframes, sources: list[np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
    """(4, 4) by numbers (i, j) of keyframes: points of view i into j, for each j of sources[i], and back."""
    motions: dict[tuple[int, int], np.ndarray] = {}
    for i, others in enumerate(sources):
        for j in map(int, others):
            if (i, j) in motions:
                continue
            motion = motion_between(frames.poses[i], frames.poses[j])
            before, after = followed(grey_of(frames, i), grey_of(frames, j))
            motion = refine(motion, before, after, frames.camera)
            motions[i, j], motions[j, i] = motion, np.linalg.inv(motion)
    return motions


def refine(motion: np.ndarray, before: np.ndarray, after: np.ndarray, camera: Camera) -> np.ndarray:
    """`motion` (4, 4) turned so that the corners lie on their epipolar lines; as long as before.

    before, after: (n, 2) pixels of corners in both views. Gauss-Newton with Tukey's weights on Sampson's
    distance; odometry is a measurement among the others. Returned as it is where too few corners were
    followed, or where it gets no better.
    """
    if len(before) < FEWEST:
        return motion
    change, start = np.zeros(5), off_line(before, after, motion, camera)
    miss = start
    for _ in range(ROUNDS):
        # The derivatives by the five small angles; off_line has a sign here, or it would bend at zero.
        columns = []
        for axis in range(5):
            ahead = change.copy()
            ahead[axis] += STEP
            columns.append((off_line(before, after, _changed(motion, ahead), camera) - miss) / STEP)
        jacobian = np.stack(columns, 1) / PIXEL
        reach = 4 * max(float(np.median(np.abs(miss))), PIXEL / 2)
        weight = np.clip(1 - (miss / reach) ** 2, 0, None) ** 2
        prior = np.array([TURN] * 3 + [DIRECTION] * 2) ** -2
        normal = (jacobian * weight[:, None]).T @ jacobian + np.diag(prior)
        right = -(jacobian * weight[:, None]).T @ (miss / PIXEL) - prior * change
        change = change + np.linalg.solve(normal, right)
        miss = off_line(before, after, _changed(motion, change), camera)
    if not np.median(np.abs(miss)) < np.median(np.abs(start)):
        return motion
    return _changed(motion, change)


def _changed(motion: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The motion with another turn (3 angles), and another direction (2 angles) of its translation."""
    result = np.eye(4)
    result[:3, :3] = cv2.Rodrigues(change[:3])[0] @ motion[:3, :3]
    way = motion[:3, 3]
    # Two directions across the way.
    across = np.linalg.svd(way[None])[2][1:]
    result[:3, 3] = cv2.Rodrigues(np.cross(way / np.linalg.norm(way), change[3:] @ across))[0] @ way
    return result
