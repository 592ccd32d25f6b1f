# SPDX-License-Identifier: Apache-2.0
"""The camera's translation as a function of depth, from tracked corners and their depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

REFERENCE = 1.5
"""Depth at which the slope has no effect, meters."""
ROUNDS = 3
MIN_POINTS = 24
OUTLIER = 3.0
"""Residual in pixels above which a corner is left out of the estimate of the spread."""
RIDGE = 0.01
"""Regularization towards a translation that is the same at all depths,
relative to the corners' information."""


@dataclass(slots=True)
class Parallax:
    """A motion between two frames whose translation depends on depth: middle + slope * log(z / REFERENCE).

    Where depth is right up to a factor, the slope is zero. A network whose near objects are too near and
    whose far objects are too far gives a longer translation for far objects than for near ones.
    """

    rotation: np.ndarray
    """(3, 3): of points of the previous optical frame into this one."""
    middle: np.ndarray
    """(3,), in the unit of the depth."""
    slope: np.ndarray
    """(3,), in the unit of the depth for each unit of log depth."""


def find_parallax(points: np.ndarray, seen: np.ndarray, focal: float, motion: np.ndarray) -> Parallax | None:
    """The motion by least squares with Tukey's weights on the reprojection error; None when the fit fails.

    points: (n, 3), previous optical frame, in the unit of the depth. seen: (n, 2), x / z and y / z of their
    current positions. focal: pixels. motion: (4, 4), the initial value, with one translation for all depths.
    """
    if len(points) < MIN_POINTS:
        return None
    far = np.log(points[:, 2] / REFERENCE)
    rotation, middle, slope = motion[:3, :3], motion[:3, 3], np.zeros(3)
    jacobian = np.zeros((len(points), 2, 9))
    for _ in range(ROUNDS):
        moved = points @ rotation.T + middle + far[:, None] * slope
        inverse = 1 / np.maximum(moved[:, 2], 1e-3)
        x, y = moved[:, 0] * inverse, moved[:, 1] * inverse
        miss = seen - np.stack([x, y], axis=1)
        length = np.hypot(miss[:, 0], miss[:, 1]) * focal
        near = length[length < OUTLIER]
        if len(near) < MIN_POINTS:
            return None
        spread = max(float(np.median(near)) / 1.18, 0.1)
        weight = np.clip(1 - (length / (4 * spread)) ** 2, 0, None) ** 2
        jacobian[:, 0, 0], jacobian[:, 1, 0] = -x * y, -1 - y * y
        jacobian[:, 0, 1], jacobian[:, 1, 1] = 1 + x * x, x * y
        jacobian[:, 0, 2], jacobian[:, 1, 2] = -y, x
        jacobian[:, 0, 3] = jacobian[:, 1, 4] = inverse
        jacobian[:, 0, 5], jacobian[:, 1, 5] = -x * inverse, -y * inverse
        jacobian[:, :, 6:] = jacobian[:, :, 3:6] * far[:, None, None]
        rows = (jacobian * np.sqrt(weight)[:, None, None]).reshape(-1, 9)
        normal = rows.T @ rows
        normal[range(6, 9), range(6, 9)] += RIDGE * np.trace(normal[3:6, 3:6]) / 3
        right = rows.T @ (miss * np.sqrt(weight)[:, None]).reshape(-1)
        right[6:] -= RIDGE * np.trace(normal[3:6, 3:6]) / 3 * slope
        try:
            step = np.linalg.solve(normal, right)
        except np.linalg.LinAlgError:
            return None
        turn = cv2.Rodrigues(step[:3])[0]
        rotation = turn @ rotation
        middle, slope = turn @ middle + step[3:6], turn @ slope + step[6:]
    if not np.isfinite(middle).all() or not np.isfinite(slope).all():
        return None
    return Parallax(rotation, middle, slope)
