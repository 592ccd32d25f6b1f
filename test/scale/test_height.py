# SPDX-License-Identifier: Apache-2.0
"""The camera's height over the floor's distance."""

import math

import numpy as np
import pytest

from clip2depth_ros.frame import Floor
from clip2depth_ros.scale import HeightSource, View


def view(world, floor: Floor | None) -> View:
    return View(np.ones((84, 112), np.float32), world.CAMERA, 0.0, floor=floor)


def test_the_factor_is_the_ratio_of_the_heights(world):
    evidence = HeightSource(0.6).evidence(view(world, Floor(np.array([0.0, -1.0, 0.0]), 1.5, 0.4)))
    assert math.exp(evidence.log_scale) == pytest.approx(0.4)
    assert evidence.deviation == pytest.approx(0.03)


def test_no_floor_no_word(world):
    assert HeightSource(0.6).evidence(view(world, None)) is None


def test_a_small_floor_is_believed_less(world):
    up = np.array([0.0, -1.0, 0.0])
    small, large = (HeightSource(0.6).evidence(view(world, Floor(up, 1.5, part))) for part in (0.06, 0.5))
    assert small.deviation > 1.5 * large.deviation


def test_a_floor_that_leans_is_believed_less(world):
    floor = Floor.from_mounting(1.5, 0.1, 0.0)
    deviations = []
    for pitch in (0.1, 0.11, 0.2):
        seen = view(world, floor)
        seen.up = Floor.from_mounting(1.0, pitch, 0.0).normal
        deviations.append(HeightSource(0.6).evidence(seen).deviation)
    assert deviations[0] == deviations[1] == pytest.approx(0.03)
    assert deviations[2] > 0.1
