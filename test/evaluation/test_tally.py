# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from clip2depth_ros.evaluation.tally import DEPTHS, RATIOS, Tally
from clip2depth_ros.metrics.benchmark_rules import RULES


def judge(depth, truth):
    return RULES["none"].evaluate(np.asarray(depth, np.float32), np.asarray(truth, np.float32))


def test_every_image_counts_the_same_whatever_its_pixels():
    tally = Tally()
    tally.add(judge([[2.0, 2.0, 2.0, 2.0]], [[1.0, 1.0, 1.0, 1.0]]))  # abs_rel 1
    tally.add(judge([[1.0, np.nan, 9.0, 9.0]], [[1.0, 1.0, np.nan, np.nan]]))  # 0, half of it unknown
    assert tally.images == 2 and tally.pixels == 6
    mean = tally.mean()
    assert mean["abs_rel"] == pytest.approx(0.5) and mean["delta1"] == pytest.approx(0.5)
    assert mean["coverage"] == pytest.approx(0.75) and mean["scale"] == pytest.approx(0.75)


def test_error_against_distance_by_hand():
    tally = Tally()
    tally.add(judge([[0.9, 1.1, 3.0, 60.0]], [[1.2, 1.2, 6.0, 75.0]]))
    rows = {(row["near"], row["far"]): row for row in tally.against_distance()}
    assert set(rows) == {(1.0, 1.5), (5.0, 7.0), (60.0, 80.0)}
    near = rows[(1.0, 1.5)]
    assert near["pixels"] == pytest.approx(0.5)
    assert near["abs_rel"] == pytest.approx((0.25 + 1 / 12) / 2, rel=1e-6)
    assert near["rmse"] == pytest.approx(math.sqrt((0.3**2 + 0.1**2) / 2), rel=1e-6)
    assert near["bias"] == pytest.approx(math.sqrt(0.75 * 11 / 12), rel=1e-6)
    assert rows[(5.0, 7.0)]["bias"] == pytest.approx(0.5)
    assert sum(row["pixels"] for row in rows.values()) == pytest.approx(1.0)


def test_the_median_ratio_of_each_distance_is_that_of_its_pixels_in_all_images():
    rng, tally, ratios = np.random.default_rng(0), Tally(), {0.2: [], 1.2: [], 6.0: []}
    for size in ((30, 30), (200, 300)):
        truth = rng.choice(list(ratios), size)
        ratio = np.exp(rng.standard_gamma(1.0, size) - truth / 4)
        tally.add(judge(truth * ratio, truth))
        for meters, found in ratios.items():
            found.extend(ratio[truth == meters])
    rows = tally.against_distance()
    assert [row["near"] for row in rows] == [0.0, 1.0, 5.0]
    for row, found in zip(rows, ratios.values(), strict=True):
        assert row["median"] == pytest.approx(np.median(found), rel=0.006)
        assert row["bias"] > 1.1 * row["median"]


def test_histograms_hold_everything_also_what_is_beyond_their_ends():
    tally = Tally()
    tally.add(judge([[1.0, 2.0, 79.0, 0.11]], [[1.0, 1.0, 1.0, 11.0]]))
    found = tally.histograms()
    for name in ("ratio", "depth", "truth"):
        assert sum(found[name]) == pytest.approx(1.0)
    ratio = np.array(found["ratio"])
    assert ratio[-1] == ratio[0] == 0.25  # 79 and 0.01 lie beyond the ends
    right = np.flatnonzero(ratio[1:-1]) + 1
    for bin_, value in zip(right, (1.0, 2.0), strict=True):
        assert RATIOS[bin_] * 0.999 <= value <= RATIOS[bin_ + 1] * 1.001
    truth = np.array(found["truth"])
    assert truth.max() == 0.75 and DEPTHS[truth.argmax()] <= 1.0 * 1.001 < DEPTHS[truth.argmax() + 1] * 1.01


def test_one_factor_for_all_images_is_their_median_and_scores_what_it_scores_pixel_by_pixel():
    rng = np.random.default_rng(0)
    pairs = []
    for size in ((30, 40), (10, 10)):
        truth = rng.uniform(1, 6, size)
        pairs.append((truth * np.exp(rng.normal(0.4, 0.2, size)), truth))
    tally = Tally()
    for depth, truth in pairs:
        tally.add(judge(depth, truth))
    found = tally.single_scale()
    assert found["factor"] == pytest.approx(np.exp(-0.4), rel=0.05)
    scaled = [judge(depth * found["factor"], truth).errors for depth, truth in pairs]
    for name in ("abs_rel", "delta1"):
        assert found[name] == pytest.approx(np.mean([errors[name] for errors in scaled]), abs=0.005)
    assert found["abs_rel"] < 0.5 * tally.mean()["abs_rel"]


def test_the_constant_is_the_median_and_scores_what_it_scores_pixel_by_pixel():
    rng = np.random.default_rng(0)
    truths = [rng.uniform(1, 6, (30, 40)), rng.uniform(2, 4, (10, 10))]
    tally = Tally()
    for truth in truths:
        tally.add(judge(np.ones_like(truth), truth))
    found = tally.constant()
    weights = np.concatenate([np.full(t.size, 1 / t.size) for t in truths])
    values = np.concatenate([t.ravel() for t in truths])
    order = np.argsort(values)
    median = values[order][np.searchsorted(np.cumsum(weights[order]), 1.0)]
    assert found["metres"] == pytest.approx(median, rel=0.01)
    guesses = [judge(np.full_like(t, found["metres"]), t).errors for t in truths]
    assert found["abs_rel"] == pytest.approx(np.mean([g["abs_rel"] for g in guesses]), abs=0.005)
    assert found["delta1"] == pytest.approx(np.mean([g["delta1"] for g in guesses]), abs=0.02)
