# SPDX-License-Identifier: Apache-2.0
"""The floor finder finds the simulated floor, and no other plane."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip2depth_ros.images.frame import Floor
from clip2depth_ros.scale import FloorFinder


def plane_depth(camera, normal, height, far=15.0) -> np.ndarray:
    """(h, w) float32: depth of the plane normal . p = -height, and of a wall at `far` beyond it."""
    slope = -(camera.rays().astype(np.float64) @ normal)
    with np.errstate(divide="ignore"):
        depth = np.where(slope > 0, height / slope, np.inf)
    return np.minimum(depth, far).astype(np.float32)


@given(
    height=st.floats(0.1, 3.0),
    pitch=st.floats(0.0, 0.9),
    roll=st.floats(-0.5, 0.5),
    off_pitch=st.floats(-0.1, 0.1),
    off_roll=st.floats(-0.1, 0.1),
    seed=st.integers(0, 99),
)
def test_recovers_any_floor_near_the_expected_direction(
    world, height, pitch, roll, off_pitch, off_roll, seed
):
    pose = world.camera_pose(0, 0, height, 0.7, pitch, roll)
    depth = plane_depth(world.CAMERA, pose[2, :3], height, far=8 * height)
    depth *= np.exp(0.01 * np.random.default_rng(seed).standard_normal(depth.shape)).astype(np.float32)
    expected = Floor.from_mounting(1.0, pitch + off_pitch, roll + off_roll).normal
    floor = FloorFinder().find(depth, world.CAMERA, expected)
    assert floor.height == pytest.approx(height, rel=0.02)
    assert math.acos(min(1.0, floor.normal @ pose[2, :3])) < 0.02
    assert floor.pitch == pytest.approx(pitch, abs=0.02)
    assert floor.roll == pytest.approx(roll, abs=0.03)


@settings(max_examples=40)
@given(height=st.floats(0.2, 2.0), factor=st.floats(0.1, 10.0))
def test_height_is_in_the_unit_of_the_depth(world, height, factor):
    pose = world.camera_pose(1.0, 1.5, height, 0.6, 0.15, 0.0)
    depth = world.ray_cast(world.CAMERA, pose)
    one = FloorFinder().find(depth, world.CAMERA, pose[2, :3])
    other = FloorFinder().find((depth * factor).astype(np.float32), world.CAMERA, pose[2, :3])
    assert one.height == pytest.approx(height, rel=0.02)
    assert other.height == pytest.approx(factor * one.height, rel=0.01)
    assert 0 < one.support < 1


def test_signs_follow_rep_103(world):
    """About y of the body a positive turn looks down; about x it brings the right side down."""
    down = world.camera_pose(4.0, 3.0, 1.0, 0.0, 0.2, 0.0)
    assert down[2, 2] < 0  # the optical axis points to the floor
    right = world.camera_pose(4.0, 3.0, 1.0, 0.0, 0.2, 0.3)
    assert right[2, 0] < 0  # the image's right side points to the floor
    for pose, pitch, roll in ((down, 0.2, 0.0), (right, 0.2, 0.3)):
        floor = FloorFinder().find(world.ray_cast(world.CAMERA, pose), world.CAMERA, pose[2, :3])
        assert (floor.pitch, floor.roll) == pytest.approx((pitch, roll), abs=0.02)
        np.testing.assert_allclose(Floor.from_mounting(1.0, pitch, roll).normal, pose[2, :3], atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_scale_jitter_changes_the_floor_little(world, seed):
    pose = world.camera_pose(2.0, 3.0, 0.6, 0.2, 0.1, 0.0)
    rng = np.random.default_rng(seed)
    field = cv2.resize(0.08 * rng.standard_normal((6, 8)), world.CAMERA.size, interpolation=cv2.INTER_CUBIC)
    depth = (world.ray_cast(world.CAMERA, pose) * np.exp(field)).astype(np.float32)
    floor = FloorFinder().find(depth, world.CAMERA, Floor.from_mounting(1.0, 0.1, 0.0).normal)
    assert floor.height == pytest.approx(0.6, rel=0.06)


def test_the_floor_is_the_lowest_plane_not_the_largest(world):
    pose = world.camera_pose(1.0, 3.5, 1.2, 0.0, 0.45, 0.0)
    table = (((2.15, 1.0, 0.0), (5.5, 6.0, 0.75)),)
    depth = world.ray_cast(world.CAMERA, pose, table)
    heights = 1.2 + (world.CAMERA.rays() * depth[..., None]) @ pose[2, :3]
    assert np.mean(np.abs(heights - 0.75) < 0.02) > np.mean(np.abs(heights) < 0.02) > 0.1
    assert FloorFinder().find(depth, world.CAMERA, pose[2, :3]).height == pytest.approx(1.2, rel=0.03)


@pytest.mark.parametrize("what", ["wall", "ceiling", "unknown", "nearly unknown", "noise", "infinite"])
def test_no_visible_floor_gives_none(world, what):
    camera, up = world.CAMERA, Floor.from_mounting(1.0, 0.0, 0.0).normal
    depth = np.full((camera.height, camera.width), 2.0, np.float32)
    if what == "ceiling":
        depth = plane_depth(camera, -up, 1.0)
        depth[42:] = np.nan
    elif what == "unknown":
        depth[:] = np.nan
    elif what == "nearly unknown":
        depth = plane_depth(camera, up, 1.0)
        depth[:, 6:] = np.nan
    elif what == "noise":
        depth = np.random.default_rng(1).uniform(0.3, 9.0, depth.shape).astype(np.float32)
    elif what == "infinite":
        depth[:] = np.inf
    assert FloorFinder().find(depth, camera, up) is None


def test_a_plane_of_another_direction_is_rejected(world):
    pose = world.camera_pose(4.0, 3.0, 1.0, 0.0, 0.5, 0.0)
    depth = plane_depth(world.CAMERA, pose[2, :3], 1.0)
    assert FloorFinder(0.2).find(depth, world.CAMERA, Floor.from_mounting(1.0, 0.0, 0.0).normal) is None
    assert FloorFinder(0.7).find(depth, world.CAMERA, Floor.from_mounting(1.0, 0.0, 0.0).normal) is not None


def test_depth_can_be_a_view_of_a_larger_array(world):
    pose = world.camera_pose(4.0, 3.0, 1.0, 0.0, 0.3, 0.0)
    wide = np.full((100, 150), np.nan, np.float32)
    wide[10:94, 20:132] = world.ray_cast(world.CAMERA, pose)
    floor = FloorFinder().find(wide[10:94, 20:132], world.CAMERA, pose[2, :3])
    assert floor.height == pytest.approx(1.0, rel=0.02)
