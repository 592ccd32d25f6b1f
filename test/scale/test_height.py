# SPDX-License-Identifier: Apache-2.0
"""The camera's height over the floor's distance."""

import math

import numpy as np
import pytest

from clip2depth_ros.images.frame import Floor
from clip2depth_ros.scale import FloorFinder, HeightSource, View


def view(world, floor: Floor | None, time: float = 0.0) -> View:
    return View(np.ones((84, 112), np.float32), world.CAMERA, time, floor=floor)


def test_the_factor_is_the_ratio_of_the_heights(world):
    evidence = HeightSource(0.6).evidence(view(world, Floor(np.array([0.0, -1.0, 0.0]), 1.5, 0.4)))
    assert math.exp(evidence.log_scale) == pytest.approx(0.4)
    assert evidence.deviation == pytest.approx(0.03)


def test_no_floor_gives_no_evidence(world):
    assert HeightSource(0.6).evidence(view(world, None)) is None


def test_a_small_floor_has_a_larger_std_dev(world):
    up = np.array([0.0, -1.0, 0.0])
    source = HeightSource(0.6)
    source.evidence(view(world, Floor(up, 1.5, 0.06)))
    small = source.evidence(view(world, Floor(up, 1.5, 0.06), 0.7))
    large = HeightSource(0.6).evidence(view(world, Floor(up, 1.5, 0.5)))
    assert small.deviation > 1.5 * large.deviation


def test_a_small_floor_that_is_seen_briefly_is_not_used(world):
    """In single frames, a shelf board is taken for the floor."""
    source, board = HeightSource(0.6), Floor(np.array([0.0, -1.0, 0.0]), 0.2, 0.1)
    assert source.evidence(view(world, board, 0.0)) is None
    assert source.evidence(view(world, board, 0.4)) is None
    assert source.evidence(view(world, board, 3.0)) is None  # another moment
    assert source.evidence(view(world, board, 3.6)) is not None


def test_a_tilted_floor_has_a_larger_std_dev(world):
    floor = Floor.from_mounting(1.5, 0.1, 0.0)
    deviations = []
    for pitch in (0.1, 0.11, 0.2):
        seen = view(world, floor)
        seen.up = Floor.from_mounting(1.0, pitch, 0.0).normal
        deviations.append(HeightSource(0.6).evidence(seen).deviation)
    assert deviations[0] == deviations[1] == pytest.approx(0.03)
    assert deviations[2] > 0.1


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_a_bent_floor_is_extrapolated_to_the_whole_image(world, factor):
    """The near floor is too near: the depths of the whole image determine the factor."""
    pose = world.camera_pose(2.0, 3.0, 0.6, 0.2, 0.1, 0.0)
    true = world.ray_cast(world.CAMERA, pose)
    depth = world.bend(true) * np.float32(factor)
    up = pose[2, :3]
    floor = FloorFinder().find(depth, world.CAMERA, up)
    evidence = HeightSource(0.6).evidence(View(depth, world.CAMERA, 0.0, floor=floor, up=up))
    whole = float(np.log(true / depth).mean())
    plane = math.log(0.6 / floor.height)
    assert abs(evidence.log_scale - whole) < 0.7 * abs(plane - whole)
    assert abs(evidence.log_scale - whole) < 2 * math.hypot(evidence.deviation, evidence.shared_std_dev)
