# SPDX-License-Identifier: Apache-2.0
"""Odometry for recordings that have none: the stabilizer's ego-motion, in metres of height or ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from clip2depth_ros.camera.transforms import inverse_pose
from clip2depth_ros.engines import Engine
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings

ELSEWHERE = 1000.0
"""Metres between two stretches of which nobody knows how they lie to each other: no view of one is ever
compared with one of the other."""


def with_visual_odometry(frames: Iterable[Frame], engine: Engine, scale: ScaleSettings) -> Iterator[Frame]:
    """The frames with their `odometry` filled in, as the images tell it.

    engine: of the bundle that is adapted. scale: height or ranges, which tell the metres. Frames before the
    scale is known have no odometry. Where the ego-motion is lost a new stretch begins, far from the one
    before.
    """
    pipeline = Pipeline(engine, scale=scale)
    pose, stretch = np.eye(4), 0
    try:
        for frame in frames:
            frame.odometry = None  # what else may be known would speak for the scale
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
