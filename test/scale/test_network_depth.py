# SPDX-License-Identifier: Apache-2.0
"""A correct height and correct odometry do not increase the error of the shipped network's depth."""

from importlib.util import find_spec

import numpy as np
import pytest

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.engines import open_engine
from clip2depth_ros.images.frame import Floor
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings
from clip2depth_ros.simulation import Drive

WORSE = 1.02


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mujoco") is None, reason="MuJoCo is not installed (the sim extra)")
@pytest.mark.parametrize("seed", [3, 16])
def test_no_source_makes_the_networks_depth_worse(seed):
    errors = {"none": [], "height": [], "odometry": []}
    pipelines = {}
    with open_engine(open_bundle("mini")) as engine:
        for frame in Drive(seed, 224, 168, 10.0, seconds=15.0):
            if not pipelines:
                floor = Floor(frame.pose[2, :3], float(frame.pose[2, 3]), 1.0)
                mounting = ScaleSettings(height=floor.height, pitch=floor.pitch, roll=floor.roll)
                scales = {"none": None, "height": mounting, "odometry": ScaleSettings(odometry=True)}
                pipelines = {name: Pipeline(engine, scale=scale) for name, scale in scales.items()}
            for name, pipeline in pipelines.items():
                frame.odometry = frame.pose if name == "odometry" else None
                depth = pipeline.process(frame).depth
                errors[name].append(np.nanmean(np.abs(depth / frame.depth - 1)))
    none = np.mean(errors["none"])
    assert np.mean(errors["height"]) <= WORSE * none
    assert np.mean(errors["odometry"]) <= WORSE * none
