# SPDX-License-Identifier: Apache-2.0
"""Scale from range sensors; outliers, unrelated points and points at edges are rejected."""

import math

import numpy as np
import pytest

from clip2depth_ros.scale import RangesSource, View, sample_ranges


@pytest.fixture(scope="module")
def room(world) -> np.ndarray:
    return world.ray_cast(world.CAMERA, world.camera_pose(2.0, 3.0, 0.6, 0.2, 0.1, 0.0))


def ask(world, depth, points, source=None, time=0.0):
    source = source or RangesSource()
    return source.evidence(View(depth, world.CAMERA, time, ranges=points)), source.problem


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_the_factor_is_range_over_depth(world, room, factor):
    points = sample_ranges(room, world.CAMERA, 60, 1)
    evidence, problem = ask(world, (room * factor).astype(np.float32), points)
    assert math.exp(evidence.log_scale) * factor == pytest.approx(1.0, abs=0.005)
    assert problem == "" and evidence.deviation < 0.03


def test_ten_percent_outliers_are_tolerated(world, room):
    rng = np.random.default_rng(3)
    for seed in range(20):
        points = sample_ranges(room, world.CAMERA, 60, seed)
        points[:6] *= rng.uniform(0.1, 4.0, (6, 1)).astype(np.float32)
        assert abs(ask(world, room, points)[0].log_scale) < 0.01


def test_nan_and_infinite_ranges_are_left_out(world, room):
    points = sample_ranges(room, world.CAMERA, 60, 1)
    points[::3] = np.nan
    points[1::3, 2] = np.inf
    assert abs(ask(world, room, points)[0].log_scale) < 0.01


@pytest.mark.parametrize(
    ("points", "word"),
    [
        (np.full((30, 3), np.nan, np.float32), "none of their points is finite"),
        (np.array([[0.0, 0.1, -2.0]] * 30, np.float32), "lies in front of the camera"),
        (np.array([[9.0, 0.1, 1.0]] * 30, np.float32), "lies in the image"),
        (np.zeros((5, 2), np.float32), "must be (N, 3) points"),
    ],
)
def test_unusable_points_are_reported(world, room, points, word):
    evidence, problem = ask(world, room, points)
    assert evidence is None and word in problem and problem.endswith(".")


@pytest.mark.parametrize(
    "turn",
    [
        np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),  # body axes given as optical ones
        np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]),  # optical axes turned once more
        np.diag([-1.0, 1.0, -1.0]),  # the sensor looks back
        np.diag([-1.0, -1.0, 1.0]),  # and is upside down
    ],
)
def test_a_scan_in_a_wrong_frame_is_reported_and_rejected(world, room, turn):
    source = RangesSource()
    for index in range(10):
        points = sample_ranges(room, world.CAMERA, 60, index) @ turn.T.astype(np.float32)
        evidence, problem = ask(world, room, points, source, index / 15)
        assert evidence is None and "check the pose of the range sensor" in problem


def test_no_points_are_not_an_error(world, room):
    assert ask(world, room, None) == (None, "")
    assert ask(world, room, np.empty((0, 3), np.float32)) == (None, "")


def test_points_at_depth_edges_are_not_used(world):
    """A box before a wall, whose edge depth has a pixel beside where the lidar sees it."""
    depth = np.full((84, 112), 4.0, np.float32)
    depth[:, :56] = 1.0
    u = np.arange(56.0, 57.0)
    camera = world.CAMERA
    points = np.array([[(x - camera.cx) / camera.fx, 0.0, 1.0] for x in u] * 40, np.float32)
    assert ask(world, depth, points) == (None, "")


def test_single_ranges_are_collected_over_frames(world, room):
    source, answers = RangesSource(), []
    for index in range(16):
        points = sample_ranges(room, world.CAMERA, 400, index)[:1]
        answers.append(ask(world, room, points, source, index * 0.05)[0])
    spoken = [answer for answer in answers if answer is not None]
    assert 1 <= len(spoken) <= 2 and abs(spoken[0].log_scale) < 0.01
    # Old ranges are not combined with new ones.
    source, late = RangesSource(), None
    for index in range(16):
        points = sample_ranges(room, world.CAMERA, 400, index)[:1]
        late = late or ask(world, room, points, source, index * 0.5)[0]
    assert late is None


def test_a_large_cloud_is_subsampled(world, room):
    rows, columns = np.indices(room.shape)
    camera = world.CAMERA
    cloud = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, room * 0 + 1], -1)
    cloud = np.repeat((cloud * room[..., None]).reshape(-1, 3), 20, axis=0)
    assert abs(ask(world, room, cloud)[0].log_scale) < 0.005
