# SPDX-License-Identifier: Apache-2.0
"""Points with depth from tracked corners, where the depth around the corner is reliable."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.camera import Camera

REACH = 2
"""Radius of the neighborhood of a corner, pixels of depth."""
FLAT = 1.1
"""Largest ratio of depths in this neighborhood. Corners are often on the edge of a near object, where it is
unknown which of the two depths is theirs."""
SURE = 1.5
"""Largest variance of a corner's depth, in units of one measurement's."""


def landmarks(
    before: np.ndarray, now: np.ndarray, camera: Camera, depth: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points of the previous frame and their positions in this one.

    before, now: (n, 2) float32, a corner's pixel in the previous image and in this one; camera: of these.
    depth, variance: (h, w) float32 of the previous frame, finite everywhere, of any size; variance in units
    of one measurement's.
    Returns (m, 3) float64, points in the previous optical frame, in the unit of the depth, and (m, 2)
    float64, x / z and y / z in this one; only points with a reliable depth.
    """
    height, width = depth.shape
    across, down = width / camera.width, height / camera.height
    # In a depth of a few pixels, the neighborhood is smaller.
    reach_x, reach_y = min(REACH, (width - 1) // 2), min(REACH, (height - 1) // 2)
    x = np.rint((before[:, 0] + 0.5) * across - 0.5).astype(np.intp).clip(reach_x, width - 1 - reach_x)
    y = np.rint((before[:, 1] + 0.5) * down - 0.5).astype(np.intp).clip(reach_y, height - 1 - reach_y)
    here = y * width + x
    offsets = [j * width + i for i in (-reach_x, 0, reach_x) for j in (-reach_y, 0, reach_y)]
    around = depth.ravel()[here + np.array(offsets)[:, None]]
    good = (variance.ravel()[here] < SURE) & (around.max(0) < FLAT * around.min(0))
    z = depth.ravel()[here[good]].astype(np.float64)
    middle, focal = np.array([camera.cx, camera.cy]), np.array([camera.fx, camera.fy])
    rays = (before[good] - middle) / focal
    points = np.empty((len(z), 3))
    points[:, :2], points[:, 2] = rays * z[:, None], z
    return points, (now[good] - middle) / focal
