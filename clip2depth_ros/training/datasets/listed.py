# SPDX-License-Identifier: Apache-2.0
"""File lists as published with the benchmarks: a line names an image, its depth and a focal length.

The focal length is not used: the data sets' calibrations say more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.sources.images import read_image


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list, paths from its root. depth: None where the list says that there is none."""

    image: str
    depth: str | None


def read_list(path: Path, source: str) -> list[Entry]:
    """The entries of a list file. Raises Clip2DepthError, which names `source`, where the data come from."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = "There is no list file" if not path.is_file() else f"Cannot read ({error})"
        raise Clip2DepthError(f"{what} {path}; {source}") from None
    entries = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if not 2 <= len(words) <= 3:
            raise Clip2DepthError(
                f"{path}, line {number}: a line takes an image, a depth image and a focal length, not "
                f"'{line}'."
            )
        # Some lists begin their paths with a slash; all of them are meant from the root.
        image, depth = (word.lstrip("/") for word in words[:2])
        entries.append(Entry(image, None if depth == "None" else depth))
    if not entries:
        raise Clip2DepthError(f"The list file {path} is empty; {source}")
    return entries


def find_list(name: str, root: Path, source: str) -> Path:
    """The list file `name`: a path, or a file in `root`. Raises Clip2DepthError where there is none."""
    for path in (Path(name).expanduser(), root / name):
        if path.is_file():
            return path
    raise Clip2DepthError(f"There is no list file {name}, here or in {root}; {source}")


def read_colour(path: Path, source: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB, raising Clip2DepthError with the file's name and its `source`."""
    image = read_image(path)
    if image is None:
        there = "is no image that can be read" if path.is_file() else "is missing"
        raise Clip2DepthError(f"The image {path} {there}; {source}")
    return image
