# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import DepthFrame, Frame
from clip2depth_ros.metrics.ground_truth import GroundTruth

PLAIN = Camera.from_fov(64, 48, 1.2)
BENT = Camera(64, 48, PLAIN.fx, PLAIN.fy, PLAIN.cx, PLAIN.cy, (-0.3, 0.05, 0.0, 0.0, 0.0))


def frame(camera, depth):
    return Frame(np.zeros((48, 64, 3), np.uint8), 0, "camera", camera, depth=depth)


def result(height=48, width=64):
    return DepthFrame(
        np.ones((height, width), np.float32), np.zeros((height, width, 3), np.uint8), None, 0, ""
    )


def test_ground_truth_of_an_undistorted_camera_is_unchanged():
    depth = np.random.default_rng(0).uniform(1, 5, (48, 64)).astype(np.float32)
    assert GroundTruth().of(frame(PLAIN, depth), result()) is depth
    assert GroundTruth().of(frame(None, depth), result()) is depth
    assert GroundTruth().of(frame(PLAIN, None), result()) is None


def test_resizing_takes_the_nearest_value():
    depth = np.arange(48 * 64, dtype=np.float32).reshape(48, 64)
    small = GroundTruth().of(frame(PLAIN, depth), result(24, 32))
    assert small.shape == (24, 32) and np.isin(small, depth).all()


def test_ground_truth_is_rectified_like_the_image():
    """A distorting lens moves a mark near the corner; the truth's mark goes where the image's goes."""
    depth = np.full((48, 64), 2.0, np.float32)
    depth[6:9, 8:11] = 5.0
    truth = GroundTruth().of(frame(BENT, depth), result())
    rows, columns = np.nonzero(truth == 5.0)
    assert rows.size and rows.mean() < 6 and columns.mean() < 8  # a barrel's corner moves outwards
    middle = truth[20:28, 28:36]
    np.testing.assert_array_equal(middle, 2.0)


def test_ground_truth_of_another_size_is_rectified():
    """Twice as fine, it says the same of every pixel: the lens bends it all the same."""
    depth = np.full((48, 64), 2.0, np.float32)
    depth[6:9, 8:11] = 5.0
    fine = depth.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(
        GroundTruth().of(frame(BENT, fine), result()), GroundTruth().of(frame(BENT, depth), result())
    )
    assert GroundTruth().rectified(frame(BENT, fine)).shape == (48, 64)


def test_a_new_camera_gets_a_new_rectifier():
    depth = np.random.default_rng(0).uniform(1, 5, (48, 64)).astype(np.float32)
    stronger = replace(BENT, distortion=(-0.6, 0.05, 0.0, 0.0, 0.0))
    truth = GroundTruth()
    truth.rectified(frame(stronger, depth))
    np.testing.assert_array_equal(
        truth.rectified(frame(BENT, depth)), GroundTruth().rectified(frame(BENT, depth))
    )
    assert truth.rectified(frame(PLAIN, depth)) is depth
