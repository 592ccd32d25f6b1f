# SPDX-License-Identifier: Apache-2.0
"""The stages of one frame in order, from image to depth in meters, and the time of each. No ROS."""

from clip2depth_ros.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
