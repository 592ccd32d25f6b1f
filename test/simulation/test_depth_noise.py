# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from clip2depth_ros.simulation.photography.depth_noise import DepthNoise


def test_the_errors_have_the_documented_size():
    """The frame's scale, and the fields, whose deviation between the nodes is smaller than at them."""
    depth = np.full((240, 320), 2.0, np.float32)
    depth_noise = DepthNoise(0)
    errors = np.array([np.log(depth_noise(depth)[::8, ::8] / 2.0) for _ in range(300)])
    assert errors.mean(axis=(1, 2)).std() == pytest.approx(0.05, rel=0.2)
    within = errors.std(axis=(1, 2)).mean()
    assert 0.75 * np.hypot(0.08, 0.03) < within < np.hypot(0.08, 0.03)
    assert abs(errors.mean()) < 0.01
    # Independent in every frame.
    flat = errors.reshape(300, -1)
    assert abs(np.mean(flat[1:] * flat[:-1]) / np.mean(flat**2)) < 0.1


def test_errors_are_reproducible_and_keep_unknown_depth():
    depth = np.linspace(1.0, 5.0, 60 * 80, dtype=np.float32).reshape(60, 80)
    depth[10:20, 30:50] = np.nan
    before = depth.copy()
    one, other, third = DepthNoise(3)(depth), DepthNoise(3)(depth), DepthNoise(4)(depth)
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, third, equal_nan=True)
    np.testing.assert_array_equal(np.isnan(one), np.isnan(depth))
    np.testing.assert_array_equal(depth, before)
    assert one.dtype == np.float32
    assert np.isnan(DepthNoise(0)(np.full((24, 32), np.nan))).all()


def test_edges_blur_but_not_into_unknown_depth():
    """A step from 1 m to 3 m is smoothed by the blur; beside unknown pixels only known ones count."""
    depth = np.ones((240, 320), np.float32)
    depth[:, 160:] = 3.0
    depth[:, 300:] = np.nan
    mean = np.mean([DepthNoise(seed)(depth) for seed in range(60)], axis=0)[120]
    assert 1.2 < mean[158] < mean[160] < mean[161] < 2.9
    assert mean[150] == pytest.approx(1.0, rel=0.1) and mean[299] == pytest.approx(3.0, rel=0.1)
