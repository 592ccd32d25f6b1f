# SPDX-License-Identifier: Apache-2.0
"""The node's parameters as the settings of the stages that know no ROS."""

from __future__ import annotations

import dataclasses
from typing import Any

from clip2depth_ros.outputs import ScanSettings
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings, ScanParameters
from clip2depth_ros.scale import ScaleSettings
from clip2depth_ros.stabilizer import StabilizerSettings


def stabilizer_settings(settings: DepthSettings) -> StabilizerSettings | None:
    """The stabilizer's settings, None where it is switched off."""
    if not settings.stabilizer.enabled:
        return None
    return StabilizerSettings(**_shared(settings.stabilizer, StabilizerSettings))


def scale_settings(settings: DepthSettings, name: str) -> ScaleSettings:
    """The scale estimator's settings; `name` says whose factor the memory file keeps."""
    return ScaleSettings(
        **_shared(settings.scale, ScaleSettings)
        | {
            "pitch": settings.mounting.pitch,
            "roll": settings.mounting.roll,
            "odometry": settings.scale.odometry and bool(settings.odometry.topic),
            "ranges": settings.scale.ranges and bool(settings.ranges.topic),
            "name": name,
        }
    )


def has_scale_source(settings: DepthSettings) -> bool:
    """True when anything is configured that can tell the scale."""
    scale = scale_settings(settings, "")
    return bool(scale.height or scale.odometry or scale.ranges)


def scan_settings(scan: ScanParameters) -> ScanSettings:
    """The scan's settings."""
    return ScanSettings(**_shared(scan, ScanSettings))


def _shared(parameters: Any, settings_class: type) -> dict[str, Any]:
    """The values of the parameters that the settings class has too, by the same name."""
    names = {field.name for field in dataclasses.fields(settings_class)}
    return {name: value for name, value in vars(parameters).items() if name in names}
