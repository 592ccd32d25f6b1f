# SPDX-License-Identifier: Apache-2.0
import itertools
from importlib.util import find_spec

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io import open_source


# Looked for, not imported: MuJoCo wants to know how to render before it is imported.
@pytest.mark.skipif(find_spec("mujoco") is None, reason="needs MuJoCo (the sim extra)")
def test_frames_with_truth():
    with open_source("sim:3", every=2, fps=10) as source:
        assert source.fps == 5 and source.length > 3
        frames = list(itertools.islice(source, 2))
        assert source.camera == frames[0].camera
    assert frames[1].stamp - frames[0].stamp == 200_000_000
    for frame in frames:
        assert frame.image.shape[:2] == frame.depth.shape == frame.camera.size[::-1]
        assert np.isfinite(frame.depth).mean() > 0.9 and frame.pose.shape == (4, 4)
        assert frame.odometry is None
    with open_source("sim:3", odometry=True) as source:
        first = next(iter(source))
        np.testing.assert_array_equal(first.odometry, first.pose)


@pytest.mark.parametrize("spec", ["sim:", "sim:abc", "sim:-1", "sim:1.5"])
def test_a_seed_is_a_whole_number(spec):
    with pytest.raises(Clip2DepthError, match="sim:SEED with a whole number"):
        open_source(spec)


def test_the_simulator_brings_its_own_camera():
    with pytest.raises(Clip2DepthError, match="leave --camera out"):
        open_source("sim:1", camera=Camera.from_fov(320, 240, 1.0))
