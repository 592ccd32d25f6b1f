# SPDX-License-Identifier: Apache-2.0
import itertools
import math

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the simulator needs MuJoCo")

from clip2depth_ros.simulation.drives.wheels import Wheels
from clip2depth_ros.simulation.views.views import look_pose

PERFECT = Wheels(noise=0.0, drift=0.0)


def way(count=50, turn=0.05):
    """Poses of a drive along an arc, the camera tilted and 0.5 m high."""
    x = y = heading = 0.0
    poses = []
    for _ in range(count):
        poses.append(look_pose((x, y, 0.5), heading, -0.1))
        x, y, heading = x + 0.05 * math.cos(heading), y + 0.05 * math.sin(heading), heading + turn
    return poses


def length(poses):
    return sum(np.linalg.norm(b[:3, 3] - a[:3, 3]) for a, b in itertools.pairwise(poses))


def test_perfect_wheels_give_the_true_poses():
    poses = way()
    told = PERFECT.odometry(poses, 10.0, np.random.default_rng(0))
    assert np.allclose(told, poses, atol=1e-9)


def test_a_scale_error_lengthens_the_path():
    poses = way()
    told = Wheels(scale=1.05, noise=0.0, drift=0.0).odometry(poses, 10.0, np.random.default_rng(0))
    assert length(told) == pytest.approx(1.05 * length(poses), rel=1e-6)


def test_slip_is_in_its_seconds_only():
    poses = way(turn=0.0)
    wheels = Wheels(noise=0.0, drift=0.0, slip=2.0, slips=((1.0, 2.0),))
    steps = np.diff([p[0, 3] for p in wheels.odometry(poses, 10.0, np.random.default_rng(0))])
    assert np.flatnonzero(steps > 0.075).tolist() == list(range(9, 19))


def test_drift_turns_the_frame_and_random_wheels_repeat():
    poses = way()
    wheels = [Wheels.random(np.random.default_rng(3), 5.0) for _ in range(2)]
    assert wheels[0] == wheels[1] and abs(wheels[0].scale - 1) == pytest.approx(0.05)
    told = [w.odometry(poses, 10.0, np.random.default_rng(1)) for w in wheels]
    assert np.array_equal(*told) and not np.allclose(told[0], poses, atol=0.01)
