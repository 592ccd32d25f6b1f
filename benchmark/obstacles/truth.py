# SPDX-License-Identifier: Apache-2.0
"""True obstacles of a simulated drive, and their comparison with a costmap's lethal cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.simulation import Drive

CELL = 0.05
"""Side of a cell, meters; the costmap must have the same cells."""
LOW, HIGH = 0.1, 1.0
"""Heights of an obstacle above the floor, meters: the defaults of `scan.*`."""
NEAREST, FARTHEST = 0.3, 2.8
"""Evaluated distances, meters."""
APART = 0.25
"""A cell matches an obstacle if it is within this distance, meters."""
PART = 0.2
"""Or within this fraction of the obstacle's distance: the typical error of the included bundle in rooms."""
ASIDE = 0.1
"""Largest distance of a cell from the line to its obstacle, meters."""
DIRECTION = math.radians(1.0)
MARGIN = 5.0
"""Margin of the map around the robot's path, meters."""


@dataclass
class View:
    """Ground truth at one image."""

    stamp: int
    """Time since the drive's first image, nanoseconds."""
    pose: np.ndarray
    """(4, 4): the optical frame in the world."""
    first: np.ndarray
    """(N,) by direction, from the right: distance of the nearest obstacle, meters, inf for none."""
    points: np.ndarray
    """(N, 2) world, meters: the nearest obstacle in every direction; NaN for none."""
    near: np.ndarray
    """Map: cells near an obstacle that is visible in this image."""
    people: np.ndarray
    """Map: cells near a person who is visible in this image."""


@dataclass
class Counts:
    """Accumulated agreement of grids with ground truth."""

    directions: int = 0
    """Directions with an obstacle within FARTHEST."""
    marked: int = 0
    """Of these: a lethal cell is there, within APART or PART of the distance."""
    close: int = 0
    """Of these: within APART."""
    lethal: int = 0
    """Lethal cells in view within FARTHEST."""
    false: int = 0
    """Of these: before every obstacle in their direction by more than APART and PART, and near none."""
    early: int = 0
    """Of these: by more than APART."""
    grids: int = 0
    cleared: list[float] = field(default_factory=list)
    """Seconds that cells stayed lethal after the person in them had left."""
    kept: list[float] = field(default_factory=list)
    """The same for cells that left the view, or whose drive ended, before they were cleared."""

    def add(self, other: Counts) -> None:
        for name in vars(other):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def row(self) -> str:
        clear = np.array(self.cleared or [math.nan])
        return (
            f"{self.marked / max(self.directions, 1):7.3f} {self.close / max(self.directions, 1):7.3f}"
            f" {self.false / max(self.lethal, 1):7.3f} {self.early / max(self.lethal, 1):7.3f}"
            f" {self.false:6d}/{self.lethal:<7d} {np.median(clear):6.1f} {np.quantile(clear, 0.9):6.1f}"
            f" {len(self.kept):6d}/{len(self.kept) + len(self.cleared):<6d}"
        )


HEADER = (
    f"{'marked':>7} {'0.25 m':>7} {'false':>7} {'0.25 m':>7} {'false/lethal':>14} {'clear s':>6} {'90 %':>6} "
    f"{'kept':>13}"
)


class Truth:
    """The obstacles of a drive, rendered once: `frames`, and a View of each.

    The map is a grid over the drive's world whose cells are aligned with its origin; `corner` (2,) is that of
    its first cell, in cells. `stands` is the mask of cells that are occupied at any time of the drive;
    `standing` also includes the cells near them.
    """

    def __init__(self, drive: Drive) -> None:
        self.camera: Camera = drive.camera
        self.frames = list(drive)
        self.moving = [drive.people(index) >= 0 for index in range(len(drive))]
        places = np.array([frame.pose[:2, 3] for frame in self.frames])
        low, high = places.min(axis=0) - MARGIN, places.max(axis=0) + MARGIN
        self.corner = np.floor(low / CELL).astype(int)
        columns, rows = np.ceil(high / CELL).astype(int) - self.corner
        self.shape = int(rows), int(columns)
        half = drive.camera.horizontal_fov / 2
        self.edges = np.linspace(-half, half, round(2 * half / DIRECTION) + 1)
        standing = np.zeros(self.shape, bool)
        self.views = []
        for frame, moving in zip(self.frames, self.moving, strict=True):
            seen = self._obstacles(frame)
            person = moving[self._in_band]
            standing[self._cells(seen[~person])] = True
            self.views.append(self._view(frame, seen, person))
        self.stands = standing
        self.standing = near_any(standing)

    def _obstacles(self, frame) -> np.ndarray:
        """(N, 2) world: every pixel that shows an obstacle; `_in_band` is their mask in the image."""
        rays = self.camera.rays().astype(np.float64)
        points = (rays * frame.depth[..., None]) @ frame.pose[:3, :3].T + frame.pose[:3, 3]
        with np.errstate(invalid="ignore"):
            self._in_band = (points[..., 2] > LOW) & (points[..., 2] < HIGH)
        return points[self._in_band][:, :2]

    def _view(self, frame, seen: np.ndarray, person: np.ndarray) -> View:
        count = len(self.edges) - 1
        first, points = np.full(count, np.inf), np.full((count, 2), np.nan)
        distance, angle = self.polar(frame.pose, seen)
        index = np.digitize(angle, self.edges) - 1
        inside = (index >= 0) & (index < count)
        order = np.argsort(-distance[inside], kind="stable")
        first[index[inside][order]] = distance[inside][order]
        points[index[inside][order]] = seen[inside][order]
        near, people = np.zeros(self.shape, bool), np.zeros(self.shape, bool)
        close = distance < FARTHEST + 2 * APART
        near[self._cells(seen[close])] = True
        people[self._cells(seen[close & person])] = True
        stamp = frame.stamp - self.frames[0].stamp
        return View(stamp, frame.pose, first, points, near_any(near), near_any(people))

    def _cells(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of those world points that are on the map."""
        x, y = (np.floor(points / CELL).astype(int) - self.corner).T
        inside = (x >= 0) & (y >= 0) & (x < self.shape[1]) & (y < self.shape[0])
        return y[inside], x[inside]

    def polar(self, pose: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Horizontal distance, meters, and bearing, radians, left positive, of (N, 2) world points."""
        dx, dy = (points - pose[:2, 3]).T
        forward = math.atan2(pose[1, 2], pose[0, 2])
        angle = (np.arctan2(dy, dx) - forward + math.pi) % (2 * math.pi) - math.pi
        return np.hypot(dx, dy), angle

    def centers(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(N, 2) world: centers of cells."""
        return (np.stack([columns, rows], axis=1) + self.corner + 0.5) * CELL


class Comparison:
    """Compares the lethal cells of one drive's costmaps with ground truth, grid by grid."""

    def __init__(self, truth: Truth) -> None:
        self.truth, self.counts = truth, Counts()
        self._bearings = (truth.edges[:-1] + truth.edges[1:]) / 2
        self._last_near: dict[tuple[int, int], float] = {}

    def add(self, lethal: np.ndarray, view: View, count: bool = True) -> np.ndarray:
        """Compare one grid. lethal: a mask on the map of true obstacles. Returns the mask of the false cells.

        count: False to only track the times until cells are cleared.
        """
        truth, counts = self.truth, self.counts
        rows, columns = np.nonzero(lethal)
        centers = truth.centers(rows, columns)
        distance, angle = truth.polar(view.pose, centers)
        index = np.digitize(angle, truth.edges) - 1
        in_view = (index >= 0) & (index < len(view.first)) & (distance > NEAREST) & (distance < FARTHEST)
        around = np.pad(view.first, 1, mode="edge")
        nearest = np.minimum(np.minimum(around[:-2], around[2:]), view.first)
        nearest = nearest[np.clip(index, 0, len(nearest) - 1)]
        explained = view.near[rows, columns] | truth.standing[rows, columns]
        early = in_view & ~explained & (distance < nearest - APART)
        false = early & (distance < nearest * (1 - PART))
        if count:
            counts.grids += 1
            counts.lethal += int(in_view.sum())
            counts.false += int(false.sum())
            counts.early += int(early.sum())
            wanted = (view.first > NEAREST) & (view.first < FARTHEST)
            counts.directions += int(wanted.sum())
            if len(centers) and wanted.any():
                first, bearing = view.first[wanted, None], self._bearings[wanted, None]
                aside = np.abs(distance * np.sin(angle - bearing)) <= ASIDE
                off = np.where(aside, np.abs(distance * np.cos(angle - bearing) - first), np.inf)
                gaps = np.linalg.norm(view.points[wanted, None] - centers[None], axis=2).min(axis=1)
                counts.close += int((gaps <= APART).sum())
                counts.marked += int(((gaps <= APART) | (off <= PART * first).any(axis=1)).sum())
        self._follow(lethal, view, set(zip(rows[early].tolist(), columns[early].tolist(), strict=True)))
        mask = np.zeros(truth.shape, bool)
        mask[rows[false], columns[false]] = True
        return mask

    def _follow(self, lethal: np.ndarray, view: View, free: set[tuple[int, int]]) -> None:
        """Track how long cells stay lethal after a person. free: lethal cells without anything visible."""
        now = view.stamp * 1e-9
        for cell, last in list(self._last_near.items()):
            if view.people[cell] and lethal[cell]:
                continue
            if not lethal[cell]:
                self.counts.cleared.append(0.0 if view.people[cell] else now - last)
            elif cell in free:
                continue
            elif now > last:  # out of view, or occupied by something else
                self.counts.kept.append(now - last)
            del self._last_near[cell]
        rows, columns = np.nonzero(lethal & view.people & ~self.truth.standing)
        self._last_near.update(dict.fromkeys(zip(rows.tolist(), columns.tolist(), strict=True), now))

    def end(self) -> Counts:
        """The counts; cells that are still false at the end count as kept."""
        last = self.truth.views[-1].stamp * 1e-9
        self.counts.kept += [last - near for near in self._last_near.values() if last > near]
        self._last_near.clear()
        return self.counts


def near_any(cells: np.ndarray) -> np.ndarray:
    """Mask of the cells within APART of any of these."""
    size = 2 * math.ceil(APART / CELL) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.dilate(cells.astype(np.uint8), kernel).astype(bool)
