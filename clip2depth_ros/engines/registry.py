# SPDX-License-Identifier: Apache-2.0
"""The list of engines. A new engine is one file, which defines an EngineKind, and one line here."""

from __future__ import annotations

import importlib

from clip2depth_ros.engines.kind import EngineKind

# Name of the engine: module and name of its EngineKind. The module is imported when the engine is considered.
ENGINES = {
    "tensorrt": "clip2depth_ros.engines.tensorrt.engine:TENSORRT",
    "tensorrt_rtx": "clip2depth_ros.engines.tensorrt.engine:TENSORRT_RTX",
    "pytorch": "clip2depth_ros.engines.pytorch:PYTORCH",
    "openvino": "clip2depth_ros.engines.openvino:OPENVINO",
    "opencv": "clip2depth_ros.engines.opencv:OPENCV",
}

ENGINE_NAMES = tuple(ENGINES)


def engine_kind(name: str) -> EngineKind:
    """The engine with this name. Raises KeyError when there is none."""
    module, _, attribute = ENGINES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def engines_for(device_type: str) -> list[tuple[str, EngineKind]]:
    """Name and kind of all engines that run on a type of device, in the order in which "auto" tries them."""
    kinds = [(name, engine_kind(name)) for name in ENGINES]
    return sorted(
        ((name, kind) for name, kind in kinds if device_type in kind.order),
        key=lambda entry: entry[1].order[device_type],
    )
