# SPDX-License-Identifier: Apache-2.0
"""Depth errors of one image against ground truth, in NumPy."""

from __future__ import annotations

import numpy as np


def depth_errors(
    prediction: np.ndarray, truth: np.ndarray, *, depth_min: float = 0.1, depth_max: float = 20.0
) -> dict[str, float] | None:
    """Errors over the pixels whose ground truth is in (depth_min, depth_max). Both (H, W) in meters.

    abs_rel         mean |prediction - truth| / truth
    sq_rel          mean (prediction - truth)^2 / truth, meters
    rmse            meters
    rmse_log        of natural logarithms
    log10           mean |log10 prediction - log10 truth|
    delta1          share of pixels within a factor of 1.25; delta2 of 1.25^2, delta3 of 1.25^3
    abs_rel_scaled  abs_rel after scaling by the median of truth / prediction
    Pixels without a positive, finite prediction do not count. None if no pixel does.
    """
    known = (
        np.isfinite(truth)
        & (truth > depth_min)
        & (truth < depth_max)
        & np.isfinite(prediction)
        & (prediction > 0)
    )
    if not known.any():
        return None
    p, t = prediction[known].astype(np.float64), truth[known].astype(np.float64)
    ratio = np.maximum(p / t, t / p)
    log_ratio = np.log(p / t)
    scale = np.median(t / p)
    return {
        "abs_rel": float(np.mean(np.abs(p - t) / t)),
        "sq_rel": float(np.mean((p - t) ** 2 / t)),
        "rmse": float(np.sqrt(np.mean((p - t) ** 2))),
        "rmse_log": float(np.sqrt(np.mean(log_ratio**2))),
        "log10": float(np.mean(np.abs(log_ratio)) / np.log(10.0)),
        "delta1": float(np.mean(ratio < 1.25)),
        "delta2": float(np.mean(ratio < 1.25**2)),
        "delta3": float(np.mean(ratio < 1.25**3)),
        "abs_rel_scaled": float(np.mean(np.abs(scale * p - t) / t)),
    }


def mean_errors(per_image: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each error over images."""
    return {name: float(np.mean([errors[name] for errors in per_image])) for name in per_image[0]}
