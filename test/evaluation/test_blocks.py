# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.evaluation.blocks import Blockiness, patch_stride

SIZE = (96, 128)


def floor(noise=0.0, seed=0):
    """A slanted plane, smooth in log depth, with some noise in every pixel."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    rng = np.random.default_rng(seed)
    return np.exp(0.004 * x + 0.004 * y + noise * rng.normal(size=SIZE))


def blocks(stride, height, shift=0, seed=1):
    """Factors, constant in each patch."""
    rng = np.random.default_rng(seed)
    y, x = ((np.arange(n) + shift) // stride for n in SIZE)
    return np.exp(height * rng.normal(size=(y[-1] + 1, x[-1] + 1)))[np.ix_(y, x)]


def test_depth_without_blocks_has_none():
    truth = floor()
    assert Blockiness(16).add(truth, truth) == pytest.approx(1.0)
    assert Blockiness(16).add(floor(noise=0.02), truth) == pytest.approx(1.0, abs=0.05)
    assert math.isnan(Blockiness(16).add(np.full(SIZE, 3.0), truth))  # no step at all says nothing


def test_blocks_show_in_proportion_to_their_height():
    truth = floor()
    low, high = (Blockiness(16).add(truth * blocks(16, h), truth) for h in (0.01, 0.1))
    assert 2 < low < 6 and 9 < high / low < 11
    # blocks of another size hardly show, and neither do the right ones beside their place
    assert Blockiness(16).add(truth * blocks(12, 0.1), truth) < 0.2 * high
    assert Blockiness(16).add(truth * blocks(16, 0.1, shift=5), truth) < 0.2 * high


def test_by_hand():
    """One row of steps: 0.3 across the only border, 0.1 inside, above and below nothing."""
    logs = np.array([0.0, 0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9])
    depth = np.exp(np.tile(logs, (600, 1)))
    measured = Blockiness(4).add(depth, np.full(depth.shape, 2.0))
    # across: 600 steps of 0.3, and 149 borders between rows of 8 zeros; inside: 3600 of 0.1, 450 of 8 zeros
    across = 600 * 0.3 / (600 + 149 * 8)
    inside = 3600 * 0.1 / (3600 + 450 * 8)
    assert measured == pytest.approx(across / inside)


def test_a_part_of_the_network_s_image_knows_where_its_patches_begin():
    truth = floor()
    depth = truth * blocks(16, 0.1)
    whole = Blockiness(16).add(depth, truth)
    part = Blockiness(16).add(depth[5:90, 3:120], truth[5:90, 3:120], origin=(3, 5))
    assert part == pytest.approx(whole, rel=0.3)
    assert Blockiness(16).add(depth[5:90, 3:120], truth[5:90, 3:120]) < 0.2 * whole


def test_true_edges_and_unknown_pixels_do_not_count():
    truth = floor()
    truth[:, 64:] *= 2.0  # an edge of the scene, just where a patch ends
    assert Blockiness(16).add(truth, truth) == pytest.approx(1.0)
    holes = truth.copy()
    holes[20:40, 30:50] = np.nan
    depth = truth.copy()
    depth[20:40, 30:50] = 50.0
    assert Blockiness(16).add(depth, holes) == pytest.approx(1.0)
    assert math.isnan(Blockiness(16).add(truth, np.full(SIZE, np.nan)))


def test_images_count_together_by_their_steps():
    truth = floor()
    many = Blockiness(16)
    ones = [many.add(truth * blocks(16, h), truth) for h in (0.02, 0.02, 0.02)]
    assert many.mean() == pytest.approx(ones[0]) == pytest.approx(ones[2])
    many.add(truth, truth)
    assert 1 < many.mean() < ones[0]


def test_patches_are_those_of_the_registry():
    assert patch_stride("ViT-B-16-quickgelu") == 16
    assert patch_stride("mini") == 32
    assert patch_stride("somebody else's") is None
    with pytest.raises(Clip2DepthError, match="at least 2 pixels"):
        Blockiness(1)
