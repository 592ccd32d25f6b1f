# SPDX-License-Identifier: Apache-2.0
"""A clean copy of the package's sources for builds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# the files that the build reads, and nothing else from the working tree
FOLDERS = ("clip2depth_ros", "cmake", "config", "launch", "msg")
FILES = (
    "CHANGELOG.rst",
    "CMakeLists.txt",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "package.xml",
    "pyproject.toml",
    "setup.py",
)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy of the package's sources without build products; one for all tests of a file."""
    copy = tmp_path_factory.mktemp("sources")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(ROOT / name, copy / name)
    return copy
