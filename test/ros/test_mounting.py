# SPDX-License-Identifier: Apache-2.0
"""The camera's pose on the robot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clip2depth_ros.images.frame import Floor
from clip2depth_ros.ros.inputs.mounting import optical_in_base
from clip2depth_ros.ros.parameters.robot_settings import MountingSettings

QUARTER = math.pi / 2


def test_a_mounted_camera_has_the_right_optical_axis():
    mounted = optical_in_base(MountingSettings(x=0.2, y=0.1, z=0.5))
    np.testing.assert_allclose(mounted @ [1, 2, 3, 1], [3.2, -0.9, -1.5, 1])  # right, below, ahead
    to_the_left = optical_in_base(MountingSettings(yaw=QUARTER))
    np.testing.assert_allclose(to_the_left @ [0, 0, 1, 1], [0, 1, 0, 1], atol=1e-12)


def gravity_of_mounting(mounting):
    """Down in the optical frame of a camera mounted so on a robot that stands level."""
    return optical_in_base(mounting)[:3, :3].T @ np.array([0.0, 0.0, -1.0])


@pytest.mark.parametrize(("roll", "pitch"), [(0, 0), (0.2, 0), (0, 0.3), (-0.1, -0.4)])
def test_gravity_and_floor_from_the_mounting_agree(roll, pitch):
    down = gravity_of_mounting(MountingSettings(roll=roll, pitch=pitch, yaw=0.7))
    np.testing.assert_allclose(down, -Floor.from_mounting(1.0, pitch, roll).normal, atol=1e-9)


def test_a_camera_that_looks_down_sees_down_ahead():
    assert gravity_of_mounting(MountingSettings(pitch=0.3))[2] == pytest.approx(math.sin(0.3))
