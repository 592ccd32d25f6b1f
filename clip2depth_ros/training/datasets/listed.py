# SPDX-License-Identifier: Apache-2.0
"""File lists as published with the benchmarks: a line names an image, its depth and a focal length.

The focal length is not used, because the calibrations of the data sets are more precise.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.files.bounded import MAX_TABLE, read_bounded, reading
from clip2depth_ros.training.datasets.base import DataSet, Succession
from clip2depth_ros.training.datasets.splits import check_split, split_frames


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list, paths from its root. depth: None where the list says that there is none."""

    image: str
    depth: str | None


class ListedFrames(DataSet):
    """The frames of a list in their split. Lines without depth are left out.

    lists: the usual list file of each split. list: a path, or a file in the root, instead of the usual one.
    Validation frames are those of a `validation_share` of the list's groups. source: where the data come
    from, for the errors. A subclass defines scenes and recordings (:meth:`_group`, :meth:`_place`).
    """

    def __init__(
        self,
        kind: str,
        root: Path,
        split: str,
        list: str | None,
        lists: dict[str, str],
        validation_share: float,
        seed: int,
        source: str,
    ) -> None:
        check_split(kind, split, official_test=True)
        self.name = f"{kind} {split} of {root}"
        self._root = root
        path = find_list(list or lists[split], root, source)
        entries = [entry for entry in read_list(path, source) if entry.depth is not None]
        groups = [self._group(entry.image, path) for entry in entries]
        chosen = split_frames(groups, split, validation_share, seed, str(path))
        self._entries = [entries[i] for i in chosen]
        self._succession = Succession([self._place(entry.image) for entry in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    def following(self, index: int) -> int | None:
        return self._succession.after(index)

    @abstractmethod
    def _group(self, image: str, path: Path) -> str:
        """The scene or drive of an image, which goes into one split as a whole; `path` is the list's."""

    @abstractmethod
    def _place(self, image: str) -> tuple[str, int]:
        """The recording that an image is part of, and its number there."""


def read_list(path: Path, source: str) -> list[Entry]:
    """The entries of a list file. Raises Clip2DepthError, which names `source`, where the data come from."""
    if not path.is_file():
        raise Clip2DepthError(f"There is no list file {path}; {source}")
    with reading(path):
        lines = read_bounded(path, MAX_TABLE).decode().splitlines()
    entries = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if not 2 <= len(words) <= 3:
            raise Clip2DepthError(
                f"{path}, line {number}: a line takes an image, a depth image and a focal length, not "
                f"'{printable(line)}'."
            )
        # Some lists begin their paths with a slash; all paths are relative to the root.
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
