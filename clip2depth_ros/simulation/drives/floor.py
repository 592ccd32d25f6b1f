# SPDX-License-Identifier: Apache-2.0
"""The free floor of a room, and smooth paths on it. Meters."""

from __future__ import annotations

import heapq
import math

import cv2
import numpy as np

from clip2depth_ros.simulation.scene.scene import Scene

CELL = 0.1
"""Side of a floor cell, meters."""
_STEP = 0.02
_NEIGHBOURS = [(dx, dy, math.hypot(dx, dy)) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]


class FloorMap:
    """The free floor: clearance to walls and to every part between ankle and head height."""

    def __init__(self, scene: Scene, top: float = 1.8):
        self.shape = (math.ceil(scene.width / CELL), math.ceil(scene.length / CELL))
        fine = 4
        scale = fine / CELL
        taken = np.zeros((self.shape[1] * fine + 2, self.shape[0] * fine + 2), np.uint8)
        free = np.ones_like(taken)
        free[:, 0] = free[0] = 0
        free[round(scene.length * scale) + 1 :] = 0
        free[:, round(scene.width * scale) + 1 :] = 0
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        for part in scene.parts:
            points = (corners * part.size) @ part.rotation.T + part.position
            if points[:, 2].max() > 0.04 and points[:, 2].min() < top:
                outline = np.round(points[:, :2] * scale + 1).astype(np.int32)
                cv2.fillConvexPoly(taken, cv2.convexHull(outline), 1)
        free[taken > 0] = 0
        self._scale = scale
        self._distance = cv2.distanceTransform(free, cv2.DIST_L2, 5) / scale
        self.clearance = self._distance[1 + fine // 2 : -1 : fine, 1 + fine // 2 : -1 : fine].T
        """(cells along x, along y) float32: distance from a cell's middle to the nearest obstacle, meters."""

        self._rooms = (
            self.clearance.tolist()
        )  # single elements of a list are much faster to read than those of an array

    def clearance_at(self, points: np.ndarray) -> np.ndarray:
        """Distance (N,) from points (N, 2) to the nearest obstacle, meters."""
        index = np.round(points * self._scale + 1).astype(int)
        index = np.clip(index, 0, np.array(self._distance.shape[::-1]) - 1)
        return self._distance[index[:, 1], index[:, 0]]

    def region(self, radius: float) -> np.ndarray:
        """Cells (N, 2) of the largest connected floor area where a body of `radius` can stand."""
        mask = (self.clearance > radius).astype(np.uint8)
        count, labels = cv2.connectedComponents(mask, connectivity=4)
        if count < 2:
            return np.zeros((0, 2), int)
        largest = 1 + int(np.argmax([(labels == k).sum() for k in range(1, count)]))
        return np.argwhere(labels == largest)

    def route(self, start: tuple[int, int], goal: tuple[int, int], radius: float) -> np.ndarray | None:
        """Cheapest cells (N, 2) from start to goal with clearance `radius`, on open floor if possible."""
        cost = {start: 0.0}
        parent: dict[tuple[int, int], tuple[int, int]] = {}
        queue = [(0.0, start)]
        rooms = self._rooms
        while queue:
            _, cell = heapq.heappop(queue)
            if cell == goal:
                cells = [cell]
                while cell in parent:
                    cell = parent[cell]
                    cells.append(cell)
                return np.array(cells[::-1])
            for dx, dy, length in _NEIGHBOURS:
                near = (cell[0] + dx, cell[1] + dy)
                if not (0 <= near[0] < self.shape[0] and 0 <= near[1] < self.shape[1]):
                    continue
                room = rooms[near[0]][near[1]] - radius
                if room <= 0:
                    continue
                total = cost[cell] + length * (1.0 + 0.3 / (0.1 + room))
                if total < cost.get(near, math.inf):
                    cost[near], parent[near] = total, cell
                    ahead = math.hypot(goal[0] - near[0], goal[1] - near[1])
                    heapq.heappush(queue, (total + ahead, near))
        return None

    def smooth(self, cells: np.ndarray, radius: float) -> np.ndarray:
        """Points (N, 2) every two centimeters along a route, as smooth as the clearance `radius` allows."""
        points = _resample((cells + 0.5) * CELL)
        for sigma in (18.0, 12.0, 7.0, 4.0, 2.0):
            if len(points) < 4:
                break
            pad = int(3 * sigma)
            # Reflection at the end points keeps both ends in place.
            padded = np.concatenate(
                [2 * points[0] - points[pad:0:-1], points, 2 * points[-1] - points[-2 : -pad - 2 : -1]]
            )
            kernel = cv2.getGaussianKernel(2 * pad + 1, sigma).ravel()
            rounded = np.stack([np.convolve(padded[:, k], kernel, "same") for k in range(2)], axis=1)
            extra = (len(padded) - len(points)) // 2
            rounded = _resample(rounded[extra : extra + len(points)])
            if (self.clearance_at(rounded) > 0.9 * radius).all():
                return rounded
        return points


def _resample(points: np.ndarray) -> np.ndarray:
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    if lengths[-1] < _STEP:
        return points[:1]
    at = np.linspace(0.0, lengths[-1], max(2, round(lengths[-1] / _STEP)))
    return np.stack([np.interp(at, lengths, points[:, k]) for k in range(2)], axis=1)
