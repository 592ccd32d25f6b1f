# SPDX-License-Identifier: Apache-2.0
"""The check that an adapted network does not get worse in other places."""

import numpy as np
import pytest

from clip2depth_ros.adaptation.rehearsal import growth


def test_growth_is_that_of_the_means():
    before = np.array([0.1, 0.2, np.nan, 0.3])
    found = growth(before, 1.02 * before)
    assert found["before"] == pytest.approx(0.2) and found["after"] == pytest.approx(0.204)
    assert 1.02 < found["growth_bound"] < 1.04


def test_the_bound_holds_the_true_growth_in_nine_of_ten_samples_of_views():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(2000):
        before = rng.lognormal(-1.8, 0.5, 144)
        after = before * 1.05 * np.exp(rng.normal(-0.5 * 0.2**2, 0.2, 144))
        held += growth(before, after)["growth_bound"] > 1.05
    assert held / 2000 == pytest.approx(0.9, abs=0.03)


def test_more_views_make_the_bound_tighter():
    rng = np.random.default_rng(4)
    before = rng.lognormal(-1.8, 0.5, 48)
    after = before * np.exp(rng.normal(0.0, 0.2, 48))
    few, many = growth(before, after), growth(np.tile(before, 9), np.tile(after, 9))
    mean = few["after"] / few["before"]
    assert many["growth_bound"] - mean == pytest.approx((few["growth_bound"] - mean) / 3, rel=0.02)
