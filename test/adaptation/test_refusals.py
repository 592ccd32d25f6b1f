# SPDX-License-Identifier: Apache-2.0
"""Recordings that teach nothing are refused, each with its own reason, and leave no bundle."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="adapting needs PyTorch")

from clip2depth_ros.adaptation.adapt import Adaptation, Settings
from clip2depth_ros.adaptation.recording import Refusal
from clip2depth_ros.camera.transforms import pose_matrix


def refusal_of(frames, mini, folder, **settings):
    adaptation = Adaptation(mini, folder / "new", settings=Settings(**settings), say=lambda text: None)
    with pytest.raises(Refusal) as refused:
        adaptation.run(lambda: frames)
    assert not (folder / "new").exists()
    assert adaptation.summary["outcome"] == "refused"
    assert adaptation.summary["reason"] == refused.value.reason
    assert adaptation.summary["sentence"] == str(refused.value)
    adaptation.close()
    assert list(folder.iterdir()) == []
    return refused.value


def test_a_standing_camera(mini, wall_frames, tmp_path):
    refused = refusal_of(wall_frames(60, 0.0005), mini, tmp_path)
    assert refused.reason == "parallax" and "stood still" in str(refused)


def test_a_camera_that_only_turns(mini, wall_frames, tmp_path):
    frames = wall_frames(80, 0.03)
    for index, frame in enumerate(frames):
        frame.odometry = pose_matrix(0, 0, 0, 0, 0.03 * index, 0)
    refused = refusal_of(frames, mini, tmp_path)
    assert refused.reason == "parallax" and "only turned" in str(refused)


def test_a_blank_wall(mini, wall_frames, tmp_path):
    rng = np.random.default_rng(0)
    frames = wall_frames(80, 0.03)
    for frame in frames:
        frame.image = np.clip(170 + 2 * rng.standard_normal((160, 224, 3)), 0, 255).astype(np.uint8)
    refused = refusal_of(frames, mini, tmp_path)
    assert refused.reason == "texture" and "blank wall" in str(refused)


def test_odometry_of_another_robot(mini, wall_frames, tmp_path):
    """It drives forward, stops and turns while this camera goes evenly sideways."""
    frames = wall_frames(80, 0.03)
    rng, pose = np.random.default_rng(0), np.eye(4)
    for frame in frames:
        frame.odometry = pose.copy()
        pose = pose @ pose_matrix(0, 0, max(0.0, rng.normal(0.02, 0.03)), 0, rng.normal(0, 0.02), 0)
    refused = refusal_of(frames, mini, tmp_path)
    assert refused.reason == "odometry_contradicts"


def test_odometry_that_moves_while_the_images_stand(mini, wall_frames, tmp_path):
    frames = wall_frames(80, 0.0)
    for index, frame in enumerate(frames):
        frame.odometry = pose_matrix(0, 0, 0.03 * index, 0, 0, 0)
    assert refusal_of(frames, mini, tmp_path).reason == "odometry_contradicts"


def test_a_drive_that_is_too_short(mini, wall_frames, tmp_path):
    refused = refusal_of(wall_frames(12, 0.06), mini, tmp_path)
    assert refused.reason == "too_short"


@pytest.mark.slow
def test_no_gain(mini, wall_frames, tmp_path, monkeypatch):
    """What was kept out shows other things than the odometry says: the network cannot explain it better."""
    from clip2depth_ros.adaptation import adapt

    monkeypatch.setattr(adapt, "LEAST_GAIN", 1.0)  # nothing explains all
    refused = refusal_of(wall_frames(60, 0.03), mini, tmp_path, steps=2, pairs=1, validate_steps=2)
    assert refused.reason == "no_gain"


def test_images_with_a_large_residual_do_not_decide_for_all(mini, tmp_path):
    """Where people walk, the residual is large whatever the depth is."""
    adaptation = Adaptation(mini, tmp_path / "new", say=lambda text: None)
    quiet, crowded = np.full(9, 0.01), np.array([0.1])
    consistency = {"consistency": np.full(10, 0.05)}
    adaptation.before = {"photometric": np.concatenate([quiet, crowded])} | consistency
    adaptation._decide({"photometric": np.concatenate([0.9 * quiet, 1.1 * crowded])} | consistency)
    assert adaptation.summary["gain"] == pytest.approx(1 - 0.9**0.9 * 1.1**0.1)
    with pytest.raises(Refusal, match="no gain"):
        adaptation._decide({"photometric": np.concatenate([1.1 * quiet, 0.5 * crowded])} | consistency)
    # Nor does one that shows next to nothing, whose residual is noise.
    blank = np.array([1e-5])
    adaptation.before = {"photometric": np.concatenate([quiet, blank])} | consistency
    adaptation._decide({"photometric": np.concatenate([0.9 * quiet, 50 * blank])} | consistency)
    assert adaptation.summary["gain"] == pytest.approx(1 - 0.9**0.9)
    adaptation.close()


def test_odometry_twenty_times_too_long(mini, wall_frames, tmp_path):
    frames = wall_frames(80, 0.012)
    for frame in frames:
        frame.odometry[:3, 3] *= 20
    assert refusal_of(frames, mini, tmp_path).reason == "odometry_contradicts"
