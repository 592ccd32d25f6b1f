# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.evaluation.temporal_consistency import Steadiness

CAMERA = Camera.from_fov(96, 64, 1.2)
STILL = np.eye(4)


def textured(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), np.uint8)
    return cv2.resize(noise, CAMERA.size, interpolation=cv2.INTER_CUBIC)


def wall(metres):
    return np.full(CAMERA.size[::-1], metres, np.float32)


def test_a_scale_that_jumps_is_what_tae_opw_and_rtc_say():
    measured = Steadiness()
    for number in range(17):
        measured.add(wall(2.0 if number % 2 else 2.2), wall(2.0), textured(0), CAMERA, STILL)
    found = measured.mean()
    assert measured.pairs == 16
    # 2.2 seen from a frame of 2.0 is 10 % off, the other way round 1/11
    assert found["depth"]["tae"] == pytest.approx((0.1 + 1 / 11) / 2, rel=1e-3)
    assert found["depth"]["tae_8"] == pytest.approx(0.0, abs=1e-6)
    assert found["depth"]["opw"] == pytest.approx(0.2, rel=1e-3) and found["depth"]["rtc"] == 0
    assert found["truth"]["tae"] == pytest.approx(0.0, abs=1e-6) and found["truth"]["rtc"] == 1


def test_without_poses_there_is_no_tae():
    measured = Steadiness()
    for _ in range(3):
        measured.add(wall(2.0), None, textured(0), CAMERA, None)
    found = measured.mean()
    assert found["depth"]["tae"] is None and found["depth"]["opw"] == pytest.approx(0.0, abs=1e-6)
    assert found["truth"]["opw"] is None


def test_unrelated_views_and_other_sequences_are_not_compared():
    measured = Steadiness()
    for seed in range(3):
        measured.add(wall(1.0 + seed), wall(2.0), textured(seed), CAMERA, STILL)
    assert measured.mean() is None
    measured.add(wall(3.0), wall(2.0), textured(2), CAMERA, STILL, follows=False)
    half = CAMERA.cropped(0, 0, 96, 32)
    measured.add(wall(3.0)[:32], wall(2.0)[:32], textured(2)[:32], half, STILL)
    assert measured.mean() is None
