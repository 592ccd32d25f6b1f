# SPDX-License-Identifier: Apache-2.0
"""Depth from the images and the motions of the keyframes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="adapting needs PyTorch")

from clip2depth_ros.adaptation.matching import match  # noqa: E402
from clip2depth_ros.adaptation.photometric import departure  # noqa: E402
from clip2depth_ros.adaptation.recording import Recorder, angle_between  # noqa: E402
from clip2depth_ros.adaptation.views import find_sources, motion_between  # noqa: E402
from clip2depth_ros.camera.transforms import pose_matrix  # noqa: E402

DISTANCE = 2.0  # of the wall, metres


@pytest.fixture
def wall(mini, wall_frames):
    """Keyframes along the wall, and their sources."""
    recorder = Recorder(mini.manifest, 100)
    for frame in wall_frames(12, 0.03):
        recorder.add(frame)
    frames = recorder.finish()
    sources = find_sources(frames.poses, frames.seconds, np.zeros(len(frames), int))
    return frames, sources


def test_a_wall_is_found_where_it_is(wall):
    found = match(*wall, np.array([2, 6]))
    known = np.isfinite(found.depth)
    assert known[[2, 6]].mean() > 0.8 and not np.delete(known, [2, 6], axis=0).any()
    assert np.abs(np.log(found.depth[known] / DISTANCE)).mean() < 0.03
    deviation = found.deviation
    assert (np.isfinite(deviation) == known).all() and (deviation[known] < 0.2).all()


def test_a_wrong_turn_of_odometry_is_corrected(wall):
    frames, sources = wall
    true = {(i, int(j)): motion_between(frames.poses[i], frames.poses[j]) for i in (2, 6) for j in sources[i]}
    rng = np.random.default_rng(0)
    for index in range(len(frames)):
        frames.poses[index] = frames.poses[index] @ pose_matrix(0, 0, 0, *rng.normal(0, 0.006, 3))
    found = match(frames, sources, np.array([2, 6]))
    for key, motion in true.items():
        wrong = motion_between(*frames.poses[list(key)])
        assert angle_between(found.motions[key], motion) < 0.3 * angle_between(wrong, motion)
        assert np.allclose(found.motions[key] @ found.motions[key[::-1]], np.eye(4))
    assert np.nanmean(np.abs(np.log(found.depth / DISTANCE))) < 0.1


def test_what_leaves_its_epipolar_line_is_unknown(wall):
    frames, sources = wall
    frames.images[6, 80:] = np.roll(frames.images[6, 80:], 3, axis=0)  # it moved down in this view
    depth = match(frames, sources, np.array([6])).depth[6]
    assert np.isfinite(depth[20:60]).mean() > 0.7 > 0.5 > np.isfinite(depth[100:140]).mean()


def test_without_a_second_view_nothing_is_known(wall):
    frames, sources = wall
    assert not np.isfinite(match(frames, [s[:1] for s in sources], np.array([6])).depth).any()


def test_departure_weighs_by_certainty_and_leaves_out_the_unknown():
    depth = torch.full((1, 1, 3), 2.0)
    found = torch.tensor([[[1.0, 2.0, float("nan")]]])
    even = departure(depth, found, torch.tensor([[[0.01, 0.05, float("nan")]]]))
    assert float(even) == pytest.approx(np.log(2) / 2)
    assert float(departure(depth, found, torch.tensor([[[0.2, 0.05, 1.0]]]))) == pytest.approx(np.log(2) / 5)
