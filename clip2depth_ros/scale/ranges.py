# SPDX-License-Identifier: Apache-2.0
"""Scale from measured ranges: a lidar scan, the points of a time-of-flight camera, a single range."""

from __future__ import annotations

import math

import numpy as np

from clip2depth_ros.images.origins import ScaleOrigin
from clip2depth_ros.scale.source import Evidence, ScaleSource, View, weighted_median

MIN_RANGE = 0.05
"""Meters along the optical axis; nearer points are on the sensor's own housing."""
REACH = 0.0125
"""Radius around a point in which the depth must be of one surface, as a fraction of the image's width: two
sensors see an edge at different positions."""
JUMP = 0.15
"""Relative spread of the depth around a point above which the point is at an edge."""
ENOUGH = 8
"""Least number of ratios for evidence; fewer are kept for the next frames."""
KEEP = 1.0
"""Seconds for which ratios are kept."""
MAX_POINTS = 2000
"""More points of a cloud add no information."""
MAX_SPREAD = 0.6
"""Spread of the log ratios above which the points do not match the image."""
RELATED, RELATED_SPREAD, RELATED_POINTS = 0.15, 0.12, 25
"""Least rank correlation of ranges and depths that match; checked where the spread of their ratio exceeds
RELATED_SPREAD, with RELATED_POINTS points or more. A good network reaches 0.9, a poor one in an unusual room
0.4."""
SYSTEMATIC = 0.02
"""Standard deviation that does not decrease with more points: the remaining scale jitter,
and the content of the image."""
INDEPENDENT = 40
"""Most points that count as independent: a network's errors are correlated within a surface."""


class RangesSource(ScaleSource):
    """The median log ratio of range over depth, at the pixels onto which range points project."""

    name = ScaleOrigin.RANGES
    memory = 0.2
    override_time = 3.0

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[tuple[float, np.ndarray]] = []
        """Times, and (2, M) logarithms of ranges and of depths."""
        self._related: float | None = None

    def reset(self) -> None:
        self._kept.clear()
        self._related = None

    def evidence(self, view: View) -> Evidence | None:
        self.problem = ""
        self._kept = [kept for kept in self._kept if 0 <= view.time - kept[0] <= KEEP]
        if view.ranges is None:
            return None
        pairs = self.pairs(view)
        if pairs is None or not pairs.shape[1]:
            return None
        self._kept.append((view.time, pairs))
        ranges, depths = np.concatenate([kept[1] for kept in self._kept], axis=1)
        if len(ranges) < ENOUGH:
            return None
        self._kept.clear()
        ratios = ranges - depths
        median, spread = float(np.median(ratios)), _spread(ratios)
        if spread > MAX_SPREAD or self._is_unrelated(ranges, depths, spread):
            self.problem = (
                f"The ranges do not match the image: range over depth spreads by {spread:.0%}; check the "
                "pose of the range sensor relative to the camera, and both clocks."
            )
            return None
        # The factor of least relative error over the ratios near the median: weights are depth over range.
        near = ratios[np.abs(ratios - median) <= max(2 * spread, 0.02)]
        deviation = math.hypot(SYSTEMATIC, 1.2 * spread / math.sqrt(min(len(near), INDEPENDENT)))
        return Evidence(weighted_median(near, np.exp(-near)), deviation)

    def pairs(self, view: View) -> np.ndarray | None:
        """(2, M) float64 log of range and of depth where both are known; None when no point can be used."""
        points = np.asarray(view.ranges, np.float64)
        if points.ndim != 2 or points.shape[1] != 3:
            self.problem = f"The ranges must be (N, 3) points of the optical frame, not {points.shape}."
            return None
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) < len(view.ranges) and not len(points):
            self.problem = "The ranges are not numbers: none of their points is finite."
            return None
        if len(points) > MAX_POINTS:
            points = points[:: -(-len(points) // MAX_POINTS)]
        before = points[points[:, 2] > MIN_RANGE]
        camera, (height, width) = view.camera, view.depth.shape
        u = np.rint(camera.fx * before[:, 0] / before[:, 2] + camera.cx)
        v = np.rint(camera.fy * before[:, 1] / before[:, 2] + camera.cy)
        seen = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        if not seen.any():
            if len(points):
                where = "in front of the camera" if not len(before) else "in the image"
                self.problem = (
                    f"None of the {len(points)} range points lies {where}; check the pose of the range "
                    "sensor relative to the camera."
                )
            return None
        around = self._around(view.depth, u[seen].astype(np.int64), v[seen].astype(np.int64))
        with np.errstate(invalid="ignore"):
            # Comparisons with NaN are false: unknown depth nearby counts as an edge.
            inside = (around.min(axis=0) > 0) & (around.max(axis=0) <= (1 + JUMP) * around.min(axis=0))
        return np.log(np.stack([before[seen, 2][inside], around[0, inside]]))

    def _is_unrelated(self, ranges: np.ndarray, depths: np.ndarray, spread: float) -> bool:
        """True when ranges and depths, both logarithms, were not correlated recently.
        spread: of their ratio."""
        if len(ranges) >= RELATED_POINTS:
            # Correlation of ranks, so that outliers have little influence.
            ranks = np.argsort(np.argsort([ranges, depths], axis=1), axis=1)
            related = float(np.corrcoef(ranks)[0, 1])  # pyright: ignore[reportIndexIssue]
            before = related if self._related is None else self._related
            self._related = before + 0.1 * (related - before)
        return spread > RELATED_SPREAD and self._related is not None and self._related < RELATED

    @staticmethod
    def _around(depth: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """(9, M) float64: depth at the pixels (u, v), then at eight pixels around each."""
        height, width = depth.shape
        reach = max(1, round(REACH * width))
        steps = [(0, 0)] + [(x, y) for x in (-reach, 0, reach) for y in (-reach, 0, reach) if x or y]
        return np.stack(
            [depth[np.clip(v + y, 0, height - 1), np.clip(u + x, 0, width - 1)] for x, y in steps]
        ).astype(np.float64)


def _spread(values: np.ndarray) -> float:
    """Robust standard deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
