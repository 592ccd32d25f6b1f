# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.metrics.benchmark_rules import ERRORS, RULES, find_rule
from clip2depth_ros.metrics.depth import depth_errors


def box(mask):
    """(top, bottom, left, right) of the pixels that count, which must fill it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    assert mask[top:bottom, left:right].all()
    return int(top), int(bottom), int(left), int(right)


def test_crops_are_the_published_ones():
    """Eigen's crop of NYU is given in pixels; Garg's and Eigen's of KITTI as truncated shares of the size."""
    assert box(RULES["nyu"].counted_mask(np.full((480, 640), 3.0))) == (45, 471, 41, 601)
    assert box(RULES["nyu"].counted_mask(np.full((240, 320), 3.0))) == (22, 235, 20, 300)
    # the usual sizes of KITTI's images; 0.40810811 * 375 = 153.04, 0.99189189 * 375 = 371.96, and so on
    assert box(RULES["kitti"].counted_mask(np.full((375, 1242), 9.0))) == (153, 371, 44, 1197)
    assert box(RULES["kitti"].counted_mask(np.full((370, 1226), 9.0))) == (151, 367, 44, 1181)
    assert box(RULES["kitti_eigen"].counted_mask(np.full((375, 1242), 9.0))) == (124, 342, 44, 1197)
    assert box(RULES["none"].counted_mask(np.full((11, 7), 9.0))) == (0, 11, 0, 7)


@pytest.mark.parametrize(("name", "cap"), [("nyu", 10.0), ("kitti", 80.0), ("none", 80.0)])
def test_caps(name, cap):
    truth = np.full((100, 100), np.nan)
    truth[50, 50:55] = [cap - 0.1, cap, cap + 0.1, 0.0, -1.0]
    assert np.argwhere(RULES[name].counted_mask(truth)).tolist() == [[50, 50]]
    assert RULES[name].evaluate(np.ones_like(truth), np.full_like(truth, cap)) is None


def test_a_capped_rule_clips_depth_and_an_unknown_pixel_costs_the_near_end():
    rule = RULES["nyu"]
    truth = np.full((480, 640), np.nan, np.float32)
    depth = np.full((480, 640), 5.0, np.float32)
    truth[100, 100:103] = 8.0
    depth[100, 100:103] = [8.0, 90.0, np.nan]
    judged = rule.evaluate(depth, truth)
    # right; clipped to 10 m; 1 mm
    assert judged.errors["abs_rel"] == pytest.approx((0 + 0.25 + (8 - 1e-3) / 8) / 3)
    assert judged.errors["log10"] == pytest.approx((0 + math.log10(1.25) + math.log10(8000)) / 3)
    assert judged.coverage == pytest.approx(2 / 3) and judged.pixels == 3
    assert np.isfinite(judged.depth).sum() == 3 and np.isfinite(judged.truth).sum() == 3
    nothing = rule.evaluate(np.full_like(depth, np.nan), truth)
    assert nothing.coverage == 0 and math.isnan(nothing.scale) and nothing.errors["delta3"] == 0


def test_without_a_benchmark_unknown_pixels_are_left_out_and_counted():
    truth = np.array([[2.0, 2.0, 2.0, 2.0]])
    depth = np.array([[3.0, 3.0, np.nan, 0.0]])
    judged = RULES["none"].evaluate(depth, truth)
    assert judged.errors["abs_rel"] == pytest.approx(0.5) and judged.coverage == 0.5
    assert judged.scale == pytest.approx(2 / 3)
    np.testing.assert_array_equal(np.isfinite(judged.depth), [[True, True, False, False]])
    assert RULES["none"].evaluate(np.full((1, 4), np.nan), truth) is None


def test_without_a_benchmark_the_figures_are_those_of_run():
    rng = np.random.default_rng(3)
    truth, depth = rng.uniform(0.05, 90, (30, 40)), rng.uniform(0.05, 120, (30, 40))
    depth[rng.random(depth.shape) < 0.2] = np.nan
    errors = depth_errors(depth, truth, depth_min=0.1, depth_max=80.0)
    judged = RULES["none"].evaluate(depth, truth)
    assert judged.errors == pytest.approx({name: errors[name] for name in ERRORS})


def test_median_scaling_comes_before_the_cap_and_only_on_request():
    truth = np.full((480, 640), 6.0)
    depth = np.full((480, 640), 60.0)
    assert RULES["nyu"].evaluate(depth, truth).errors["abs_rel"] == pytest.approx(4 / 6)
    scaled = RULES["nyu"].evaluate(depth, truth, median_scaling=True)
    assert scaled.errors["abs_rel"] == pytest.approx(0.0, abs=1e-6)
    assert scaled.scale == pytest.approx(0.1)


def test_an_unknown_rule_answers_with_those_that_exist():
    assert find_rule("kitti").name == "kitti"
    with pytest.raises(Clip2DepthError, match="known ones are none, nyu, kitti, kitti_eigen"):
        find_rule("sintel")


def test_sizes_must_agree():
    with pytest.raises(Clip2DepthError, match="same size"):
        RULES["none"].evaluate(np.ones((2, 3)), np.ones((3, 2)))
