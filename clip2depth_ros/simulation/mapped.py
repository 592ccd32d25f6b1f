# SPDX-License-Identifier: Apache-2.0
"""Memory-mapped shards: the file stays on disk, and all reading processes share the page cache."""

from __future__ import annotations

import math
import os
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import reason_of

_LARGE = ("image", "depth")
_SMALL = ("fx", "caption", "pose", "stamp")


class MappedShard:
    """A shard's arrays as attributes: image and depth memory-mapped, the small arrays in memory.

    image (N, H, W, 3) uint8, depth (N, H, W) uint16, fx (N,), caption (N,); pose (N, 4, 4) and stamp (N,), or
    None in a shard without drives. Raises Clip2DepthError if the file is missing or not a shard.
    """

    image: np.ndarray
    depth: np.ndarray
    fx: np.ndarray
    caption: np.ndarray
    pose: np.ndarray | None
    stamp: np.ndarray | None

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with ZipFile(path) as archive, open(path, "rb") as stream:
                for name in _LARGE:
                    setattr(self, name, _map(path, stream, archive.getinfo(f"{name}.npy")))
            check_arrays(path)
            with np.load(path, allow_pickle=False) as stored:
                for name in _SMALL:
                    setattr(self, name, stored.get(name))
            if not len(self.image) == len(self.depth) == len(self.fx) == len(self.caption):
                raise ValueError("its arrays are of different lengths")
        except Exception as error:  # zipfile, zlib and numpy raise different classes
            raise Clip2DepthError(
                f"{path} is not a readable shard ({reason_of(error)}); delete it and render again."
            ) from error

    def __len__(self) -> int:
        return len(self.fx)


def check_arrays(path: Path) -> None:
    """Raise ValueError if an array of an .npz is compressed or would be larger than the file."""
    if not path.is_file():
        raise ValueError("it is missing or no regular file")
    size = os.path.getsize(path)
    with ZipFile(path) as archive:
        for info in archive.infolist():
            if info.compress_type or info.file_size > size:
                raise ValueError(f"{info.filename} is compressed or cut short")
            with archive.open(info) as stream:
                shape, _, kind = _header(stream)
            if math.prod(shape) * kind.itemsize > size:
                raise ValueError(f"{info.filename} is cut short")


def _header(stream) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the order is Fortran, and dtype of the .npy that begins here."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


def _map(path: Path, stream, info) -> np.memmap:
    """The array of an uncompressed member of an .npz, memory-mapped."""
    if info.compress_type:
        raise ValueError("it is compressed")
    # Name and extra field of the local header may differ in length from those in the directory.
    stream.seek(info.header_offset + 26)
    name, extra = (int.from_bytes(stream.read(2), "little") for _ in range(2))
    stream.seek(info.header_offset + 30 + name + extra)
    shape, columns_first, kind = _header(stream)
    if columns_first or stream.tell() + math.prod(shape) * kind.itemsize > os.path.getsize(path):
        raise ValueError("an array is cut short or stored by columns")
    return np.memmap(path, kind, "r", stream.tell(), shape)
