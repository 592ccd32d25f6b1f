# SPDX-License-Identifier: Apache-2.0
"""Rotations and poses in ROS's conventions, and their interpolation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clip2depth_ros.camera.transforms import (
    angle_between,
    cross,
    inverse_pose,
    is_pose,
    matrix_of,
    pose_between,
    pose_matrix,
    quaternion_of,
    roll_pitch_yaw,
    rotation_of,
    slerp,
    unit_quaternion,
)
from clip2depth_ros.errors import Clip2DepthError

ANGLES = st.floats(-3.1, 3.1)
QUARTER = math.pi / 2


def test_roll_pitch_and_yaw_turn_as_in_rep_103():
    forward, left, up = np.eye(3)
    turned = pose_matrix(0, 0, 0, 0, 0, QUARTER)[:3, :3]
    np.testing.assert_allclose(turned @ forward, left, atol=1e-12)
    turned = pose_matrix(0, 0, 0, 0, QUARTER, 0)[:3, :3]
    np.testing.assert_allclose(turned @ forward, -up, atol=1e-12)
    turned = pose_matrix(0, 0, 0, QUARTER, 0, 0)[:3, :3]
    np.testing.assert_allclose(turned @ left, up, atol=1e-12)


def test_the_order_is_roll_then_pitch_then_yaw_about_fixed_axes():
    alone = [pose_matrix(0, 0, 0, *angles) for angles in ((0.3, 0, 0), (0, -0.5, 0), (0, 0, 1.1))]
    np.testing.assert_allclose(
        pose_matrix(0, 0, 0, 0.3, -0.5, 1.1), alone[2] @ alone[1] @ alone[0], atol=1e-12
    )


@given(ANGLES, st.floats(-1.5, 1.5), ANGLES)
def test_rotation_and_quaternion_there_and_back(roll, pitch, yaw):
    rotation = pose_matrix(0, 0, 0, roll, pitch, yaw)[:3, :3]
    quaternion = quaternion_of(rotation)
    assert quaternion[3] >= 0 and np.linalg.norm(quaternion) == pytest.approx(1)
    np.testing.assert_allclose(rotation_of(quaternion), rotation, atol=1e-9)


def test_half_turns_have_quaternions_too():
    for axis in np.eye(3):
        rotation = 2 * np.outer(axis, axis) - np.eye(3)
        np.testing.assert_allclose(rotation_of(quaternion_of(rotation)), rotation, atol=1e-12)


@given(ANGLES, ANGLES, st.floats(0, 1))
def test_slerp_turns_at_an_even_rate_on_the_shorter_way(first, second, part):
    def about_z(angle):
        return np.array([0, 0, math.sin(angle / 2), math.cos(angle / 2)])

    way = (second - first + math.pi) % (2 * math.pi) - math.pi
    if abs(abs(way) - math.pi) < 1e-3:
        return  # both ways are as short
    between = rotation_of(slerp(about_z(first), about_z(second), part))
    np.testing.assert_allclose(between, rotation_of(about_z(first + part * way)), atol=1e-6)


def test_quaternions_are_normalized_or_rejected():
    np.testing.assert_allclose(unit_quaternion(0, 0, 3, 4), [0, 0, 0.6, 0.8])
    for wrong in ((0, 0, 0, 0), (0, 0, 0, math.nan), (math.inf, 0, 0, 1), (0, 1e300, 0, 1)):
        with pytest.raises(Clip2DepthError, match="is not a rotation"):
            unit_quaternion(*wrong)


@given(ANGLES, st.floats(-1.5, 1.5), ANGLES)
def test_an_inverse_undoes_a_pose(roll, pitch, yaw):
    pose = pose_matrix(1, -2, 3, roll, pitch, yaw)
    np.testing.assert_allclose(inverse_pose(pose) @ pose, np.eye(4), atol=1e-9)


@given(ANGLES, st.floats(0, 1))
def test_interpolation_of_poses_is_linear_and_by_slerp(angle, part):
    first = (np.array([1.0, 0, 0]), quaternion_of(np.eye(3)))
    second = (np.array([1.0, 4, -2]), quaternion_of(pose_matrix(0, 0, 0, 0, 0, angle)[:3, :3]))
    between = matrix_of(*pose_between(first, second, part))
    np.testing.assert_allclose(between, pose_matrix(1, 4 * part, -2 * part, 0, 0, part * angle), atol=1e-6)


def test_a_pose_is_a_rotation_and_a_place_in_finite_numbers():
    pose = pose_matrix(1, -2, 3, 0.3, -0.5, 1.1)
    assert is_pose(pose) and is_pose(inverse_pose(pose))
    mirrored, stretched, unknown, singular, tilted, infinite, far = (pose.copy() for _ in range(7))
    mirrored[:3, 0] *= -1
    stretched[:3, :3] *= 1.01
    unknown[0, 3] = np.nan
    singular[3] = 0
    tilted[3, 1] = 0.01
    infinite[3, 3] = np.inf
    far[2, 3] = -1e12
    for wrong in (mirrored, stretched, unknown, singular, tilted, infinite, far, pose[:3], np.eye(3)):
        assert not is_pose(wrong)
    earth = pose_matrix(4.2e6, -1.7e5, 4.8e6, 0, 0, 1)
    assert is_pose(earth) and is_pose(np.linalg.inv(earth) @ earth)


@pytest.mark.parametrize(
    "angles", [(0.1, -0.4, 2.9), (-3.0, 1.2, -1.0), (0.0, QUARTER, 0.7), (0.0, -QUARTER, -2.0)]
)
def test_the_angles_of_a_rotation_reproduce_it(angles):
    rotation = pose_matrix(0, 0, 0, *angles)[:3, :3]
    np.testing.assert_allclose(pose_matrix(0, 0, 0, *roll_pitch_yaw(rotation))[:3, :3], rotation, atol=1e-9)
    turned = rotation @ pose_matrix(0, 0, 0, 0.3, 0, 0)[:3, :3]
    assert angle_between(rotation, turned) == pytest.approx(0.3)
    assert angle_between(rotation, rotation) == pytest.approx(0.0, abs=1e-7)


def test_the_fast_cross_product_is_numpys():
    rng = np.random.default_rng(4)
    for first, second in rng.standard_normal((50, 2, 3)):
        assert (cross(first, second) == np.cross(first, second)).all()
