# SPDX-License-Identifier: Apache-2.0
"""Point cloud and laser scan from a depth frame, as arrays; no ROS."""

from clip2depth_ros.outputs.edges import EdgeFinder
from clip2depth_ros.outputs.points import POINT_STEP, FloorLimits, PointCloud
from clip2depth_ros.outputs.scan import LaserScan
from clip2depth_ros.settings import PointsSettings, ScanSettings

__all__ = [
    "POINT_STEP",
    "EdgeFinder",
    "FloorLimits",
    "LaserScan",
    "PointCloud",
    "PointsSettings",
    "ScanSettings",
]
