# SPDX-License-Identifier: Apache-2.0
"""Engines, which run a bundle on a device: one file for each, with the interface of engines.base.Engine."""

from clip2depth_ros.engines.attempts import Attempt, Outcome
from clip2depth_ros.engines.base import (
    FLOATS,
    PRECISIONS,
    TOLERANCES,
    Engine,
    EngineUnavailable,
    self_check,
)
from clip2depth_ros.engines.selection import open_engine
from clip2depth_ros.settings.engines import ENGINE_NAMES

__all__ = [
    "ENGINE_NAMES",
    "FLOATS",
    "PRECISIONS",
    "TOLERANCES",
    "Attempt",
    "Engine",
    "EngineUnavailable",
    "Outcome",
    "open_engine",
    "self_check",
]
