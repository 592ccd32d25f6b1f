# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from clip2depth_ros.adaptation.recording import angle_between
from clip2depth_ros.adaptation.views import (
    FARTHEST,
    LARGEST_TURN,
    NEAREST,
    OVERLAP_TURN,
    find_overlapping,
    find_sources,
    hold_out,
    kept_out_blocks,
)
from clip2depth_ros.camera.transforms import pose_matrix


@pytest.mark.parametrize("total, count", [(8, 1), (60, 7), (20, 2)])
def test_whole_blocks_are_kept_out(total, count):
    seconds = np.arange(0, total, 1 / 30)
    block = kept_out_blocks(seconds)
    assert block.max() + 1 == count
    for number in range(count):
        inside = np.flatnonzero(block == number)
        assert (np.diff(inside) == 1).all()
        assert 1.9 < len(inside) / 30 <= 2.1
    assert 0.15 < np.mean(block >= 0) < 0.35


def test_a_short_recording_keeps_most_for_training():
    block = kept_out_blocks(np.arange(0, 3, 0.1))
    assert 0.15 < np.mean(block >= 0) < 0.35


@pytest.mark.parametrize("turn", [(0, 0), (3, 7), (2, 7), (3, 8)])
def test_a_turn_in_the_middle_of_a_short_recording_moves_what_is_held_out(turn):
    seconds = np.arange(0, 10, 0.1)
    moving = (seconds < turn[0]) | (seconds > turn[1])
    x, yaw = np.cumsum(0.03 * moving), np.cumsum(0.05 * ~moving)
    poses = np.stack([pose_matrix(*xyz) for xyz in np.stack([x, *np.zeros((4, 100)), yaw], 1)])
    group, sources = hold_out(poses, seconds, 2.0, 12)
    seen = np.array([len(found) > 0 for found in sources])
    assert (seen & (group >= 0)).sum() >= 12 and (seen & (group < 0)).sum() >= 12
    assert 0.15 < np.mean(group >= 0) < 0.25
    assert (group == kept_out_blocks(seconds)).all() == (turn == (0, 0))


def test_what_is_held_out_stays_in_the_middle_where_no_place_has_parallax():
    seconds, poses = np.arange(0, 10, 0.1), np.tile(np.eye(4), (100, 1, 1))
    group, sources = hold_out(poses, seconds, 2.0, 12)
    assert (group == kept_out_blocks(seconds)).all() and not any(len(found) for found in sources)


def test_sources_are_near_enough_and_far_enough_and_look_the_same_way():
    xs = np.arange(30) * 0.02
    poses = np.stack([pose_matrix(x, 0, 0, 0, 0, 0.02 * i) for i, x in enumerate(xs)])
    sources = find_sources(poses, np.arange(30) * 0.1, np.zeros(30, int), candidates=50)
    for index, found in enumerate(sources):
        away = np.abs(xs[found] - xs[index])
        assert len(found)
        assert (away >= NEAREST - 1e-9).all() and (away <= FARTHEST + 1e-9).all()
        assert (0.02 * np.abs(found - index) < LARGEST_TURN).all()


def test_sources_of_what_is_kept_out_are_kept_out():
    poses = np.stack([pose_matrix(0.05 * i, 0, 0, 0, 0, 0) for i in range(40)])
    group = np.where((np.arange(40) >= 10) & (np.arange(40) < 20), 0, -1)
    for index, found in enumerate(find_sources(poses, np.arange(40) * 0.1, group)):
        assert (group[found] == group[index]).all()


def test_the_same_place_a_minute_later_is_no_source():
    poses = np.stack([pose_matrix(0.05 * i, 0, 0, 0, 0, 0) for i in (0, 1, 2)])
    assert len(find_sources(poses, np.array([0.0, 60.0, 120.0]), np.zeros(3, int))[0]) == 0


def turning_on_the_way():
    """Poses (80, 4, 4): ahead along x, a turn of 150 degrees on the spot, ahead again."""
    poses = [pose_matrix(0.05 * i, 0, 0, 0, 0, 0) for i in range(15)]
    poses += [pose_matrix(0.7, 0, 0, 0, 0, np.radians(3.0 * i)) for i in range(1, 51)]
    poses += [pose_matrix(0.7, 0.05 * i, 0, 0, 0, np.radians(150.0)) for i in range(1, 16)]
    return np.stack(poses), np.arange(80) * 0.1


def test_views_of_a_turn_get_their_depth_from_views_with_parallax():
    poses, seconds = turning_on_the_way()
    group = np.full(80, -1)
    sources = find_sources(poses, seconds, group)
    overlapping = find_overlapping(poses, seconds, group, sources)
    paired = np.array([len(s) > 0 for s in sources])
    assert 20 < (~paired).sum() < 60
    for index, found in enumerate(overlapping):
        assert (len(found) > 0) == (not paired[index])
        assert index not in found
        assert (angle_between(poses[found], poses[index]) < OVERLAP_TURN).all()
        if paired[found].any():
            assert paired[found].all()
    # in the middle of the turn no view with parallax is near enough: its neighbors lead there
    assert any(len(found) and not paired[found].any() for found in overlapping)


def test_what_is_kept_out_gives_no_depth_to_others():
    poses, seconds = turning_on_the_way()
    group = np.where((np.arange(80) >= 20) & (np.arange(80) < 30), 0, -1)
    sources = find_sources(poses, seconds, group)
    for index, found in enumerate(find_overlapping(poses, seconds, group, sources)):
        assert (group[found] == group[index]).all()
