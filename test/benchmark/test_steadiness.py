# SPDX-License-Identifier: Apache-2.0
"""The measures of benchmark/temporal.py on sequences with known results."""

import numpy as np
import pytest

from benchmark.steadiness import measures
from benchmark.steadiness.methods import AVERAGE, OWN, RAW, TRUE_POSES, Outcome, methods, run
from benchmark.steadiness.pictures import color_difference, write_image, write_video
from benchmark.steadiness.sequences import FrameSequence
from clip2depth_ros.camera import Camera

FAR, NEAR = 4.0, 2.0


def passing_body(frames: int = 60) -> FrameSequence:
    """A wall at 4 m; from frame 10 to 39 a body at 2 m covers the left half of the image."""
    height, width = 48, 64
    rng = np.random.default_rng(1)
    texture = rng.integers(0, 255, (height, width, 3), np.uint8)
    sequence = FrameSequence("body", Camera.from_fov(width, height, 1.2), [], [], [], [], [], [])
    for index in range(frames):
        moving = np.zeros((height, width), bool)
        moving[:, : width // 2] = 10 <= index < 40
        truth = np.where(moving, NEAR, FAR).astype(np.float32)
        sequence.stamps.append(index * 50_000_000)
        sequence.images.append(np.where(moving[..., None], 255 - texture, texture))
        sequence.truth.append(truth)
        sequence.raw.append(truth.copy())
        sequence.poses.append(np.eye(4))
        sequence.moving.append(moving)
    return sequence


def test_exact_depth_has_no_error_and_no_lag():
    sequence = passing_body()
    outcome, newcomers = run(RAW, sequence), measures.Newcomers(sequence)
    assert measures.abs_rel(outcome.depths, sequence) == 0.0
    assert measures.tae_of(outcome.depths, sequence, 1) == 0.0
    assert measures.moving_error([outcome], [newcomers], 1, 1) == 0.0
    for arriving in (True, False):
        assert measures.lag([outcome], [newcomers], arriving=arriving) == pytest.approx(0.0, abs=1e-6)


def test_the_lag_of_an_average_follows_from_its_weight():
    """In meters 4 - 2 (1 - 0.8^n) after n frames: its error against 2 m by hand, and its lag of nearly 4."""
    sequence = passing_body()
    outcome, newcomers = run(AVERAGE, sequence), measures.Newcomers(sequence)
    for frame in (1, 3, 10):
        expected = (FAR - NEAR) * 0.8**frame / NEAR
        assert measures.moving_error([outcome], [newcomers], frame, frame) == pytest.approx(
            expected, rel=1e-4
        )
    # Sums over 15 frames, in log depth, where approaching takes longer than receding.
    assert measures.lag([outcome], [newcomers], arriving=True) == pytest.approx(
        sum(np.log(1 + 0.8**n) / np.log(2) for n in range(1, 16)), rel=1e-3
    )
    gone = (NEAR + 2 * 0.8**30, FAR)  # the average when the body left, and its limit
    assert measures.lag([outcome], [newcomers], arriving=False) == pytest.approx(
        sum(np.log(FAR / (FAR - (FAR - gone[0]) * 0.8**n)) / np.log(2) for n in range(1, 16)), rel=1e-3
    )


def test_ages_begin_where_a_pixel_begins_to_move():
    newcomers = measures.Newcomers(passing_body())
    ages = np.array([age[0, [0, -1]] for age in newcomers.age])
    np.testing.assert_array_equal(ages[:10], 0)
    np.testing.assert_array_equal(ages[10:40, 0], np.arange(1, 31))
    np.testing.assert_array_equal(ages[40:, 0], np.arange(1, 21))
    np.testing.assert_array_equal(ages[:, 1], 0)
    assert newcomers.before[15][0, 0] == FAR and newcomers.before[45][0, 0] == NEAR


def test_all_rows_are_evaluated_on_the_same_pixels():
    """Pixels unknown in raw are not counted, and TAE excludes moving pixels."""
    sequence = passing_body()
    wrong = [depth.copy() for depth in sequence.truth]
    for index, depth in enumerate(wrong):
        sequence.raw[index][:, 40:] = np.nan
        depth[:, 40:] = 100.0
        if index % 2:
            depth[sequence.moving[index]] *= 3.0
    outcome = Outcome(wrong)
    # Of 40 known columns 32 are wrong by a factor of 3, in 15 of 60 frames.
    assert measures.abs_rel(outcome.depths, sequence) == pytest.approx(2.0 * 32 / 40 * 15 / 60)
    assert measures.tae_of(outcome.depths, sequence, 1) == 0.0


def test_true_motion_is_in_the_depths_own_meters():
    sequence = passing_body(3)
    sequence.poses[1] = np.eye(4)
    sequence.poses[1][:3, 3] = 0.0, 0.0, 0.5
    sequence.scale = 2.0
    np.testing.assert_allclose(sequence.motion(1)[:3, 3], [0, 0, -1.0])
    np.testing.assert_allclose(sequence.motion(2)[:3, 3], [0, 0, 1.0])
    assert sequence.motion(0) is None
    assert TRUE_POSES in methods(sequence)
    sequence.poses = None
    assert sequence.motion(1) is None and TRUE_POSES not in methods(sequence)


def test_videos_and_images_are_written(tmp_path):
    sequence = passing_body(20)
    video = write_video(sequence, tmp_path / "film.mp4")
    image = write_image(sequence, tmp_path / "picture.jpg", frame=5)
    assert video.stat().st_size > 1000 and image.stat().st_size > 1000
    assert run(OWN, sequence).depths[0].shape == (48, 64)


def test_colors_of_a_difference():
    colors = color_difference(np.array([[0.0, 0.2, -5.0, np.nan]]))
    assert colors[0].tolist() == [[255, 255, 255], [255, 50, 50], [50, 50, 255], [90, 90, 90]]
