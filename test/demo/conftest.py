# SPDX-License-Identifier: Apache-2.0
"""Serialized messages without ROS, and a check for remaining processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from clip2depth_ros.demo.recording import add_message_type

QUALITY = "clip2depth_ros/msg/DepthQuality"


class Wire:
    """Creates messages as they are sent over DDS: CDR bytes, and the name of the message type."""

    def __init__(self) -> None:
        self.store = get_typestore(Stores.ROS2_HUMBLE)
        definition = Path(__file__).resolve().parents[2].joinpath("msg", "DepthQuality.msg").read_text()
        self.store.register(get_types_from_msg(definition, QUALITY))
        add_message_type(QUALITY, definition)

    def message(self, message_type: str, **fields):
        return self.store.types[message_type](**fields)

    def header(self, stamp: int):
        time = self.message("builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
        return self.message("std_msgs/msg/Header", stamp=time, frame_id="camera")

    def image_message(self, stamp: int, picture: np.ndarray, encoding: str, **changes):
        picture = np.ascontiguousarray(picture)
        fields = dict(
            header=self.header(stamp),
            height=picture.shape[0],
            width=picture.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=picture.strides[0],
            data=picture.reshape(-1).view(np.uint8),
        )
        return self.message("sensor_msgs/msg/Image", **(fields | changes))

    def image(self, stamp: int, picture: np.ndarray, encoding: str) -> tuple[str, bytes]:
        return self.encode(self.image_message(stamp, picture, encoding))

    def quality(self, stamp: int, **changes) -> tuple[str, bytes]:
        values = {"float": 0.25, "int": 3, "bool": False, "str": ""}
        types = self.store.types[QUALITY].__dataclass_fields__
        fields: dict = {name: values[field.type] for name, field in types.items() if field.type in values}
        fields |= {"header": self.header(stamp), "engine": "openvino", "bundle": "tiny"}
        fields["engine_choice"] = ["openvino fp32: chosen"]
        return self.encode(self.message(QUALITY, **(fields | changes)))

    def encode(self, message, little_endian: bool = True) -> tuple[str, bytes]:
        raw = self.store.serialize_cdr(message, message.__msgtype__, little_endian=little_endian)
        return message.__msgtype__, bytes(raw)


@pytest.fixture(scope="session")
def wire() -> Wire:
    return Wire()


def processes_with(text: str) -> list[int]:
    """Ids of the processes that have `text` in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environ = (folder / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in environ:
                found.append(int(folder.name))
    return found


@pytest.fixture
def left_behind():
    """Function: the ids of the processes whose environment names a folder."""
    return lambda folder: processes_with(str(folder))
