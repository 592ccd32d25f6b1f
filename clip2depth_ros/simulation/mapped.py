# SPDX-License-Identifier: Apache-2.0
"""Shards read by the frame: the file stays on disk, and processes that read it share the system's memory."""

from __future__ import annotations

import os
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from clip2depth_ros.errors import Clip2DepthError

_LARGE = ("image", "depth")
_SMALL = ("fx", "caption", "pose", "stamp")


class MappedShard:
    """A shard's arrays as attributes: image and depth as maps of the file, the small ones in memory.

    image (N, H, W, 3) uint8, depth (N, H, W) uint16, fx (N,), caption (N,); pose (N, 4, 4) and stamp (N,), or
    None in a shard without drives. Raises Clip2DepthError where the file is missing or no shard.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with ZipFile(path) as archive, open(path, "rb") as stream:
                for name in _LARGE:
                    setattr(self, name, _map(path, stream, archive.getinfo(f"{name}.npy")))
            with np.load(path, allow_pickle=False) as stored:
                for name in _SMALL:
                    setattr(self, name, stored.get(name))
            if not len(self.image) == len(self.depth) == len(self.fx) == len(self.caption):
                raise ValueError("its arrays are of different lengths")
        except (OSError, KeyError, TypeError, ValueError, EOFError, BadZipFile) as reason:
            raise Clip2DepthError(
                f"{path} is not a readable shard ({reason}); delete it and render again."
            ) from reason

    def __len__(self) -> int:
        return len(self.fx)


def _map(path: Path, stream, info) -> np.memmap:
    """The array of an uncompressed member of an .npz, mapped."""
    if info.compress_type:
        raise ValueError("it is compressed")
    # The local header's name and extra field may differ in length from the directory's.
    stream.seek(info.header_offset + 26)
    name, extra = (int.from_bytes(stream.read(2), "little") for _ in range(2))
    stream.seek(info.header_offset + 30 + name + extra)
    version = np.lib.format.read_magic(stream)
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, columns_first, kind = read_header(stream)
    if columns_first or stream.tell() + int(np.prod(shape)) * kind.itemsize > os.path.getsize(path):
        raise ValueError("an array is cut short or stored by columns")
    return np.memmap(path, kind, "r", stream.tell(), shape)
