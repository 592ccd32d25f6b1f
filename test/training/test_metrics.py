# SPDX-License-Identifier: Apache-2.0
# nothing of ours is imported where PyTorch is missing
import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs PyTorch")

from clip2depth_ros.training.metrics import depth_errors, mean_errors

pytestmark = pytest.mark.torch


def test_errors_by_hand():
    truth = np.array([[1.0, 2.0, 4.0, np.nan]])
    errors = depth_errors(np.array([[1.0, 3.0, 2.0, 7.0]]), truth)
    assert errors["abs_rel"] == pytest.approx((0 + 0.5 + 0.5) / 3)
    assert errors["rmse"] == pytest.approx(math.sqrt((0 + 1 + 4) / 3))
    assert errors["rmse_log"] == pytest.approx(math.sqrt((math.log(1.5) ** 2 + math.log(2) ** 2) / 3))
    assert errors["delta1"] == pytest.approx(1 / 3)
    # ratios 1, 2/3, 2: the median is 1
    assert errors["abs_rel_scaled"] == pytest.approx(errors["abs_rel"])


def test_plain_loops_agree():
    rng = np.random.default_rng(0)
    truth, prediction = rng.uniform(0.01, 30, (40, 30)), rng.uniform(0.5, 20, (40, 30))
    sums = {"abs_rel": 0.0, "rmse": 0.0, "delta1": 0.0}
    count = 0
    for t, p in zip(truth.ravel(), prediction.ravel(), strict=True):
        if 0.1 < t < 20.0:
            count += 1
            sums["abs_rel"] += abs(p - t) / t
            sums["rmse"] += (p - t) ** 2
            sums["delta1"] += p / t < 1.25 and t / p < 1.25
    errors = depth_errors(prediction, truth)
    assert errors["abs_rel"] == pytest.approx(sums["abs_rel"] / count)
    assert errors["rmse"] == pytest.approx(math.sqrt(sums["rmse"] / count))
    assert errors["delta1"] == pytest.approx(sums["delta1"] / count)


def test_a_wrong_scale_is_an_error_but_not_a_scaled_one():
    truth = np.random.default_rng(0).uniform(1, 5, (8, 8))
    errors = depth_errors(2 * truth, truth)
    assert errors["abs_rel"] == pytest.approx(1.0)
    assert errors["abs_rel_scaled"] == pytest.approx(0.0, abs=1e-12)


def test_nothing_known_is_none_and_means_are_means():
    assert depth_errors(np.ones((2, 2)), np.full((2, 2), np.nan)) is None
    assert mean_errors([{"a": 1.0}, {"a": 3.0}]) == {"a": 2.0}
