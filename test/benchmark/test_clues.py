# SPDX-License-Identifier: Apache-2.0
"""benchmark/clues.py: every row starts from mini's depth, and the table has mean and half of the range."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import clues
from clip2depth_ros.commands.train import find_config
from clip2depth_ros.training.configuration import read_recipe
from clip2depth_ros.training.loss.objectives import network_depth

K = np.array([[[150.0, 0, 48], [0, 150, 32], [0, 0, 1]]], np.float32)


def depth_of(row: clues.Row, images: np.ndarray) -> tuple[clues.Clip2Depth, np.ndarray]:
    torch.manual_seed(1)
    recipe = read_recipe(find_config(Path("mini_near.yaml")))
    network = clues.start(row, recipe, images).network
    clues.give_focal(network, K)
    return network, network_depth(network, images)


@pytest.mark.slow
def test_a_focal_length_and_a_deeper_tower_change_nothing_at_first():
    images = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), np.uint8)
    expected = depth_of(clues.Row("mini", (64, 96)), images)[1]
    np.testing.assert_array_equal(depth_of(clues.Row("deeper", (64, 96), deeper=True), images)[1], expected)
    network, found = depth_of(clues.Row("focal", (64, 96), focal=True), images)
    np.testing.assert_array_equal(found, expected)
    torch.nn.init.ones_(network.decoder.reduce[0].weight)
    assert not np.allclose(network_depth(network, images), expected)
    clues.give_focal(network, K * 200 / 150)  # of 200 pixels: the channel is zero
    np.testing.assert_allclose(network_depth(network, images), expected, rtol=1e-5)


def test_the_table_has_mean_and_half_of_the_range():
    run = dict.fromkeys(
        ("places", "places scaled", "near", "near scaled", "ratio", "real", "real scaled"), 0.2
    )
    other = {name: 0.3 for name in run}
    lines = clues.table(
        {"mini/1": run, "base/1": run | {"rate": 10}, "base/2": other | {"rate": 12}}
    ).splitlines()
    assert lines[2].endswith("|  | 0.200 / 0.200 | 0.200 / 0.200 | 0.20 | 0.200 / 0.200 |  |")
    assert "| 2 | 0.250 ± 0.050 / 0.250 ± 0.050 |" in lines[3] and lines[3].endswith("| 11.0 ± 1.0 |")
    assert len(lines) == 4 and {line.count("|") for line in lines} == {8}
