# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="adapting needs PyTorch")

from clip2depth_ros.adaptation.recording import Keyframes, Refusal


def test_standing_frames_are_left_out(recorded, wall_frames):
    frames = wall_frames(20, 0.03)
    found = recorded(frames[:10] + [frames[9]] * 30 + frames[10:])
    assert len(found) == 20
    assert found.left_out == {"no motion": 30}
    assert found.seen == 50


def test_of_many_frames_evenly_moved_ones_are_kept(recorded, wall_frames):
    found = recorded(wall_frames(100, 0.02), most=20)
    assert 8 <= len(found) <= 20
    steps = np.diff(found.poses[:, 0, 3])
    assert steps.max() < 2 * steps.min() + 1e-6


def test_blurred_dark_and_bright_frames_are_left_out(recorded, wall_frames):
    frames = wall_frames(20, 0.03)
    frames[3].image = np.zeros_like(frames[3].image)
    frames[7].image = np.full_like(frames[7].image, 255)
    frames[11].image = cv2.blur(frames[11].image, (25, 25))
    names = recorded(frames).names
    assert len(names) == 17
    assert not {"000003", "000007", "000011"} & set(names)


def test_frames_without_poses_are_refused_as_such(recorded, wall_frames):
    frames = wall_frames(5, 0.03)
    for frame in frames:
        frame.odometry = None
    with pytest.raises(Refusal, match="none of the frames has a pose") as refused:
        recorded(frames)
    assert refused.value.reason == "odometry_missing"


def test_keyframes_come_back_from_disk(recorded, wall_frames, tmp_path):
    kept = recorded(wall_frames(6, 0.03))
    kept.write(tmp_path / "recording.npz")
    back = Keyframes.read(tmp_path / "recording.npz")
    assert (back.images == kept.images).all() and np.allclose(back.poses, kept.poses)
    assert back.camera == kept.camera and back.inner == kept.inner and back.names == kept.names
    assert np.allclose(back.truth, 2.0)
