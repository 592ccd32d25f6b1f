# SPDX-License-Identifier: Apache-2.0
"""Data sets with ground-truth depth, in the formats in which they are published."""

from clip2depth_ros.training.datasets.base import DataSet, motion_between
from clip2depth_ros.training.datasets.registry import KINDS, below, open_data_set

__all__ = ["KINDS", "DataSet", "below", "motion_between", "open_data_set"]
