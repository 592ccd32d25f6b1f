# SPDX-License-Identifier: Apache-2.0
"""rosbags' reader with clear errors; a recording that was cut off is read up to the cut."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import load_yaml, reading, reason_of

log = logging.getLogger(__name__)

BAG_SUFFIXES = (".mcap", ".db3")

_MAGIC = b"\x89MCAP0\r\n"
# The end of a complete file: a footer record without a summary, and the magic.
_END = b"\x02" + struct.pack("<QQQI", 20, 0, 0, 0) + _MAGIC
_MESSAGE_LIMIT = 2**31  # bytes of one record, a chunk of many messages included
_RATIO_LIMIT = 200  # of a bag compressed as a whole file: camera recordings shrink to about a third
_UNPACKED_LIMIT = 2**28  # bytes of one compressed chunk or message: a few KB can unpack to gigabytes


def is_bag(path: Path) -> bool:
    """Whether `path` is a rosbag2 recording; one whose recorder was killed has no metadata.yaml."""
    return path.suffix in BAG_SUFFIXES or (path / "metadata.yaml").is_file() or bool(_storage_files(path))


class BagFile:
    """An open rosbag2 recording: connections, messages and their content.

    Raises Clip2DepthError, which names the bag, for every fault of the bag, and where rosbags is missing.
    """

    def __init__(self, path: Path) -> None:
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError:
            raise Clip2DepthError(
                f"The bag {path} cannot be read without rosbags: pip install rosbags."
            ) from None
        _bound_unpacking()
        self.path = path
        self._closed = False
        with reading(f"The bag {path}"):
            if (path / "metadata.yaml").is_file():
                load_yaml(path / "metadata.yaml")  # checks its size and its aliases before rosbags reads it
                files = [path]
            elif path.is_dir():
                files = _storage_files(path)
                log.warning("The bag %s has no metadata.yaml; its files are read one by one.", path)
            else:
                files = [path]
            for file in files if files != [path] or path.is_file() else _storage_files(path):
                if not file.is_file():
                    raise Clip2DepthError(f"The bag {path} cannot be read: {file} is not a regular file.")
            self._reader = AnyReader(
                [_Mended(file) for file in files], default_typestore=get_typestore(Stores.ROS2_HUMBLE)
            )
            self._reader.open()

    @property
    def connections(self) -> list:
        return self._reader.connections

    @property
    def seconds(self) -> float:
        """Between the first and the last message."""
        with reading(f"The bag {self.path}"):
            return self._reader.duration / 1e9

    def messages(self, connections: list, **limits: int) -> Iterator[tuple[Any, int, bytes]]:
        """(connection, time of recording, raw message), in the order of recording.

        A damaged recording ends there, with a warning. Raises Clip2DepthError where no message can be read.
        """
        count = 0
        try:
            for message in self._reader.messages(connections, **limits):
                yield message
                count += 1
        except (Clip2DepthError, GeneratorExit):
            raise
        except Exception as error:
            if not count:
                raise Clip2DepthError(f"The bag {self.path} cannot be read: {reason_of(error)}.") from error
            log.warning(
                "The bag %s is damaged after %d messages (%s); the rest is left out.",
                self.path,
                count,
                reason_of(error),
            )

    def deserialize(self, raw: bytes, connection: Any) -> Any:
        """The message. Raises Clip2DepthError for a message that does not match its type."""
        with reading(f"A message on {connection.topic} of the bag {self.path}"):
            return self._reader.deserialize(raw, connection.msgtype)

    def close(self) -> None:
        """Closing twice is allowed."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(Exception):
                self._reader.close()


def _storage_files(path: Path) -> list[Path]:
    """The files of a bag's folder in the order of recording; of two storages, the one with more files."""
    from clip2depth_ros.io.images import natural_key

    try:
        found = [[p for p in path.glob(f"*{suffix}") if p.is_file()] for suffix in BAG_SUFFIXES]
    except OSError:
        return []
    return sorted(max(found, key=len), key=natural_key)


def _bound_unpacking() -> None:
    """Limit what rosbags unpacks, which has no limit of its own.

    A chunk or a message: _UNPACKED_LIMIT. A whole file: _RATIO_LIMIT times its size, and the free space of
    the temporary folder.
    """
    from lz4.frame import LZ4FrameDecompressor
    from rosbags.rosbag2 import reader, storage_mcap

    def bounded(new: Any) -> Any:
        def unpack(packed: bytes, size: int = _UNPACKED_LIMIT) -> bytes:
            if size > _UNPACKED_LIMIT:
                raise ValueError(f"{size} bytes in a chunk, the limit is {_UNPACKED_LIMIT}")
            unpacker = new()
            content = unpacker.decompress(packed, max_length=size)
            if not unpacker.eof and unpacker.decompress(b"", max_length=1):
                raise ValueError(f"it unpacks to more than {size} bytes")
            return content

        return unpack

    zstd = bounded(storage_mcap.zstd.ZstdDecompressor)
    storage_mcap.DECOMPRESSORS.update(lz4=bounded(LZ4FrameDecompressor), zstd=zstd)
    reader.zstd = SimpleNamespace(decompress=zstd, open=_Unpacked)


class _Unpacked(contextlib.AbstractContextManager):
    """A compressed file's content; replaces zstd.open(file, "rb")."""

    def __init__(self, packed: io.BufferedReader, _mode: str = "rb") -> None:
        from rosbags.rosbag2 import storage_mcap

        size = os.fstat(packed.fileno()).st_size
        free = shutil.disk_usage(tempfile.gettempdir()).free
        self._left = self._limit = min(_RATIO_LIMIT * size + _UNPACKED_LIMIT, free)
        self._content = storage_mcap.zstd.open(packed, "rb")

    def read(self, size: int) -> bytes:
        content = self._content.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {self._limit} bytes")
        return content

    def __exit__(self, *_: object) -> None:
        self._content.close()


class _Mended(type(Path())):
    """A path that opens a truncated .mcap file (its recorder was killed) as complete up to the last whole
    record."""

    def open(self, mode: str = "r", *arguments, **options):
        if self.suffix != ".mcap" or mode != "rb":
            return super().open(mode, *arguments, **options)
        file = super().open("rb")
        try:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - len(_MAGIC)))
            if file.read() == _MAGIC or size < len(_MAGIC):
                file.seek(0)
                return file
            file.seek(0)
            if file.read(len(_MAGIC)) != _MAGIC:
                file.seek(0)
                return file
            end = _last_record(file, size)
        except BaseException:
            file.close()
            raise
        log.warning("%s was cut off; it is read up to byte %d of %d.", self, end, size)
        return io.BufferedReader(_Ended(file, end))


def _last_record(file: io.BufferedReader, size: int) -> int:
    """Byte offset of the end of the last whole record."""
    end = file.tell()
    while True:
        file.seek(end)
        head = file.read(9)
        if len(head) < 9 or head[0] in (0x02, 0x0F):  # footer, end of the data
            return end
        length = struct.unpack("<Q", head[1:])[0]
        if head[0] == 0 or length > _MESSAGE_LIMIT or end + 9 + length > size:
            return end
        end += 9 + length


class _Ended(io.RawIOBase):
    """A file up to byte `end`, followed by _END."""

    def __init__(self, file: io.BufferedReader, end: int) -> None:
        self._file, self._end, self._at = file, end, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end + len(_END)}[whence]
        if begin + offset < 0:
            raise ValueError(f"negative seek position {begin + offset}")
        self._at = begin + offset
        return self._at

    def readinto(self, buffer) -> int:
        if self._at < self._end:
            self._file.seek(self._at)
            content = self._file.read(min(len(buffer), self._end - self._at))
        else:
            content = _END[self._at - self._end :][: len(buffer)]
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()
