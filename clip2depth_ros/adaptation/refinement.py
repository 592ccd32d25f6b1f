# SPDX-License-Identifier: Apache-2.0
"""The motion between two views by odometry, with rotation and direction refined by the images.

Wheel odometry measures the length of a motion well, and its rotation to about a degree. A degree is three
pixels, and the depth that explains these is wrong. Corners tracked from one view to the other give rotation
and direction far more precisely, but not the length, which stays that of odometry.
"""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.adaptation.agreement import followed, gray_of, off_line
from clip2depth_ros.adaptation.recording import Keyframes
from clip2depth_ros.adaptation.views import motion_between
from clip2depth_ros.camera import Camera

FEWEST = 20
"""Fewest corners to refine a motion by."""
TURN, DIRECTION, PIXEL = 0.01, 0.1, 0.5
"""Standard deviations of rotation and direction between two views, radians, and of a corner, pixels."""
ROUNDS = 4
STEP = 1e-5
"""Radians: step of the numerical derivative."""


def refined_motions(frames: Keyframes, sources: list[np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
    """(4, 4) by numbers (i, j) of keyframes: points of view i into j, for each j of sources[i], and back."""
    motions: dict[tuple[int, int], np.ndarray] = {}
    for i, others in enumerate(sources):
        for j in map(int, others):
            if (i, j) in motions:
                continue
            motion = motion_between(frames.poses[i], frames.poses[j])
            before, after = followed(gray_of(frames, i), gray_of(frames, j))
            motion = refine(motion, before, after, frames.camera)
            motions[i, j], motions[j, i] = motion, np.linalg.inv(motion)
    return motions


def refine(motion: np.ndarray, before: np.ndarray, after: np.ndarray, camera: Camera) -> np.ndarray:
    """`motion` (4, 4), of the same length, refined so that the corners lie on their epipolar lines.

    before, after: (n, 2) pixels of corners in both views. Gauss-Newton with Tukey's weights on Sampson's
    distance; odometry is one of the measurements. Returned unchanged where too few corners were tracked,
    or where the refinement does not reduce the error.
    """
    if len(before) < FEWEST:
        return motion
    change, start = np.zeros(5), off_line(before, after, motion, camera)
    miss = start
    for _ in range(ROUNDS):
        # The derivatives by the five small angles. off_line is signed, so that it is smooth at zero.
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
    """The motion with changed rotation (3 angles) and changed direction of its translation (2 angles)."""
    result = np.eye(4)
    result[:3, :3] = cv2.Rodrigues(change[:3])[0] @ motion[:3, :3]
    way = motion[:3, 3]
    # Two directions perpendicular to the translation.
    across = np.linalg.svd(way[None])[2][1:]
    result[:3, 3] = cv2.Rodrigues(np.cross(way / np.linalg.norm(way), change[3:] @ across))[0] @ way
    return result
