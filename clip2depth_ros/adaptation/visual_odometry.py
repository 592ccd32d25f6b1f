# SPDX-License-Identifier: Apache-2.0
"""Visual odometry for recordings without odometry: the stabilizer's ego-motion with scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from clip2depth_ros.camera.transforms import inverse_pose
from clip2depth_ros.engines import Engine
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings

ELSEWHERE = 1000.0
"""Meters between two stretches whose relative pose is not known, so that no views of both are compared."""


def with_visual_odometry(frames: Iterable[Frame], engine: Engine, scale: ScaleSettings) -> Iterator[Frame]:
    """The frames with `odometry` estimated from the images.

    engine: of the bundle that is adapted. scale: height or ranges, which give the scale in meters. Frames
    before the scale is known have no odometry. Where the ego-motion is lost a new stretch begins, far from
    the previous one.
    """
    pipeline = Pipeline(engine, scale=scale)
    pose, stretch = np.eye(4), 0
    try:
        for frame in frames:
            frame.odometry = None  # other odometry would become a measurement of the scale
            result = pipeline.process(frame)
            if result.motion is None:
                stretch += 1
                pose = np.eye(4)
                pose[0, 3] = stretch * ELSEWHERE
            else:
                pose = pose @ inverse_pose(result.motion)
            if result.facts.scale_source:
                frame.odometry = pose.copy()
            yield frame
    finally:
        pipeline.close()
