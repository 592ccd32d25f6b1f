# SPDX-License-Identifier: Apache-2.0
"""The floor in a depth image: a robust plane, sought near the direction that mounting or gravity gives."""

from __future__ import annotations

import math

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import cross
from clip2depth_ros.images.frame import Floor
from clip2depth_ros.metrics.medians import median

GRID = 40
"""Samples along the image's longer side: a floor is a large thing, and 1200 points fit it within 1 %."""
TILTS = 7
"""Directions tried along each axis of the tolerance."""
BIN = 0.04
"""Width of the bins of log height in which points gather."""
BINS = 160
"""Of them: heights of a factor of 600 between the lowest and the highest."""
LEAN = 0.3
"""What a plane loses of its points when it leans as far as it may."""
BELOW = 0.75
"""What a point below a plane costs it, in points on it: nothing lies under a floor, much under a table."""
MIN_SUPPORT = 0.08
"""Part of the known points that a floor must hold."""
MIN_POINTS = 36
DENSE = 0.36
"""Part of the points in the double band that must lie in half of it; what only crosses has a quarter."""
BANDS = (0.2, 0.2, 0.15, 0.1)
"""Of the fit's first rounds: how far from the plane a point may lie, as a part of the plane's height."""
NARROWEST, WIDEST = 0.02, 0.06
"""Between which the band of the last rounds is fitted to the spread of the points in it."""
LAST_ROUNDS = 6
TRUST, LAST_TRUST = 300.0, 10.0
"""How many points the expected direction weighs as, first and in the last rounds: as long as the band is wide
the plane would lean into the front of a box that meets the floor."""
POINT_DEVIATION = 0.05
"""Of a point's height over a plane that it lies on, as a part of the plane's height."""


class FloorFinder:
    """Finds the floor of one camera's depth images.

    A point p of a plane n.p = -h whose depth is off by a few percent has n.p off by as many percent of h,
    near or far. So all points of a floor weigh the same once their heights are compared with the plane's, and
    the fit is linear: with u the expected up and e1, e2 across it, -u.p = h + a (e1.p) + b (e2.p).

    tolerance: largest angle between the floor's normal and the expected up, radians.
    """

    def __init__(self, tolerance: float = 0.2) -> None:
        self.tolerance = tolerance
        self._camera: Camera | None = None
        self._held = np.empty(0)
        steps = np.tan(np.linspace(-tolerance, tolerance, TILTS))
        a, b = (grid.ravel() for grid in np.meshgrid(steps, steps))
        inside = a**2 + b**2 <= math.tan(tolerance) ** 2 * 1.001
        self._tilts = np.stack([a[inside], b[inside]], axis=1)
        """(T, 2): the tangents of the tilts that are tried."""
        # Between two planes that hold as much the one that leans less is the floor.
        lean = np.hypot(*self._tilts.T) / math.tan(tolerance)
        self._prior = (1.0 - LEAN * lean**2)[:, None]

    def find(self, depth: np.ndarray, camera: Camera, up: np.ndarray) -> Floor | None:
        """The floor in `depth` (h, w) float32 of `camera` (rectified, of that size), in its metres.

        up: (3,) expected unit normal, optical frame. None when no plane of that direction holds enough of
        what is known, or when much lies below it.
        """
        points = self._sample(depth, camera)
        if len(points) < MIN_POINTS:
            return None
        e1, e2 = _across(up)
        heights, x, y = -points @ up, points @ e1, points @ e2
        fits = [self._fit(heights, x, y, start) for start in self._starts(heights, x, y)]
        best = max(filter(None, fits), default=None)
        if best is None:
            return None
        _, h, a, b, support = best
        length = math.sqrt(1 + a * a + b * b)
        return Floor((up + a * e1 + b * e2) / length, h / length, support)

    def _sample(self, depth: np.ndarray, camera: Camera) -> np.ndarray:
        """(N, 3) float64: known points on a grid."""
        if camera != self._camera:
            step = max(1, round(max(camera.size) / GRID))
            first = step // 2
            self._window = (slice(first, None, step), slice(first, None, step))
            self._rays = camera.rays()[self._window].reshape(-1, 3).astype(np.float64)
            self._camera = camera
        z = depth[self._window].ravel()
        with np.errstate(invalid="ignore"):
            known = (z > 0) & (z < np.inf)
        return self._rays[known] * z[known, None]

    def _buffers(self, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Two (T, points) float64 arrays, and the second one again as int64."""
        if self._held.size < 2 * len(self._tilts) * points:
            self._held = np.empty(2 * len(self._tilts) * points)
        both = self._held[: 2 * len(self._tilts) * points].reshape(2, len(self._tilts), points)
        return both[0], both[1], both[1].view(np.int64)

    def _starts(self, heights: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[tuple[float, float, float]]:
        """(h, a, b) that hold most points over nothing below: of all directions, and of the expected one."""
        rest, part, bins = self._buffers(len(heights))
        np.subtract(heights, np.multiply(self._tilts[:, :1], x, out=part), out=rest)
        rest -= np.multiply(self._tilts[:, 1:], y, out=part)
        highest = float(rest.max())
        if highest <= 0:
            return []
        with np.errstate(invalid="ignore", divide="ignore"):
            rest /= highest
            np.log(rest, out=rest)
            rest /= BIN
            rest += BINS - 1
        # what is above the camera falls into bin 0 too
        np.copyto(bins, np.fmax(rest, 0, out=rest), casting="unsafe")
        bins += np.arange(len(bins))[:, None] * BINS
        counts = np.bincount(bins.ravel(), minlength=len(self._tilts) * BINS).reshape(-1, BINS)
        counts[:, 0] = 0
        on = counts.copy()
        on[:, 1:] += counts[:, :-1]
        on[:, :-1] += counts[:, 1:]
        total = np.cumsum(counts, axis=1)
        # Two bins further down nothing should be.
        below = total[:, -1:] - total
        below[:, :-2] = below[:, 2:]
        below[:, -2:] = 0
        score = on * self._prior - BELOW * below
        starts = []
        for tilt in {int(score.max(axis=1).argmax()), len(self._tilts) // 2}:
            height = int(score[tilt].argmax())
            if on[tilt, height] >= max(MIN_POINTS, MIN_SUPPORT * len(heights)):
                starts.append(
                    (highest * math.exp((height - BINS + 1.5) * BIN), *map(float, self._tilts[tilt]))
                )
        return starts

    def _fit(self, heights, x, y, start) -> tuple[float, float, float, float, float] | None:
        """(worth, h, a, b, support) by reweighted least squares from a start; None for what is no floor.

        The direction is held to the expected one. Of two planes the one that holds more points closely and
        leans less is worth more.
        """
        h, a, b = start
        columns = np.stack([np.ones_like(x), x, y], axis=1)
        # One deviation of the direction is half of the tolerance; the height is free.
        trust = (POINT_DEVIATION / (math.tan(self.tolerance) / 2)) ** 2
        band = WIDEST
        for wide in BANDS + (0.0,) * LAST_ROUNDS:
            residual = np.abs(heights - h - a * x - b * y) / h
            if not wide:
                inside = residual[residual < band]
                if not len(inside):
                    return None
                spread = 1.4826 * median(inside)
                band = min(WIDEST, max(NARROWEST, 3 * spread))
            hold = trust * (TRUST if wide else LAST_TRUST) * h**2
            weights = np.maximum(1 - (residual / (wide or band)) ** 2, 0) ** 2
            normal = (columns * weights[:, None]).T @ columns
            normal[1, 1] += hold
            normal[2, 2] += hold
            try:
                h, a, b = np.linalg.solve(normal, columns.T @ (weights * heights))
            except np.linalg.LinAlgError:
                return None
            if not h > 0:
                return None
        if math.hypot(a, b) > math.tan(self.tolerance):
            return None
        residual = (heights - h - a * x - b * y) / h
        closely, on, about = (
            int(np.count_nonzero(np.abs(residual) < width)) for width in (WIDEST / 2, WIDEST, 2 * WIDEST)
        )
        below = np.count_nonzero(residual > 2 * WIDEST)
        small = on < max(MIN_POINTS, MIN_SUPPORT * len(heights))
        if small or below > BELOW * on or closely < DENSE * about:
            return None
        lean = math.hypot(a, b) / math.tan(self.tolerance)
        return closely * (1 - LEAN * lean**2), float(h), float(a), float(b), on / len(heights)


def _across(up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors that make a right angle with `up` and with each other."""
    aside = (0.0, 0.0, 1.0) if abs(up[2]) < 0.8 else (1.0, 0.0, 0.0)
    e1 = cross(up, aside)
    e1 /= np.linalg.norm(e1)
    return e1, cross(up, e1)
