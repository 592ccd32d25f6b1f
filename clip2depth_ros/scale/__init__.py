# SPDX-License-Identifier: Apache-2.0
"""Metric scale from camera height, odometry or range sensors, on arrays; no ROS."""

from clip2depth_ros.scale.affine import Affine, AffineEstimator
from clip2depth_ros.scale.estimator import Scale, ScaleEstimator
from clip2depth_ros.scale.floor_plane import FloorFinder
from clip2depth_ros.scale.fusion import Follower, ScaleFilter
from clip2depth_ros.scale.height import HeightSource
from clip2depth_ros.scale.memory import ScaleMemory
from clip2depth_ros.scale.odometry import OdometrySource
from clip2depth_ros.scale.ranges import RangesSource
from clip2depth_ros.scale.sampling import sample_ranges
from clip2depth_ros.scale.source import Evidence, ScaleSource, View
from clip2depth_ros.settings import ScaleSettings

__all__ = [
    "Affine",
    "AffineEstimator",
    "Evidence",
    "FloorFinder",
    "Follower",
    "HeightSource",
    "OdometrySource",
    "RangesSource",
    "Scale",
    "ScaleEstimator",
    "ScaleFilter",
    "ScaleMemory",
    "ScaleSettings",
    "ScaleSource",
    "View",
    "sample_ranges",
]
