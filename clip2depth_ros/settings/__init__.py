# SPDX-License-Identifier: Apache-2.0
"""Settings: each one is written once, with default, unit, range and description. No ROS, no NumPy."""

from clip2depth_ros.settings.reader import read, read_entries
from clip2depth_ros.settings.schema import (
    Parameter,
    again,
    check,
    group,
    option,
    parameters_of,
    setting,
    settings_from,
)
from clip2depth_ros.settings.stages import (
    PipelineSettings,
    PointsSettings,
    ScaleSettings,
    ScanSettings,
    StabilizerSettings,
)

__all__ = [
    "Parameter",
    "PipelineSettings",
    "PointsSettings",
    "ScaleSettings",
    "ScanSettings",
    "StabilizerSettings",
    "again",
    "check",
    "group",
    "option",
    "parameters_of",
    "read",
    "read_entries",
    "setting",
    "settings_from",
]
