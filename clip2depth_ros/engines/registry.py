# SPDX-License-Identifier: Apache-2.0
"""The engines by name. A new engine is one file with an EngineKind, and one line in settings/engines.py."""

from __future__ import annotations

import importlib

from clip2depth_ros.engines.kind import EngineKind
from clip2depth_ros.settings.engines import ENGINES


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
