# SPDX-License-Identifier: Apache-2.0
"""The floor in a depth image: a robust plane fit near the direction that mounting or gravity gives."""

from __future__ import annotations

import math

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import cross
from clip2depth_ros.images.frame import Floor
from clip2depth_ros.metrics.medians import median

GRID = 40
"""Samples along the image's longer side. A floor is large: 1200 points fit it within 1 %."""
TILTS = 7
"""Directions tried along each axis of the tolerance."""
BIN = 0.04
"""Width of the bins of the histogram of log height."""
BINS = 160
"""Number of bins: a factor of 600 between the lowest and the highest height."""
LEAN = 0.3
"""Fraction of its score that a plane at the largest allowed tilt loses."""
BELOW = 0.75
"""Penalty for a point below a plane, in points on the plane:
many points are below a table, none below a floor."""
MIN_SUPPORT = 0.08
"""Least share of the known points that must lie on a floor."""
MIN_POINTS = 36
DENSE = 0.36
"""Least share of the points in the double band that lie in half the band.
A surface that crosses the plane has a quarter."""
BANDS = (0.2, 0.2, 0.15, 0.1)
"""Bands of the fit's first rounds: largest distance of a point from the plane,
as a fraction of its height."""
NARROWEST, WIDEST = 0.02, 0.06
"""Limits of the band of the last rounds, which follows the spread of the points in it."""
LAST_ROUNDS = 6
TRUST, LAST_TRUST = 300.0, 10.0
"""Weight of the expected direction, in points, in the first and in the last rounds. It is high while the band
is wide, because the plane would tilt towards the front of a box that stands on the floor."""
POINT_STD_DEV = 0.05
"""Standard deviation of the height of a point of the plane over the plane,
as a fraction of the plane's height."""


class FloorFinder:
    """Finds the floor of one camera's depth images.

    For a point p of a plane n.p = -h, a relative error of its depth gives the same relative error of n.p, at
    any distance. So all points of a floor have the same weight when heights are compared relative to the
    plane's, and the fit is linear: with u the expected up and e1, e2 orthogonal to it, -u.p = h + a (e1.p) +
    b (e2.p).

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
        # Of two planes with as many points, the one with the smaller tilt is the floor.
        lean = np.hypot(*self._tilts.T) / math.tan(tolerance)
        self._prior = (1.0 - LEAN * lean**2)[:, None]

    def find(self, depth: np.ndarray, camera: Camera, up: np.ndarray) -> Floor | None:
        """The floor in `depth`, (h, w) float32 of `camera` (rectified, of that size), in the unit of depth.

        up: (3,) expected unit normal, optical frame. None when no plane near that direction has enough
        points, or when too many points lie below it.
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
        """(h, a, b) with the best score: of all directions, and of the expected one."""
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
        # Points above the camera fall into bin 0.
        np.copyto(bins, np.fmax(rest, 0, out=rest), casting="unsafe")
        bins += np.arange(len(bins))[:, None] * BINS
        counts = np.bincount(bins.ravel(), minlength=len(self._tilts) * BINS).reshape(-1, BINS)
        counts[:, 0] = 0
        on = counts.copy()
        on[:, 1:] += counts[:, :-1]
        on[:, :-1] += counts[:, 1:]
        total = np.cumsum(counts, axis=1)
        # Points two or more bins further down count as below.
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
        """(score, h, a, b, support) by reweighted least squares from a start; None if it is not a floor.

        The direction is regularized towards the expected one. The score is the number of points near the
        plane, reduced by the tilt.
        """
        h, a, b = start
        columns = np.stack([np.ones_like(x), x, y], axis=1)
        # The standard deviation of the direction is half of the tolerance; the height is free.
        trust = (POINT_STD_DEV / (math.tan(self.tolerance) / 2)) ** 2
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
    """Two unit vectors orthogonal to `up` and to each other."""
    aside = (0.0, 0.0, 1.0) if abs(up[2]) < 0.8 else (1.0, 0.0, 0.0)
    e1 = cross(up, aside)
    e1 /= np.linalg.norm(e1)
    return e1, cross(up, e1)
