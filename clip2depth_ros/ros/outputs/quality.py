# SPDX-License-Identifier: Apache-2.0
"""A frame's facts as clip2depth_ros/DepthQuality."""

from __future__ import annotations

from typing import Any

from clip2depth_ros.images.frame import NAN, STAGES, DepthFrame
from clip2depth_ros.ros.outputs.outgoing import filled_header


def fill_quality(message: Any, frame: DepthFrame) -> None:
    """Write what is known of a frame. What the node knows (engine, bundle, times, counts) stays as it is."""
    facts = frame.facts
    filled_header(message.header, frame.stamp, frame.frame_id)
    for stage in STAGES:
        setattr(message, f"{stage}_time", facts.times.get(stage, 0.0))
    message.valid_fraction = facts.valid_fraction
    message.motion, message.flicker = facts.motion, facts.flicker
    message.temporal_error = facts.temporal_error
    message.deviation = frame.median_std_dev()
    message.focal_scale, message.scale = facts.focal_scale, facts.scale
    message.scale_deviation, message.scale_age = facts.scale_deviation, facts.scale_age
    message.scale_source = facts.scale_source
    floor = facts.floor
    message.floor_height = floor.height if floor else NAN
    message.floor_pitch, message.floor_roll = (floor.pitch, floor.roll) if floor else (NAN, NAN)
    message.reset = facts.reset
