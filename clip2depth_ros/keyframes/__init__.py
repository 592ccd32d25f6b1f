# SPDX-License-Identifier: Apache-2.0
"""Keyframes of a robot's drives for training: images with poses, few of each view, bounded on disk."""

from clip2depth_ros.keyframes.selection import KeyframeChooser
from clip2depth_ros.keyframes.store import Keyframe, KeyframeStore, write_whole

__all__ = ["Keyframe", "KeyframeChooser", "KeyframeStore", "write_whole"]
