# SPDX-License-Identifier: Apache-2.0
"""The order of the work on one frame, from image to depth in metres, and each stage's time. No ROS."""

from clip2depth_ros.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
