# SPDX-License-Identifier: Apache-2.0
"""Paths of the nodes' programs and of the package's shared files: source tree, ament or pip."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

PACKAGE = "clip2depth_ros"


def _prefixes() -> list[Path]:
    """Prefixes in which ROS packages may be installed: the ament prefixes, then this Python's own."""
    found = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    return [*found, Path(sys.prefix)]


def find_executable(name: str) -> list[str]:
    """The command that runs a node of this package: the installed program, or else its module."""
    places = [prefix / "lib" / PACKAGE / name for prefix in _prefixes()]
    places.append(Path(sysconfig.get_path("scripts")) / name)
    for path in places:
        if path.is_file() and os.access(path, os.X_OK):
            return [str(path)]
    return [sys.executable, "-m", f"{PACKAGE}.ros.nodes.{name}"]


def find_shared(relative: str) -> Path | None:
    """A file of the package outside its Python folder, such as `config/depth.yaml`; None if not installed."""
    source_tree = Path(__file__).resolve().parents[2]
    for folder in (source_tree, *(prefix / "share" / PACKAGE for prefix in _prefixes())):
        if (folder / relative).is_file():
            return folder / relative
    return None
