# SPDX-License-Identifier: Apache-2.0
"""What is kept of a drive: parallax, sharp and well exposed; what is left out is counted by its reason."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from clip2depth_ros.keyframes import KeyframeChooser

SPACING = 0.08
TEXTURE = cv2.resize(
    np.random.default_rng(4).integers(0, 256, (60, 80, 3), np.uint8),
    (320, 240),
    interpolation=cv2.INTER_CUBIC,
)


def pose(x: float, turn: float = 0.0) -> np.ndarray:
    result = np.eye(4)
    result[:3, :3] = cv2.Rodrigues(np.array([0.0, turn, 0.0]))[0]
    result[0, 3] = x
    return result


def kept_of(chooser: KeyframeChooser, poses, image=TEXTURE) -> int:
    return sum(chooser.has_moved(each) and chooser.takes(image, each) for each in poses)


def test_driving_keeps_one_image_per_spacing():
    chooser = KeyframeChooser(SPACING)
    assert kept_of(chooser, [pose(0.01 * n) for n in range(1001)]) == pytest.approx(10 / SPACING, rel=0.1)
    assert not chooser.left_out


def test_standing_keeps_nothing():
    rng = np.random.default_rng(2)
    chooser = KeyframeChooser(SPACING)
    assert kept_of(chooser, [pose(*rng.normal(0, 0.005, 2)) for _ in range(300)]) == 0


def test_turning_on_the_spot_keeps_nothing():
    """The camera is 3 cm in front of the axis, so that it does move a little."""
    chooser = KeyframeChooser(SPACING)
    turns = [0.05 * n for n in range(200)]
    poses = [pose(0.0, turn) for turn in turns]
    for each, turn in zip(poses, turns, strict=True):
        each[:3, 3] = 0.03 * math.sin(turn), 0.0, 0.03 * math.cos(turn)
    assert kept_of(chooser, poses) == 0
    assert chooser.left_out["turning"] > 10


def test_a_curve_is_kept():
    chooser = KeyframeChooser(SPACING)
    assert kept_of(chooser, [pose(0.02 * n, 0.01 * n) for n in range(200)]) > 30


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (TEXTURE // 40, "dark"),
        (255 - TEXTURE // 40, "bright"),
        (np.full_like(TEXTURE, 120), "plain"),
    ],
)
def test_what_shows_nothing_is_left_out(image, reason):
    chooser = KeyframeChooser(SPACING)
    assert kept_of(chooser, [pose(0.1 * n) for n in range(20)], image) == 0
    assert set(chooser.left_out) == {reason}


def test_a_blurred_image_is_left_out_and_the_next_sharp_one_taken():
    chooser = KeyframeChooser(SPACING)
    kept_of(chooser, [pose(0.1 * n) for n in range(20)])
    blurred = cv2.blur(TEXTURE, (15, 1))
    assert kept_of(chooser, [pose(2.0)], blurred) == 0 and chooser.left_out == {"blurred": 1}
    assert kept_of(chooser, [pose(2.01)]) == 1


def test_after_a_break_it_begins_anew():
    chooser = KeyframeChooser(SPACING)
    kept_of(chooser, [pose(0.1 * n) for n in range(5)])
    chooser.restart()
    assert kept_of(chooser, [pose(700.0)]) == 0, "its way there is not known"
    assert kept_of(chooser, [pose(700.1)]) == 1
