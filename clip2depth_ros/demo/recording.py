# SPDX-License-Identifier: Apache-2.0
"""Records messages unchanged into an MCAP file, and reads it back.

The recording is a rosbag2 folder for `ros2 bag play`; Foxglove and rerun open its .mcap file. rosbags writes
and reads it without ROS.
"""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.depth_images import read_depth

HEAD_START = 0.5  # seconds of the budget that are available at the start


@cache
def _typestore() -> Typestore:
    return get_typestore(Stores.ROS2_HUMBLE)  # the messages used here are the same in later distributions


def add_message_type(name: str, definition: str) -> None:
    """Register a message type that is not part of ROS, from the text of its .msg file."""
    if name not in _typestore().types:
        _typestore().register(get_types_from_msg(definition, name))


def prepare(message_types: Iterable[str]) -> None:
    """Generate the decoders of these types in advance, because this takes time."""
    for message_type in set(message_types):
        _typestore().get_msgdef(message_type)


def decode(raw: bytes, message_type: str) -> Any:
    """A message from its serialized bytes; its arrays are views if the byte order allows."""
    return _typestore().deserialize_cdr(raw, message_type)


def stamp_of(raw: bytes) -> int:
    """header.stamp, nanoseconds, of a message that begins with a std_msgs/Header; decodes nothing else."""
    order = "little" if raw[1] & 1 else "big"
    seconds = int.from_bytes(raw[4:8], order, signed=True)
    return seconds * 1_000_000_000 + int.from_bytes(raw[8:12], order)


def depth_of(message: Any) -> np.ndarray:
    """(H, W) float32 meters, NaN = unknown, from a sensor_msgs/Image in either depth encoding of REP 118."""
    if message.encoding not in ("32FC1", "16UC1"):
        raise Clip2DepthError(f"a depth image must be 32FC1 or 16UC1, not '{message.encoding}'")
    return read_depth(message)  # pyright: ignore[reportReturnType]


class Recorder:
    """Writes messages into `folder`/`folder`.mcap; an existing recording is replaced.

    folder: the rosbag2 folder. Raises Clip2DepthError if it contains anything but a recording.
    budget: bytes per second, before compression. Above it, whole frames are left out, so that recording a
    large camera does not slow the node down.
    limit: maximum total bytes; later messages are not recorded.
    """

    def __init__(self, folder: Path, budget: float = 32e6, limit: float = 4e9):
        self.folder = folder
        self.thinned = 0  # frames left out
        self._budget, self._limit = budget, limit
        self._written = 0.0
        self._first: int | None = None  # stamp, nanoseconds
        self._chosen: dict[int, bool] = {}  # by stamp
        self.file = folder / f"{folder.name}.mcap"
        if folder.exists():
            strangers = {p.name for p in folder.iterdir()} - {self.file.name, "metadata.yaml"}
            if strangers:
                raise Clip2DepthError(
                    f"{folder} is the recording folder, but contains '{sorted(strangers)[0]}': move it "
                    "away or choose another output folder"
                )
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._connections: dict[str, Any] = {}
        self._queue: queue.SimpleQueue[tuple[str, str, bytes, int] | None] = queue.SimpleQueue()
        self._failure: Exception | None = None
        # Compression takes milliseconds; it runs in a thread so that the receiver is not blocked.
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def _chooses(self, stamp: int) -> bool:
        """Whether this frame is recorded; the frame's first message decides for all its messages."""
        if stamp not in self._chosen:
            self._first = stamp if self._first is None else self._first
            elapsed = max(0, stamp - self._first) * 1e-9
            allowed = min(self._limit, self._budget * (elapsed + HEAD_START))
            self._chosen[stamp] = self._written <= allowed
            self.thinned += not self._chosen[stamp]
        return self._chosen[stamp]

    def write(self, topic: str, message_type: str, raw: bytes, time: int) -> None:
        """Append a message that begins with a header, if its frame is recorded. time: nanoseconds."""
        if not self._chooses(stamp_of(raw)):
            return
        self._written += len(raw)
        self._queue.put((topic, message_type, raw, time))

    def _run(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                topic, message_type, raw, time = item
                connection = self._connections.get(topic)
                if connection is None:
                    connection = self._writer.add_connection(topic, message_type, typestore=_typestore())
                    self._connections[topic] = connection
                self._writer.write(connection, time, raw)
        except Exception as error:  # close() raises it in the caller's thread
            self._failure = error

    def close(self) -> None:
        """Finish the file and write its index. A recording without messages is removed.

        Raises Clip2DepthError if the messages could not be written.
        """
        self._queue.put(None)
        self._thread.join()
        try:
            self._writer.close()
            if self._failure is not None:
                raise self._failure
            if not self._connections:
                shutil.rmtree(self.folder)
        except OSError as error:
            raise Clip2DepthError(
                f"cannot write the recording {self.file}: {error.strerror or error}"
            ) from error


def read_recording(folder: Path, topics: set[str] | None = None) -> Iterator[tuple[str, int, bytes, str]]:
    """The messages of a recording in order of arrival: (topic, nanoseconds, bytes, message type)."""
    with Reader(folder) as reader:
        wanted = [c for c in reader.connections if topics is None or c.topic in topics]
        for connection, time, raw in reader.messages(connections=wanted) if wanted else ():
            yield connection.topic, time, bytes(raw), connection.msgtype
