# SPDX-License-Identifier: Apache-2.0
"""A frame's facts as clip2depth_ros/DepthQuality."""

from __future__ import annotations

from typing import Any

from clip2depth_ros.images.facts import FACTS, read_facts
from clip2depth_ros.images.frame import DepthFrame
from clip2depth_ros.ros.outputs.outgoing import filled_header

FIELDS = tuple(fact for fact in FACTS if fact.in_message and fact.name != "header")


def fill_quality(message: Any, frame: DepthFrame, of_node: dict[str, Any]) -> None:
    """Write every field of a DepthQuality.

    of_node: the facts that only the node knows (engine, bundle, latency, counts), by name. Raises KeyError
    where one is missing.
    """
    filled_header(message.header, frame.stamp, frame.frame_id)
    values = read_facts(frame) | of_node
    for fact in FIELDS:
        value = values[fact.name]
        # The text of an enum's member.
        setattr(message, fact.name, str(value) if fact.type == "string" else value)
