# SPDX-License-Identifier: Apache-2.0
"""A rendered drive through the real stabilizer, to check the assumptions of the analytic drives."""

from importlib.util import find_spec

import numpy as np
import pytest

from clip2depth_ros.images.frame import Floor
from clip2depth_ros.scale import ScaleEstimator, ScaleSettings, sample_ranges
from clip2depth_ros.simulation import Drive
from clip2depth_ros.simulation.photography.depth_noise import DepthNoise
from clip2depth_ros.stabilizer import Stabilizer

FPS, SECONDS, FACTOR = 12.0, 7.0, 0.6


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mujoco") is None, reason="MuJoCo is not installed (the sim extra)")
def test_each_source_finds_the_factor_behind_the_stabilizer(world):
    drive = Drive(4, 160, 120, FPS, seconds=SECONDS)
    stabilizer, depth_noise, rng = Stabilizer(), DepthNoise(1), np.random.default_rng(2)
    estimators, wheels, last = {}, np.eye(4), None
    found = {"height": [], "odometry": [], "ranges": []}
    for index, frame in enumerate(drive):
        if not estimators:
            floor = Floor(frame.pose[2, :3], float(frame.pose[2, 3]), 1.0)
            mounting = {"height": floor.height, "pitch": floor.pitch, "roll": floor.roll}
            settings = [ScaleSettings(**mounting), ScaleSettings(odometry=True), ScaleSettings(ranges=True)]
            estimators = dict(zip(found, map(ScaleEstimator, settings), strict=True))
        if last is not None:
            step = np.linalg.inv(last) @ frame.pose
            step[:3, 3] *= 1 + 0.05 * rng.standard_normal()
            wheels = wheels @ step
        last = frame.pose
        raw = depth_noise(frame.depth) * np.float32(FACTOR)
        stable = stabilizer.update(raw, frame.image, frame.camera, frame.stamp)
        for source, estimator in estimators.items():
            scale = estimator.update(
                stable.depth,
                frame.camera,
                frame.stamp,
                visual_odometry=stable.visual_odometry,
                visual_odometry_std_dev=stable.visual_odometry_std_dev,
                corners=stable.corners,
                odometry=wheels,
                ranges=sample_ranges(frame.depth, frame.camera, 60, (1, index)),
            )
            found[source].append(scale.value * FACTOR)
    for source, values in found.items():
        world.assert_no_jump(values)
        late = np.array(values[-round(1.5 * FPS) :])
        assert np.abs(late - 1).max() < 0.03, f"{source}: {late.min():.3f} to {late.max():.3f}"
