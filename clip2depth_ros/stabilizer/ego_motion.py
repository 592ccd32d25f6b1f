# SPDX-License-Identifier: Apache-2.0
"""The camera's motion between two frames, from tracked corners and their previous depth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from clip2depth_ros.metrics.medians import median

MIN_POINTS = 24
"""Least number of inliers of a motion."""
MIN_AGREEING = 0.4
"""Least share of inliers of a motion."""
MAX_ADVANCE_STD_DEV = 0.03
"""Largest standard deviation of the advance, as a fraction of the points' median depth."""
MAX_SPREAD = 1.5
"""Largest residual spread of the inliers, pixels."""
INLIER = 1.0
"""Largest residual of an inlier of a hypothesis, pixels."""
HYPOTHESES = 48
SAMPLE = 4
"""Points in the sample of a hypothesis; three are enough, one more reduces the noise."""
SCORED_POINTS = 200
"""Approximate number of points on which the hypotheses are scored."""
ROUNDS = 6
"""Most Gauss-Newton steps."""
CORRELATION = 2.0
"""Factor on standard deviations, because the errors of nearby corners are correlated."""


@dataclass(slots=True)
class EgoMotion:
    """A motion of the camera that was estimated from its images (visual odometry)."""

    motion: np.ndarray
    """(4, 4) float64: points of the previous optical frame into this one, in the unit of the depth."""
    deviation: float
    """Relative standard deviation of the translation's length; infinite for no translation."""
    advance_std_dev: float
    """Standard deviation of the translation along the optical axis, relative to the points' median depth."""
    spread: float
    """Robust standard deviation of the inliers' residuals, pixels."""


def find_ego_motion(points: np.ndarray, seen: np.ndarray, focal: float) -> EgoMotion | None:
    """The motion that maps most points to their current positions; None when no motion is reliable.

    points: (n, 3) float64, previous optical frame, in the unit of the depth. seen: (n, 2) float64, x / z and
    y / z of their current positions. focal: pixels, scales residuals to pixels.

    RANSAC over small motions around the rotation of the median flow, all hypotheses at once and always with
    the same samples; then Gauss-Newton on the reprojection error with Tukey's weights.
    """
    if len(points) < MIN_POINTS:
        return None
    rotation, translation = _best_hypothesis(points, seen, focal, _median_turn(points, seen))
    for _ in range(ROUNDS):
        jacobian, miss = _linearize(points @ rotation.T + translation, seen, focal)
        length = np.hypot(miss[0], miss[1])
        # Not the median of all: almost half of the points may be on a moving object.
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
    return _evaluate(points, rotation, translation, normal, weight, spread)


def typical_miss(points: np.ndarray, seen: np.ndarray, focal: float, motion: np.ndarray) -> float:
    """Median reprojection error of the points with a motion (4, 4), pixels."""
    _, miss = _linearize(points @ motion[:3, :3].T + motion[:3, 3], seen, focal)
    return median(np.hypot(miss[0], miss[1]))


def _median_turn(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(3, 3): the rotation about x and y that explains the points' median shift in the image."""
    across, down = (median(seen[:, axis] - points[:, axis] / points[:, 2]) for axis in (0, 1))
    return cv2.Rodrigues(np.array([-down, across, 0.0]))[0]


def _best_hypothesis(
    points: np.ndarray, seen: np.ndarray, focal: float, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation of the hypothesis with the least cost; residuals are truncated at INLIER."""
    jacobian, miss = _linearize(points @ start.T, seen, focal)
    chosen = _samples(len(points))
    # (6, 2, n) and (2, n) -> one small system per hypothesis.
    rows = jacobian[:, :, chosen].transpose(2, 1, 3, 0).reshape(HYPOTHESES, 2 * SAMPLE, 6)
    right = miss[:, chosen].transpose(1, 0, 2).reshape(HYPOTHESES, 2 * SAMPLE, 1)
    turned = rows.transpose(0, 2, 1)
    # Without this, a sample could move along a direction that it does not constrain.
    ridge = 1e-6 * focal**2 * np.eye(6)
    steps = np.linalg.solve(turned @ rows + ridge, turned @ right)[..., 0]
    few = slice(None, None, 1 + len(points) // SCORED_POINTS)
    left = jacobian[:, :, few].transpose(1, 2, 0) @ steps.T
    np.subtract(miss[:, few, None], left, out=left)
    square = np.square(left, out=left).sum(0)
    cost = np.minimum(square, INLIER**2, out=square).sum(0)
    return _moved(start, np.zeros(3), steps[cost.argmin()])


@lru_cache(maxsize=512)
def _samples(points: int) -> np.ndarray:
    """(HYPOTHESES, SAMPLE): indices of each hypothesis' points. Cached: do not write to it."""
    return np.random.default_rng(points).integers(0, points, (HYPOTHESES, SAMPLE))


def _linearize(moved: np.ndarray, seen: np.ndarray, focal: float) -> tuple[np.ndarray, np.ndarray]:
    """Residuals of points (n, 3) in their new position, (2, n) pixels, and their Jacobian, (6, 2, n).

    The Jacobian is per unit of translation along, and per radian of rotation about, x, y and z.
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
    """The motion composed with a small one: (6,) translation and rotation vector."""
    turn = cv2.Rodrigues(step[3:])[0]
    return turn @ rotation, turn @ translation + step[:3]


def _evaluate(
    points: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    normal: np.ndarray,
    weight: np.ndarray,
    spread: float,
) -> EgoMotion | None:
    """The motion with its standard deviations; None when it is not reliable."""
    inliers = np.count_nonzero(weight)
    if inliers < MIN_POINTS or inliers < MIN_AGREEING * len(points) or spread > MAX_SPREAD:
        return None
    try:
        covariance = np.linalg.inv(normal)[:3, :3] * spread**2
    except np.linalg.LinAlgError:
        return None
    advance_std_dev = float(np.sqrt(max(covariance[2, 2], 0.0)) / median(points[weight > 0, 2]))
    # Written so that NaN is rejected.
    if not advance_std_dev <= MAX_ADVANCE_STD_DEV:
        return None
    length = float(np.linalg.norm(translation))
    deviation = np.inf
    if length > 0:
        along = translation / length
        deviation = CORRELATION * float(np.sqrt(max(along @ covariance @ along, 0.0)) / length)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, translation
    return EgoMotion(motion, deviation, advance_std_dev, spread)
