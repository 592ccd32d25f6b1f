# SPDX-License-Identifier: Apache-2.0
"""How the camera moved between two frames, from corners that were followed and their previous depth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from clip2depth_ros.metrics.medians import median

MIN_POINTS = 24
"""Fewer points that agree on a motion are not trusted."""
MIN_AGREEING = 0.4
"""Nor is a motion that a smaller part of all points agrees on."""
MAX_UNSURE = 0.03
"""Nor one whose advance is unsure by more than this part of the points' median depth."""
MAX_SPREAD = 1.5
"""Nor one that even its own inliers miss by more than this, typically, pixels."""
INLIER = 1.0
"""Pixels that a point may miss its place by and still speak for a hypothesis."""
HYPOTHESES = 48
SAMPLE = 4
"""Points a hypothesis is made of; three would do, one more steadies it."""
JUDGES = 200
"""Points, about, that choose between the hypotheses."""
ROUNDS = 6
"""Steps of Gauss-Newton, at most."""
CORRELATION = 2.0
"""Factor on standard deviations: the errors of corners near each other are alike, so they count as fewer."""


@dataclass(slots=True)
class EgoMotion:
    """A motion of the camera that its images speak for."""

    motion: np.ndarray
    """(4, 4) float64: points of the previous optical frame into this one, in the depth's metres."""
    deviation: float
    """Relative standard deviation of the translation's length; infinite where it did not move at all."""
    unsure: float
    """Standard deviation of the advance along the optical axis, as a part of the points' median depth."""
    spread: float
    """Pixels by which the inliers typically miss."""


def find_ego_motion(points: np.ndarray, seen: np.ndarray, focal: float) -> EgoMotion | None:
    """The motion that carries most of the points to where they are seen now; None when none can be trusted.

    points: (n, 3) float64, previous optical frame, in the depth's metres. seen: (n, 2) float64, x / z and
    y / z of where they are now. focal: pixels, turns misses into pixels.

    RANSAC over small motions about the turn that the median flow tells, all hypotheses at once and always
    with the same samples; then Gauss-Newton on the reprojection error with Tukey's weights.
    """
    if len(points) < MIN_POINTS:
        return None
    rotation, translation = _best_hypothesis(points, seen, focal, _median_turn(points, seen))
    for _ in range(ROUNDS):
        jacobian, miss = _linearize(points @ rotation.T + translation, seen, focal)
        length = np.hypot(miss[0], miss[1])
        # Not the median of all: nearly half of them may belong to something that moves on its own.
        near = length[length < 3 * INLIER]
        if len(near) < MIN_POINTS:
            return None
        spread = max(median(near) / 1.18, 0.02)
        weight = np.maximum(1 - (length / (4 * spread)) ** 2, 0) ** 2
        normal, right = _normal_equations(jacobian, miss, weight)
        try:
            step = np.linalg.solve(normal, right)
        except np.linalg.LinAlgError:
            return None
        rotation, translation = _moved(rotation, translation, step)
        if np.abs(step).max() < 1e-5:
            break
    return _judge(points, rotation, translation, normal, weight, spread)


def typical_miss(points: np.ndarray, seen: np.ndarray, focal: float, motion: np.ndarray) -> float:
    """Median distance, pixels, between where a motion (4, 4) carries the points and where they are seen."""
    _, miss = _linearize(points @ motion[:3, :3].T + motion[:3, 3], seen, focal)
    return median(np.hypot(miss[0], miss[1]))


def _median_turn(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(3, 3): the turn about x and y that explains the points' median shift in the image."""
    across, down = (median(seen[:, axis] - points[:, axis] / points[:, 2]) for axis in (0, 1))
    return cv2.Rodrigues(np.array([-down, across, 0.0]))[0]


def _best_hypothesis(
    points: np.ndarray, seen: np.ndarray, focal: float, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation of the hypothesis that the points miss least, misses counted up to INLIER."""
    jacobian, miss = _linearize(points @ start.T, seen, focal)
    chosen = _samples(len(points))
    # (6, 2, n) and (2, n) -> one small system a hypothesis.
    rows = jacobian[:, :, chosen].transpose(2, 1, 3, 0).reshape(HYPOTHESES, 2 * SAMPLE, 6)
    right = miss[:, chosen].transpose(1, 0, 2).reshape(HYPOTHESES, 2 * SAMPLE, 1)
    turned = rows.transpose(0, 2, 1)
    # A sample that says nothing about a direction shall not move along it.
    ridge = 1e-6 * focal**2 * np.eye(6)
    steps = np.linalg.solve(turned @ rows + ridge, turned @ right)[..., 0]
    few = slice(None, None, 1 + len(points) // JUDGES)
    left = jacobian[:, :, few].transpose(1, 2, 0) @ steps.T
    np.subtract(miss[:, few, None], left, out=left)
    square = np.square(left, out=left).sum(0)
    cost = np.minimum(square, INLIER**2, out=square).sum(0)
    return _moved(start, np.zeros(3), steps[cost.argmin()])


@lru_cache(maxsize=512)
def _samples(points: int) -> np.ndarray:
    """(HYPOTHESES, SAMPLE): which of so many points each hypothesis is made of; not to be written to."""
    return np.random.default_rng(points).integers(0, points, (HYPOTHESES, SAMPLE))


def _linearize(moved: np.ndarray, seen: np.ndarray, focal: float) -> tuple[np.ndarray, np.ndarray]:
    """Misses of points (n, 3) in their new place, (2, n) pixels, and what a small motion changes about them.

    The second, (6, 2, n), is per metre of translation along and per radian of rotation about x, y and z.
    """
    inverse = 1 / np.maximum(moved[:, 2], 1e-3)
    x, y = moved[:, 0] * inverse, moved[:, 1] * inverse
    jacobian = np.empty((6, 2, len(moved)))
    jacobian[0, 0], jacobian[0, 1] = inverse, 0
    jacobian[1, 0], jacobian[1, 1] = 0, inverse
    jacobian[2, 0], jacobian[2, 1] = -x * inverse, -y * inverse
    jacobian[3, 0], jacobian[3, 1] = -x * y, -1 - y * y
    jacobian[4, 0], jacobian[4, 1] = 1 + x * x, x * y
    jacobian[5, 0], jacobian[5, 1] = -y, x
    jacobian *= focal
    miss = np.empty((2, len(moved)))
    np.subtract(seen[:, 0], x, out=miss[0])
    np.subtract(seen[:, 1], y, out=miss[1])
    miss *= focal
    return jacobian, miss


def _normal_equations(
    jacobian: np.ndarray, miss: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(6, 6) and (6,) of the weighted least squares."""
    weighted = (jacobian * weight).reshape(6, -1)
    return weighted @ jacobian.reshape(6, -1).T, weighted @ miss.reshape(-1)


def _moved(rotation: np.ndarray, translation: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The motion followed by a small one: (6,) translation and rotation vector."""
    turn = cv2.Rodrigues(step[3:])[0]
    return turn @ rotation, turn @ translation + step[:3]


def _judge(
    points: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    normal: np.ndarray,
    weight: np.ndarray,
    spread: float,
) -> EgoMotion | None:
    """The motion with what speaks for it; None when that is too little."""
    inliers = np.count_nonzero(weight)
    if inliers < MIN_POINTS or inliers < MIN_AGREEING * len(points) or spread > MAX_SPREAD:
        return None
    try:
        covariance = np.linalg.inv(normal)[:3, :3] * spread**2
    except np.linalg.LinAlgError:
        return None
    unsure = float(np.sqrt(max(covariance[2, 2], 0.0)) / median(points[weight > 0, 2]))
    # Written so that NaN is not trusted.
    if not unsure <= MAX_UNSURE:
        return None
    length = float(np.linalg.norm(translation))
    deviation = np.inf
    if length > 0:
        along = translation / length
        deviation = CORRELATION * float(np.sqrt(max(along @ covariance @ along, 0.0)) / length)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, translation
    return EgoMotion(motion, deviation, unsure, spread)
