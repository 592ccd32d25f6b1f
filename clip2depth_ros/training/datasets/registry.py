# SPDX-License-Identifier: Apache-2.0
"""The kinds of data sets, and how an entry of a configuration opens one."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.settings import read_entries
from clip2depth_ros.training.datasets.base import DataSet
from clip2depth_ros.training.datasets.kitti import Kitti
from clip2depth_ros.training.datasets.nyu_labelled import NyuLabelled
from clip2depth_ros.training.datasets.nyu_raw import NyuRaw
from clip2depth_ros.training.datasets.rgbd import RgbdFolders
from clip2depth_ros.training.datasets.rosbag import RosBags
from clip2depth_ros.training.datasets.simulation import SimulatedDrives, SimulatedViews
from clip2depth_ros.training.datasets.tum import Tum


@dataclass(frozen=True)
class Kind:
    """The class of a kind of data set; an entry's keys are the arguments of its constructor."""

    reader: type[DataSet]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that the kind sets, which are not keys of an entry."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Key by argument, where the two differ."""

    def arguments(self) -> dict[str, inspect.Parameter]:
        """The reader's argument for each key that an entry may have."""
        return {
            self.keys.get(name, name): parameter
            for name, parameter in inspect.signature(self.reader).parameters.items()
            if name not in self.fixed and name != "cache"
        }


def _views(what: str, scene: str, scenes: str) -> Kind:
    """Simulated views of one kind of scene, which an entry calls by its own names."""
    keys = {
        "scenes": scenes,
        "validation_scenes": f"validation_{scenes}",
        "views_per_scene": f"views_per_{scene}",
    }
    return Kind(SimulatedViews, {"what": what}, keys)


KINDS = {
    "nyu_labelled": Kind(NyuLabelled),
    "nyu_raw": Kind(NyuRaw),
    "kitti": Kind(Kitti),
    "tum": Kind(Tum),
    "rgbd": Kind(RgbdFolders),
    "rosbag": Kind(RosBags),
    "rooms": _views("rooms", "room", "rooms"),
    "places": _views("places", "place", "places"),
    "near": _views("near", "scene", "scenes"),
    "drives": Kind(SimulatedDrives),
}

_FOR_OTHERS = ("kind", "weight")  # keys that are not the reader's
_FOLDERS = ("root", "depth_root")  # keys that may be below the folder of all data


def open_data_set(entry: Mapping, *, cache: Path | None = None) -> DataSet:
    """Open the data set of `entry`: `kind`, and the keys of that kind.

    cache: folder for rendered views, ~/.cache/clip2depth where None. `weight` is for the
    mixing of data sets and is ignored here. Raises Clip2DepthError for an unknown kind or key, and for data
    that are missing or wrong.
    """
    if not isinstance(entry, Mapping):
        raise Clip2DepthError(f"A data set is a mapping with a kind, not {printable(repr(entry))}.")
    kind = entry.get("kind")
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise Clip2DepthError(f"There is no data set of kind {printable(repr(kind))}; there are {known}.")
    reader, arguments = KINDS[kind].reader, KINDS[kind].arguments()
    hints = typing.get_type_hints(reader.__init__)
    entries = read_entries(
        {key: value for key, value in entry.items() if key not in _FOR_OTHERS},
        {key: hints[argument.name] for key, argument in arguments.items()},
        [key for key, argument in arguments.items() if argument.default is inspect.Parameter.empty],
        f"A data set of kind {kind}",
    )
    given = dict(KINDS[kind].fixed) | {arguments[key].name: value for key, value in entries.items()}
    if "cache" in hints and cache is not None:
        given["cache"] = cache
    return reader(**given)


def below(entry: Mapping, root: Path | None) -> dict:
    """A data set's entry with its folders below `root`, where they are not absolute; None changes nothing."""
    if root is None:
        return dict(entry)
    given = {name: entry[name] for name in _FOLDERS if isinstance(entry.get(name), str)}
    return dict(entry) | {name: str(root / Path(folder).expanduser()) for name, folder in given.items()}
