# SPDX-License-Identifier: Apache-2.0
"""The rules of the benchmarks, by name: pixels that count, depth cap, treatment of unknown pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.metrics.depth import depth_errors

ERRORS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "delta1", "delta2", "delta3")

MEANING = {
    "abs_rel": "mean |depth - truth| / truth",
    "sq_rel": "mean (depth - truth)^2 / truth, meters",
    "rmse": "root of the mean squared error, meters",
    "rmse_log": "the same of natural logarithms",
    "log10": "mean |log10 depth - log10 truth|",
    "delta1": "share of pixels within a factor of 1.25 of the truth",
    "delta2": "within 1.25^2",
    "delta3": "within 1.25^3",
    "coverage": "share of the evaluated pixels for which the network gave a depth",
    "scale": "median of truth / depth: what each image would have to be multiplied by",
}


@dataclass(frozen=True)
class Rule:
    """How one benchmark evaluates an image.

    depth_min, depth_max  meters; pixels with ground truth between them count, both ends excluded
    crop         (top, bottom, left, right) of the evaluated part as shares of height and width, None for all
    capped       True: depth is clipped to the cap first, and an unknown pixel counts as depth_min, as in the
                 benchmarks' published code; False: depth is not changed, and unknown pixels are left out
                 (see coverage)
    """

    name: str
    meaning: str
    depth_min: float
    depth_max: float
    crop: tuple[float, float, float, float] | None = None
    capped: bool = True

    def counted_mask(self, truth: np.ndarray) -> np.ndarray:
        """(H, W) bool: the pixels of `truth`, (H, W) meters with NaN unknown, that count."""
        with np.errstate(invalid="ignore"):
            mask = np.isfinite(truth) & (truth > self.depth_min) & (truth < self.depth_max)
        if self.crop is not None:
            height, width = truth.shape
            # Truncated, not rounded, as in the published code; the small term corrects 44.999999.
            top, bottom, left, right = (
                int(share * size + 1e-6)
                for share, size in zip(self.crop, (height, height, width, width), strict=True)
            )
            inside = np.zeros(truth.shape, bool)
            inside[top:bottom, left:right] = True
            mask &= inside
        return mask

    def evaluate(
        self, depth: np.ndarray, truth: np.ndarray, *, median_scaling: bool = False
    ) -> RuleResult | None:
        """Errors of `depth` against `truth`, both (H, W) meters with NaN unknown.

        median_scaling: multiply depth by the median of truth / depth first. None when no pixel counts, or
        when unknown pixels are left out and all are unknown.
        """
        if depth.shape != truth.shape:
            raise Clip2DepthError(
                f"depth {depth.shape} and ground truth {truth.shape} must have the same size"
            )
        mask = self.counted_mask(truth)
        if not mask.any():
            return None
        with np.errstate(invalid="ignore"):
            known = mask & np.isfinite(depth) & (depth > 0)
        scale = float(np.median(truth[known] / depth[known])) if known.any() else float("nan")
        depth = np.where(known, depth * np.float32(scale) if median_scaling else depth, np.float32(np.nan))
        if self.capped:
            depth = np.clip(np.where(known, depth, self.depth_min), self.depth_min, self.depth_max)
            depth = np.where(mask, depth, np.nan)
        elif not known.any():
            return None
        counted = np.where(mask, truth, np.float32(np.nan))
        errors = depth_errors(depth, counted, depth_min=self.depth_min, depth_max=self.depth_max)
        return RuleResult(
            errors={name: errors[name] for name in ERRORS},
            coverage=float(np.count_nonzero(known) / np.count_nonzero(mask)),
            scale=scale,
            pixels=int(np.count_nonzero(mask)),
            depth=depth,
            truth=counted,
        )


@dataclass(frozen=True)
class RuleResult:
    """The evaluation of one image.

    errors    by name, those of ERRORS
    coverage  share of the evaluated pixels with a known depth
    scale     median of truth / depth over them, before any scaling; NaN when no depth was known
    pixels    number of evaluated pixels
    depth     (H, W) meters, as evaluated: scaled, capped, NaN where it did not count
    truth     (H, W) meters, ground truth, NaN where it did not count
    """

    errors: dict[str, float]
    coverage: float
    scale: float
    pixels: int
    depth: np.ndarray
    truth: np.ndarray


_RULES = (
    Rule("none", "every pixel with true depth from 0.1 to 80 m", 0.1, 80.0, capped=False),
    Rule(
        "nyu",
        "NYU Depth v2: Eigen's crop (rows 45-471, columns 41-601 of 480x640), up to 10 m",
        1e-3,
        10.0,
        (45 / 480, 471 / 480, 41 / 640, 601 / 640),
    ),
    Rule(
        "kitti",
        "KITTI: Garg's crop, up to 80 m",
        1e-3,
        80.0,
        (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    ),
    Rule(
        "kitti_eigen",
        "KITTI: Eigen's crop, up to 80 m",
        1e-3,
        80.0,
        (0.3324324, 0.91351351, 0.0359477, 0.96405229),
    ),
)
RULES = {rule.name: rule for rule in _RULES}


def find_rule(name: str) -> Rule:
    """The rule called `name`. Raises Clip2DepthError, which lists the known rules, for another name."""
    if name not in RULES:
        raise Clip2DepthError(f"no benchmark rule '{name}': known ones are {', '.join(RULES)}")
    return RULES[name]
