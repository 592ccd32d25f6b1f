# SPDX-License-Identifier: Apache-2.0
"""What depth becomes: arrays in, arrays out."""

from clip2depth_ros.outputs.edges import EdgeFinder
from clip2depth_ros.outputs.points import POINT_STEP, PointCloud

__all__ = ["POINT_STEP", "EdgeFinder", "PointCloud"]
