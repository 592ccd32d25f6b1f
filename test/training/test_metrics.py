# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from clip2depth_ros.metrics.depth import depth_errors, mean_errors


def test_errors_by_hand():
    """Three known pixels: right, half as far again, and half as far as it is."""
    truth = np.array([[1.0, 2.0, 4.0, np.nan]])
    errors = depth_errors(np.array([[1.0, 3.0, 2.0, 7.0]]), truth)
    assert errors["abs_rel"] == pytest.approx((0 + 0.5 + 0.5) / 3)
    assert errors["sq_rel"] == pytest.approx((0 + 1 / 2 + 4 / 4) / 3)
    assert errors["rmse"] == pytest.approx(math.sqrt((0 + 1 + 4) / 3))
    assert errors["rmse_log"] == pytest.approx(math.sqrt((math.log(1.5) ** 2 + math.log(2) ** 2) / 3))
    assert errors["log10"] == pytest.approx((math.log10(1.5) + math.log10(2)) / 3)
    # 1.5 lies between 1.25 and 1.25^2 = 1.5625; 2 is beyond 1.25^3 = 1.953125
    assert errors["delta1"] == pytest.approx(1 / 3)
    assert errors["delta2"] == pytest.approx(2 / 3)
    assert errors["delta3"] == pytest.approx(2 / 3)
    # ratios 1, 2/3, 2: the median is 1
    assert errors["abs_rel_scaled"] == pytest.approx(errors["abs_rel"])


def in_plain_loops(prediction, truth, low, high):
    """The same figures, written as their definitions read, one pixel after the other."""
    pairs = []
    for row in range(truth.shape[0]):
        for column in range(truth.shape[1]):
            t, p = float(truth[row, column]), float(prediction[row, column])
            if math.isfinite(t) and low < t < high and math.isfinite(p) and p > 0:
                pairs.append((p, t))
    count = len(pairs)
    ratios = sorted(t / p for p, t in pairs)
    scale = ratios[count // 2] if count % 2 else (ratios[count // 2 - 1] + ratios[count // 2]) / 2

    def share_within(factor):
        return sum(1 for p, t in pairs if p < factor * t and t < factor * p) / count

    return {
        "abs_rel": sum(abs(p - t) / t for p, t in pairs) / count,
        "sq_rel": sum((p - t) * (p - t) / t for p, t in pairs) / count,
        "rmse": math.sqrt(sum((p - t) * (p - t) for p, t in pairs) / count),
        "rmse_log": math.sqrt(sum(math.log(p / t) ** 2 for p, t in pairs) / count),
        "log10": sum(abs(math.log10(p) - math.log10(t)) for p, t in pairs) / count,
        "delta1": share_within(1.25),
        "delta2": share_within(1.25 * 1.25),
        "delta3": share_within(1.25 * 1.25 * 1.25),
        "abs_rel_scaled": sum(abs(scale * p - t) / t for p, t in pairs) / count,
    }


@pytest.mark.parametrize("seed", range(4))
def test_plain_loops_agree(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.uniform(0.01, 30, (40, 31)), rng.uniform(0.5, 20, (40, 31))
    truth[rng.random(truth.shape) < 0.2] = np.nan
    prediction[rng.random(truth.shape) < 0.1] = np.nan
    prediction[rng.random(truth.shape) < 0.1] = 0.0
    assert depth_errors(prediction, truth) == pytest.approx(in_plain_loops(prediction, truth, 0.1, 20.0))


def test_a_wrong_scale_is_an_error_but_not_a_scaled_one():
    truth = np.random.default_rng(0).uniform(1, 5, (8, 8))
    errors = depth_errors(2 * truth, truth)
    assert errors["abs_rel"] == pytest.approx(1.0)
    assert errors["log10"] == pytest.approx(math.log10(2))
    assert errors["abs_rel_scaled"] == pytest.approx(0.0, abs=1e-12)


def test_nothing_known_is_none_and_means_are_means():
    assert depth_errors(np.ones((2, 2)), np.full((2, 2), np.nan)) is None
    assert mean_errors([{"a": 1.0}, {"a": 3.0}]) == {"a": 2.0}
