# SPDX-License-Identifier: Apache-2.0
"""A sparse range sensor simulated from ground truth depth."""

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.scale import sample_ranges


def test_points_match_the_depth(world):
    depth = world.ray_cast(world.CAMERA, world.camera_pose(2.0, 3.0, 0.6, 0.2, 0.1, 0.0))
    depth[:28] = np.nan
    depth[28:35] = 0
    points = sample_ranges(depth, world.CAMERA, 200, 5).astype(np.float64)
    camera = world.CAMERA
    u = np.rint(camera.fx * points[:, 0] / points[:, 2] + camera.cx).astype(int)
    v = np.rint(camera.fy * points[:, 1] / points[:, 2] + camera.cy).astype(int)
    assert len(points) == 200 and v.min() >= 35
    np.testing.assert_allclose(points[:, 2], depth[v, u], rtol=1e-6)
    assert len({(a, b) for a, b in zip(u, v, strict=True)}) == 200


def test_the_seed_determines_the_points(world):
    depth = np.full((84, 112), 2.0, np.float32)
    one, same, other = (sample_ranges(depth, world.CAMERA, 60, (3, index)) for index in (7, 7, 8))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_there_are_no_more_than_are_known(world):
    depth = np.full((84, 112), np.nan, np.float32)
    assert sample_ranges(depth, world.CAMERA, 60, 0).shape == (0, 3)
    depth[3, 4] = 2.0
    assert sample_ranges(depth, world.CAMERA, 60, 0).shape == (1, 3)


def test_wrong_arguments_are_rejected(world):
    depth = np.full((84, 112), 2.0, np.float32)
    with pytest.raises(Clip2DepthError, match="at least 1"):
        sample_ranges(depth, world.CAMERA, 0, 0)
    with pytest.raises(Clip2DepthError, match="need the camera of the depth"):
        sample_ranges(depth, Camera.from_fov(320, 240, 1.0), 60, 0)
