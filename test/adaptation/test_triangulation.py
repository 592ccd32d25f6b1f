# SPDX-License-Identifier: Apache-2.0
"""Depth from the images and the motions of the keyframes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="adapting needs PyTorch")

from clip2depth_ros.adaptation.photometric import departure  # noqa: E402
from clip2depth_ros.adaptation.recording import Recorder  # noqa: E402
from clip2depth_ros.adaptation.triangulation import triangulated  # noqa: E402
from clip2depth_ros.adaptation.views import find_sources, motion_between  # noqa: E402

DISTANCE = 2.0  # of the wall, metres


@pytest.fixture
def wall(mini, wall_frames):
    """Keyframes along the wall, their sources and motions."""
    recorder = Recorder(mini.manifest, 100)
    for frame in wall_frames(12, 0.03):
        recorder.add(frame)
    frames = recorder.finish()
    sources = find_sources(frames.poses, frames.seconds, np.zeros(len(frames), int))
    motions = {
        (i, int(j)): motion_between(frames.poses[i], frames.poses[j])
        for i, others in enumerate(sources)
        for j in others
    }
    return frames, sources, motions


def test_a_wall_is_found_where_it_is(wall):
    depth, deviation = triangulated(wall[0], [2, 6], *wall[1:])
    known = np.isfinite(depth)
    assert known[[2, 6]].mean() > 0.8 and not np.delete(known, [2, 6], axis=0).any()
    assert np.abs(np.log(depth[known] / DISTANCE)).mean() < 0.03
    assert (np.isfinite(deviation) == known).all() and (deviation[known] < 0.2).all()


def test_what_leaves_the_epipolar_lines_is_unknown(wall):
    frames, sources, motions = wall
    for key, motion in motions.items():  # 2 degrees of roll and pitch that the images do not show
        motions[key] = motion @ motion_between(np.eye(4), _turned(0.035))
    depth, _ = triangulated(frames, [6], sources, motions)
    assert np.isfinite(depth[6]).mean() < 0.3


def test_without_a_second_view_nothing_is_known(wall):
    frames, sources, motions = wall
    depth, _ = triangulated(frames, [6], [s[:1] for s in sources], motions)
    assert not np.isfinite(depth).any()


def test_departure_weighs_by_certainty_and_leaves_out_the_unknown():
    depth = torch.full((1, 1, 3), 2.0)
    found = torch.tensor([[[1.0, 2.0, float("nan")]]])
    even = departure(depth, found, torch.tensor([[[0.01, 0.05, float("nan")]]]))
    assert float(even) == pytest.approx(np.log(2) / 2)
    assert float(departure(depth, found, torch.tensor([[[0.2, 0.05, 1.0]]]))) == pytest.approx(np.log(2) / 5)


def _turned(angle: float) -> np.ndarray:
    pose = np.eye(4)
    pose[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return pose
