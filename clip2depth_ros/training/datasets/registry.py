# SPDX-License-Identifier: Apache-2.0
"""From an entry of a configuration to the data set that it describes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.settings import read_entries
from clip2depth_ros.training.datasets.base import DataSet
from clip2depth_ros.training.datasets.kitti import Kitti
from clip2depth_ros.training.datasets.nyu_labelled import NyuLabelled
from clip2depth_ros.training.datasets.nyu_raw import NyuRaw
from clip2depth_ros.training.datasets.rgbd import RgbdFolders
from clip2depth_ros.training.datasets.rosbag import RosBags
from clip2depth_ros.training.datasets.simulation import (
    SimulatedDrives,
    SimulatedNear,
    SimulatedPlaces,
    SimulatedRooms,
)
from clip2depth_ros.training.datasets.tum import Tum

KINDS: dict[str, type[DataSet]] = {
    "nyu_labelled": NyuLabelled,
    "nyu_raw": NyuRaw,
    "kitti": Kitti,
    "tum": Tum,
    "rgbd": RgbdFolders,
    "rosbag": RosBags,
    "rooms": SimulatedRooms,
    "places": SimulatedPlaces,
    "near": SimulatedNear,
    "drives": SimulatedDrives,
}

_FOR_OTHERS = ("kind", "weight")  # entries that are not the reader's
_FOLDERS = ("root", "depth_root")  # entries that may be below the folder of all data


def open_data_set(entry: Mapping, *, cache: Path | None = None) -> DataSet:
    """Open what `entry` describes: `kind`, and the arguments of that kind's reader.

    cache: folder for rendered views, ~/.cache/clip2depth where None. `weight` is for whoever mixes data sets.
    Raises Clip2DepthError for an unknown kind or argument, and for data that are missing or wrong.
    """
    if not isinstance(entry, Mapping):
        raise Clip2DepthError(f"A data set is a mapping with a kind, not {printable(repr(entry))}.")
    kind = entry.get("kind")
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise Clip2DepthError(f"There is no data set of kind {printable(repr(kind))}; there are {known}.")
    reader = KINDS[kind]
    arguments = {n: p for n, p in inspect.signature(reader).parameters.items() if n != "cache"}
    hints = typing.get_type_hints(reader.__init__)
    given = read_entries(
        {key: value for key, value in entry.items() if key not in _FOR_OTHERS},
        {key: hints[key] for key in arguments},
        [key for key, argument in arguments.items() if argument.default is inspect.Parameter.empty],
        f"A data set of kind {kind}",
    )
    if cache is not None and "cache" in hints:
        given["cache"] = cache
    return reader(**given)


def below(entry: Mapping, root: Path | None) -> dict:
    """A data set's entry with its folders below `root`, where they are not absolute; None changes nothing."""
    if root is None:
        return dict(entry)
    given = {name: entry[name] for name in _FOLDERS if isinstance(entry.get(name), str)}
    return dict(entry) | {name: str(root / Path(folder).expanduser()) for name, folder in given.items()}
