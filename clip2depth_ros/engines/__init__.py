# SPDX-License-Identifier: Apache-2.0
"""Engines: each runs a bundle on one kind of device. One file per engine, all behind engines.base.Engine."""

from clip2depth_ros.engines.base import (
    FLOATS,
    PRECISIONS,
    TOLERANCES,
    Engine,
    EngineUnavailable,
    self_check,
)
from clip2depth_ros.engines.selection import ENGINE_NAMES, open_engine

__all__ = [
    "ENGINE_NAMES",
    "FLOATS",
    "PRECISIONS",
    "TOLERANCES",
    "Engine",
    "EngineUnavailable",
    "open_engine",
    "self_check",
]
