# SPDX-License-Identifier: Apache-2.0
"""Counts of the costmap benchmark: grids with known cells, and models of nav2's layers."""

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco")

from benchmark.costmap import model, true_frames
from benchmark.obstacles.layers import ObstacleLayer, VoxelLayer
from benchmark.obstacles.truth import FARTHEST, NEAREST, Comparison, Truth
from clip2depth_ros.simulation import Drive


@pytest.fixture(scope="module")
def truth():
    return Truth(Drive(16, 160, 120, 2.0, seconds=4.0))


def cells_of(truth: Truth, points: np.ndarray) -> np.ndarray:
    lethal = np.zeros(truth.shape, bool)
    lethal[truth._cells(points)] = True
    return lethal


def free_point(truth: Truth, view) -> np.ndarray:
    """A point in view that is near nothing, before every obstacle of its direction and the next ones."""
    nearest = np.minimum(np.minimum(np.roll(view.first, 1), np.roll(view.first, -1)), view.first)
    heading = math.atan2(view.pose[1, 2], view.pose[0, 2])
    for index in range(1, len(nearest) - 1):
        bearing = (truth.edges[index] + truth.edges[index + 1]) / 2 + heading
        for away in np.arange(NEAREST + 0.1, min(0.7 * nearest[index], FARTHEST) - 0.1, 0.1):
            point = view.pose[:2, 3] + away * np.array([math.cos(bearing), math.sin(bearing)])
            if not ((truth.standing | view.near) & cells_of(truth, point[None])).any():
                return point
    raise AssertionError("nothing in view is free")


def test_the_obstacles_themselves_are_marked_and_none_is_false(truth):
    comparison = Comparison(truth)
    for view in truth.views:
        comparison.add(cells_of(truth, view.points[np.isfinite(view.points[:, 0])]), view)
    counts = comparison.end()
    assert counts.directions > 50 and counts.marked == counts.close == counts.directions
    assert counts.lethal > 50 and counts.false == counts.early == 0


def test_an_empty_grid_marks_nothing_and_a_cell_in_the_open_is_false(truth):
    view = truth.views[0]
    counts = Comparison(truth)
    counts.add(np.zeros(truth.shape, bool), view)
    assert counts.counts.marked == counts.counts.lethal == 0 < counts.counts.directions
    point = free_point(truth, view)
    false = counts.add(cells_of(truth, point[None]), view)
    assert counts.counts.false == counts.counts.early == false.sum() == 1
    # Cells behind the camera, too near or too far are not evaluated.
    for away in (-1.0, NEAREST / 2, FARTHEST + 1):
        ahead = view.pose[:2, 2] / np.linalg.norm(view.pose[:2, 2])
        counts.add(cells_of(truth, (view.pose[:2, 3] + away * ahead)[None]), view)
    assert counts.counts.lethal == 1


def test_a_cell_that_stays_after_its_obstacle_is_timed(truth):
    """The robot stands still; a person is in the first image only; the cell is cleared in the last."""
    view = truth.views[0]
    lethal = cells_of(truth, free_point(truth, view)[None])
    comparison = Comparison(truth)
    comparison.add(lethal, replace(view, near=view.near | lethal, people=lethal))
    for second in (1, 2):
        comparison.add(lethal, replace(view, stamp=second * 1_000_000_000))
    comparison.add(np.zeros_like(lethal), replace(view, stamp=3_000_000_000))
    assert comparison.end().cleared == [3.0] and not comparison.counts.kept


def test_models_of_the_layers_mark_ends_and_clear_on_the_way():
    corner, shape = np.array([-50, -50]), (100, 100)
    layer = ObstacleLayer(shape, corner)
    layer.add(np.zeros(2), np.array([0.0, math.pi / 2]), np.array([1.0, 1.5]))
    assert layer.lethal.sum() == 2 and layer.lethal[50, 70] and layer.lethal[80, 50]
    layer.add(np.zeros(2), np.array([0.0, math.pi / 2]), np.array([math.inf, math.nan]))
    assert layer.lethal.sum() == 1 and layer.lethal[80, 50]  # free clears, unknown does not
    voxels = VoxelLayer(shape, corner)
    eye = np.array([0.0, 0.0, 0.5])
    voxels.add(eye, np.array([[1.01, 0.01, 0.3], [1.01, 0.51, 0.02], [math.nan] * 3]))
    assert voxels.lethal.sum() == 1 and voxels.lethal[50, 70]  # the floor is not marked
    voxels.add(eye, np.array([[2.0, 0.02, 0.1]]))
    assert voxels.lethal[50, 70] == 0


def test_true_depth_through_our_outputs_and_the_models(truth):
    for counts in model(truth, true_frames(truth), ["scan", "points"]).values():
        assert counts.marked > 0.9 * counts.directions > 0
        assert counts.false < 0.02 * counts.lethal
