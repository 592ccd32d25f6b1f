# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="adapting needs PyTorch")

from clip2depth_ros.adaptation.recording import angle_between
from clip2depth_ros.adaptation.refinement import refine
from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import pose_matrix

CAMERA = Camera.from_fov(224, 160, 1.1)


def corners(motion, count=120, noise=0.1, seed=0):
    """Pixels of random points before and after a motion."""
    rng = np.random.default_rng(seed)
    points = np.column_stack(
        [rng.uniform(-1, 1, count), rng.uniform(-0.8, 0.8, count), rng.uniform(1.5, 4, count)]
    )
    moved = points @ motion[:3, :3].T + motion[:3, 3]
    focal, middle = np.array([CAMERA.fx, CAMERA.fy]), np.array([CAMERA.cx, CAMERA.cy])
    pixels = [p[:, :2] / p[:, 2:] * focal + middle for p in (points, moved)]
    return pixels[0], pixels[1] + noise * rng.standard_normal((count, 2))


@pytest.mark.parametrize("way", [(0.0, 0.0, -0.2), (0.2, 0.0, 0.0)])
def test_a_wrong_turn_is_put_right_and_the_length_stays(way):
    true = pose_matrix(*way, 0.01, 0.05, -0.02)
    wrong = true.copy()
    wrong[:3, :3] = cv2.Rodrigues(np.array([0.004, -0.008, 0.003]))[0] @ true[:3, :3]
    wrong[:3, 3] *= 1.05
    found = refine(wrong, *corners(true), CAMERA)
    assert angle_between(found, true) < 0.3 * angle_between(wrong, true)
    assert np.linalg.norm(found[:3, 3]) == pytest.approx(1.05 * 0.2)


def test_corners_that_go_their_own_way_do_not_count():
    true = pose_matrix(0.1, 0.0, -0.2, 0, 0.03, 0)
    before, after = corners(true)
    after[:30] += (6.0, -4.0)
    wrong = true.copy()
    wrong[:3, :3] = cv2.Rodrigues(np.array([0.0, 0.008, 0.0]))[0] @ true[:3, :3]
    assert angle_between(refine(wrong, before, after, CAMERA), true) < 0.004


def test_without_corners_odometry_stays():
    motion = pose_matrix(0.1, 0, 0, 0, 0, 0)
    assert refine(motion, np.zeros((3, 2)), np.zeros((3, 2)), CAMERA) is motion
