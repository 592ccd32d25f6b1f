# SPDX-License-Identifier: Apache-2.0
"""Sums over the evaluated images: mean errors, error by distance, histograms, errors of a constant."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.metrics.benchmark_rules import ERRORS, RuleResult

# Meters: edges of the bins of distance; a bin without pixels is left out.
DISTANCES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0)

# Edges of the histogram of depth / ground truth; values beyond count in its end bins.
RATIOS = np.exp2(np.linspace(-2.0, 2.0, 81))

# Meters: edges of the histograms of depth, even in log depth.
DEPTHS = np.geomspace(0.1, 100.0, 61)

# Bins of the ground truth for the constant: 0.9 % wide, small against its error.
_FINE = np.geomspace(1e-3, 100.0, 1301)
# The same for depth / ground truth, 0.5 % wide.
_FINE_RATIOS = np.geomspace(1 / 50, 50.0, 1601)


class Tally:
    """Sums of the results of single images; no image is kept.

    Mean errors are means over images of equal weight, as in the benchmarks; error by distance and the
    histogram of errors are over pixels.
    """

    def __init__(self) -> None:
        self.images = 0
        self.pixels = 0
        self.values: dict[str, list[float]] = {name: [] for name in (*ERRORS, "coverage", "scale")}
        self._distance = {name: np.zeros(len(DISTANCES) - 1) for name in ("n", "abs_rel", "square", "log")}
        self._distance_ratios = np.zeros((len(DISTANCES) - 1, len(_FINE_RATIOS) - 1))
        self._ratios = np.zeros(len(RATIOS) - 1)
        self._depths = {name: np.zeros(len(DEPTHS) - 1) for name in ("depth", "truth")}
        self._truth = np.zeros(len(_FINE) - 1)
        self._fine_ratios = np.zeros(len(_FINE_RATIOS) - 1)

    def add(self, judged: RuleResult) -> None:
        """Add one image."""
        self.images += 1
        self.pixels += judged.pixels
        for name, value in (judged.errors | {"coverage": judged.coverage, "scale": judged.scale}).items():
            self.values[name].append(value)
        truth = judged.truth[np.isfinite(judged.truth)].astype(np.float64)
        self._truth += _shares(truth, _FINE)
        self._depths["truth"] += _shares(truth, DEPTHS)
        both = np.isfinite(judged.depth) & np.isfinite(judged.truth)
        depth, truth = judged.depth[both].astype(np.float64), judged.truth[both].astype(np.float64)
        self._depths["depth"] += _shares(depth, DEPTHS)
        self._fine_ratios += _shares(depth / truth, _FINE_RATIOS)
        log_ratio = np.log(depth / truth)
        self._ratios += np.histogram(np.clip(log_ratio, *_ends(RATIOS)), np.log(RATIOS))[0]
        place = np.digitize(truth, DISTANCES[1:-1])
        for name, weight in (
            ("n", None),
            ("abs_rel", np.abs(depth - truth) / truth),
            ("square", (depth - truth) ** 2),
            ("log", log_ratio),
        ):
            self._distance[name] += np.bincount(place, weight, minlength=len(DISTANCES) - 1)
        cells = self._distance_ratios
        bins = place * cells.shape[1] + _bins(depth / truth, _FINE_RATIOS)
        cells += np.bincount(bins, minlength=cells.size).reshape(cells.shape)

    def mean(self) -> dict[str, float]:
        """Mean over images of each error and of coverage, and median of scale (NaN if never known)."""
        means = {name: float(np.mean(self.values[name])) for name in (*ERRORS, "coverage")}
        scales = np.array(self.values["scale"])
        scales = scales[np.isfinite(scales)]
        return means | {"scale": float(np.median(scales)) if scales.size else float("nan")}

    def against_distance(self) -> list[dict[str, float]]:
        """A row for every bin of ground-truth distance with pixels, over all pixels of all images.

        near, far: meters; pixels: share of all; abs_rel; rmse: meters; bias and median: geometric mean and
        median of depth / ground truth.
        """
        rows = []
        for i in np.flatnonzero(self._distance["n"]):
            n = self._distance["n"][i]
            rows.append(
                {
                    "near": DISTANCES[i],
                    "far": DISTANCES[i + 1],
                    "pixels": float(n / self._distance["n"].sum()),
                    "abs_rel": float(self._distance["abs_rel"][i] / n),
                    "rmse": float(np.sqrt(self._distance["square"][i] / n)),
                    "bias": float(np.exp(self._distance["log"][i] / n)),
                    "median": _median(self._distance_ratios[i], _FINE_RATIOS),
                }
            )
        return rows

    def histograms(self) -> dict[str, list[float]]:
        """Shares that add up to one: of pixels by depth / ground truth (edges: RATIOS), and of depth and
        ground truth by meters (edges: DEPTHS; mean over images)."""
        return {
            "ratio_edges": RATIOS.tolist(),
            "ratio": (self._ratios / self._ratios.sum()).tolist(),
            "depth_edges": DEPTHS.tolist(),
            "depth": (self._depths["depth"] / self.images).tolist(),
            "truth": (self._depths["truth"] / self.images).tolist(),
        }

    def constant(self) -> dict[str, float]:
        """Errors of the best constant: the median of the ground truth (meters) for all pixels, with its
        abs_rel and delta1. It uses the ground truth of these images, which no network has."""
        share = self._truth / self._truth.sum()
        centers = np.sqrt(_FINE[1:] * _FINE[:-1])
        metres = _median(share, _FINE)
        ratio = np.maximum(metres / centers, centers / metres)
        return {
            "metres": metres,
            "abs_rel": float(np.sum(share * np.abs(metres - centers) / centers)),
            "delta1": float(np.sum(share[ratio < 1.25])),
        }

    def single_scale(self) -> dict[str, float]:
        """Errors with one factor for all images: the median of ground truth / depth, with abs_rel and delta1.

        It uses the ground truth of these images; a robot finds it by its camera's height, odometry or ranges.
        """
        share = self._fine_ratios / self._fine_ratios.sum()
        ratio = np.sqrt(_FINE_RATIOS[1:] * _FINE_RATIOS[:-1])
        factor = 1 / _median(share, _FINE_RATIOS)
        scaled = ratio * factor
        return {
            "factor": factor,
            "abs_rel": float(np.sum(share * np.abs(scaled - 1))),
            "delta1": float(np.sum(share[np.maximum(scaled, 1 / scaled) < 1.25])),
        }


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Histogram that adds up to one; values beyond the edges count in the end bins."""
    if not values.size:
        return np.zeros(len(edges) - 1)
    return np.bincount(_bins(values, edges), minlength=len(edges) - 1) / values.size


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The number of each value's bin. Bins are even in the logarithm, so the index is a division."""
    low, high = _ends(edges)
    place = (np.log(values) - low) * ((len(edges) - 1) / (high - low))
    return np.clip(place, 0, len(edges) - 2).astype(np.intp)


def _median(counts: np.ndarray, edges: np.ndarray) -> float:
    """The geometric middle of the bin that contains the median."""
    i = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return float(np.sqrt(edges[i] * edges[i + 1]))


def _ends(edges: np.ndarray) -> tuple[float, float]:
    return float(np.log(edges[0])), float(np.log(edges[-1]))
