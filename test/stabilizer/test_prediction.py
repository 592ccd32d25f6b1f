# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from walls import CAMERA, motion, view

from clip2depth_ros.stabilizer.flow import Flow
from clip2depth_ros.stabilizer.prediction import FARTHEST, NEAREST, UNKNOWN, Prediction

MOVES = [((0.0, 0.0, 0.1), (0.0, 0.0, 0.0)), ((0.06, -0.03, 0.05), (0.01, 0.03, -0.02))]


def carried(before, after, measured, moved, pixels=100_000, variance=0.1):
    """Prediction of the view `after` from the exact depth of the view `before`."""
    height, width = before[1].shape
    flow = Flow(width, height, pixels)
    flow.look(before[0])
    flow.look(after[0])
    flow.step()
    prediction = Prediction(width, height, flow)
    past = before[1], np.full(before[1].shape, variance, np.float32)
    with np.errstate(all="ignore"):
        prediction.carry(*past, measured, None if moved is None else CAMERA.scaled(width, height), moved)
    return prediction


@pytest.mark.parametrize("position, turn", MOVES)
@pytest.mark.parametrize("size", [(160, 120), (320, 240)])
def test_depth_changes_with_the_motion(position, turn, size):
    camera = CAMERA.scaled(*size)
    before, after = view(camera=camera), view(position, turn, camera)
    found = carried(before, after, after[1], motion(before[2], after[2]), pixels=19_200)
    known = found.variance < 1
    assert known[4:-4, 4:-4].mean() > 0.9
    error = np.abs(np.log(found.depth / after[1]))[known]
    assert np.median(error) < 5e-4 and np.quantile(error, 0.98) < 0.01
    assert np.median(np.abs(np.log(before[1] / after[1]))) > 5e-3, "it did change"


def test_measurement_noise_hardly_changes_the_position():
    before, after = view(), view(*MOVES[1])
    noisy = after[1] * np.float32(1.1)
    found = carried(before, after, noisy, motion(before[2], after[2]))
    error = np.abs(np.log(found.depth / after[1]))[found.variance < 1]
    assert np.median(error) < 2e-3


def test_without_a_motion_flow_and_growth_are_used():
    before, after = view(), view((0.0, 0.0, 0.1))
    found = carried(before, after, after[1], None)
    known = found.variance < 1
    assert known.mean() > 0.8
    assert np.median(np.abs(np.log(found.depth / after[1]))[known]) < 0.01


def test_moving_objects_have_no_past():
    camera = CAMERA.scaled(320, 240)
    before, after = view(camera=camera), view((0.02, 0.0, 0.0), camera=camera)
    thing = view((1.0, 1.0, 0.5), camera=camera)[0][60:180, 120:220]
    before[0][60:180, 80:180] = after[0][60:180, 92:192] = thing
    found = carried(before, after, after[1], motion(before[2], after[2]))
    assert (found.variance[80:160, 116:176] == UNKNOWN).mean() > 0.8
    assert (found.variance[:, 220:-10] < 1).mean() > 0.95


def test_unknown_depth_stays_finite_and_outside_there_is_no_past():
    before, after = view(), view((0.0, 0.0, 0.0), (0.0, 0.2, 0.0))
    measured = after[1].copy()
    measured[50:60, 50:60] = np.nan
    found = carried(before, after, measured, motion(before[2], after[2]))
    assert np.isfinite(found.depth).all() and (found.depth > 0).all() and np.isfinite(found.variance).all()
    assert (found.variance[:, -20:] == UNKNOWN).all(), "newly in view"


@pytest.mark.parametrize("growth", [1e10, -1e10, np.inf, np.nan])
def test_unmeasured_depth_stays_finite(growth):
    """Without a motion, unmeasured depth is multiplied by the growth in every frame."""
    before, after = view(), view((0.0, 0.0, 0.1))
    height, width = before[1].shape
    flow = Flow(width, height, 100_000)
    flow.look(before[0])
    flow.look(after[0])
    flow.step()
    flow.growth = lambda: growth
    prediction = Prediction(width, height, flow)
    depth, variance = before[1], np.full(before[1].shape, 0.1, np.float32)
    unknown = np.full(before[1].shape, np.nan, np.float32)
    with np.errstate(all="ignore"):
        for _ in range(10):
            prediction.carry(depth, variance, unknown, None, None)
            depth, variance = prediction.depth.copy(), prediction.variance.copy()
            assert (depth >= NEAREST).all() and (depth <= FARTHEST).all()


@pytest.mark.parametrize("place", [1e30, -1e30, 1e9, -1e9])
def test_any_length_of_motion_gives_finite_depth(place):
    before, after = view(), view((0.0, 0.0, 0.1))
    moved = np.eye(4)
    moved[:3, 3] = place
    found = carried(before, after, after[1], moved)
    assert (found.depth >= NEAREST).all() and (found.depth <= FARTHEST).all()
    assert np.isfinite(found.variance).all()
