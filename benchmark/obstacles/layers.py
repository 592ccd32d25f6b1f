# SPDX-License-Identifier: Apache-2.0
"""Models of nav2's obstacle and voxel layers, for use without nav2."""

from __future__ import annotations

import numpy as np

from benchmark.obstacles.truth import CELL, HIGH, LOW

MARK, CLEAR = 3.0, 3.5
"""obstacle_max_range and raytrace_max_range of config/nav2_costmap.yaml, meters."""
STEP = CELL / 2


class ObstacleLayer:
    """Marks the ends of rays and clears along them. shape, corner: of the map, as in Truth."""

    def __init__(self, shape: tuple[int, int], corner: np.ndarray) -> None:
        self.lethal = np.zeros(shape, bool)
        self._corner = corner
        self._along = np.arange(0.0, CLEAR, STEP)

    def add(self, origin: np.ndarray, angles: np.ndarray, ranges: np.ndarray) -> None:
        """Add a scan: origin (2,), angles in the world, radians; ranges in meters, inf free, NaN unknown."""
        known = ~np.isnan(ranges)
        angles, ranges = angles[known], ranges[known]
        ends = np.minimum(ranges, CLEAR)
        heading = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        along = np.broadcast_to(self._along, (len(ends), len(self._along)))
        ray, step = np.nonzero(along < ends[:, None])
        self._set(origin + heading[ray] * self._along[step][:, None], False)
        there = ranges <= MARK
        self._set(origin + heading[there] * ranges[there, None], True)

    def _set(self, points: np.ndarray, value: bool) -> None:
        x, y = (np.floor(points / CELL).astype(int) - self._corner).T
        inside = (x >= 0) & (y >= 0) & (x < self.lethal.shape[1]) & (y < self.lethal.shape[0])
        self.lethal[y[inside], x[inside]] = value


class VoxelLayer:
    """The same for points, in voxels of height `rise` from the floor to HIGH; points below LOW only clear."""

    def __init__(self, shape: tuple[int, int], corner: np.ndarray, rise: float = 0.1) -> None:
        self._rise = rise
        self._voxels = np.zeros((round(HIGH / rise), *shape), bool)
        self._corner = corner
        self._along = np.arange(0.0, CLEAR, STEP)

    @property
    def lethal(self) -> np.ndarray:
        return self._voxels.any(axis=0)

    def add(self, origin: np.ndarray, points: np.ndarray) -> None:
        """Add a cloud: origin (3,), points (N, 3), world, meters, NaN unknown."""
        points = points[np.isfinite(points).all(axis=1)]
        rays = points - origin
        length = np.linalg.norm(rays, axis=1)
        heading = rays / length[:, None]
        for start in range(0, len(points), 4096):
            part = slice(start, start + 4096)
            ends = np.minimum(length[part], CLEAR) - STEP
            ray, step = np.nonzero(self._along[None] < ends[:, None])
            self._set(origin + heading[part][ray] * self._along[step][:, None], False)
        height, reach = points[:, 2], np.linalg.norm(rays[:, :2], axis=1)
        self._set(points[(height >= LOW) & (height <= HIGH) & (reach <= MARK)], True)

    def _set(self, points: np.ndarray, value: bool) -> None:
        x, y = (np.floor(points[:, :2] / CELL).astype(int) - self._corner).T
        z = np.floor(points[:, 2] / self._rise).astype(int)
        depth, rows, columns = self._voxels.shape
        inside = (x >= 0) & (y >= 0) & (z >= 0) & (x < columns) & (y < rows) & (z < depth)
        self._voxels[z[inside], y[inside], x[inside]] = value
