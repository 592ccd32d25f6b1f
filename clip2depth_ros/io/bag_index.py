# SPDX-License-Identifier: Apache-2.0
"""The frames of an RGB-D camera in a bag by number: color and depth, joined by time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.camera_bag import IMAGE_TYPES, CameraBag
from clip2depth_ros.io.messages.camera_info import is_calibrated
from clip2depth_ros.io.messages.depth import depth_of, header_stamp
from clip2depth_ros.io.messages.images import ImageCodec
from clip2depth_ros.io.tum import match_times


@dataclass(frozen=True, slots=True)
class MessagePlace:
    """Where a message is: its topic, its time of recording and its own stamp, nanoseconds."""

    topic: str
    recorded: int
    stamp: int


class BagIndex:
    """A bag that is read in any order. Each process that gets a pickled copy opens the bag for itself.

    topic, depth_topic: see CameraBag. Raises Clip2DepthError, which names the bag, for missing topics and
    for a bag without camera_info.
    """

    def __init__(self, path: Path, topic: str | None, depth_topic: str | None) -> None:
        self.path = path
        self.topic = topic
        self._bag: CameraBag | None = None
        self._process = 0
        self._codec = ImageCodec()
        bag = self._opened()
        self.topic = bag.topic
        self.depth_topic = bag.choose_depth(depth_topic)
        self._cameras: dict[tuple[int, int], Camera] = {}
        self._first_info()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_bag": None, "_codec": ImageCodec()}

    def pairs(self, tolerance: float) -> list[tuple[int, MessagePlace, MessagePlace]]:
        """Number, color and depth message of every color image that has a depth, in the order of stamps.

        tolerance: seconds between a color image and its depth at most.
        """
        colors, depths = self._places(self.topic), self._places(self.depth_topic)
        first, second = (np.array([place.stamp * 1e-9 for place in found]) for found in (colors, depths))
        matched = match_times(first, second, tolerance)
        if not matched:
            raise Clip2DepthError(
                f"{self.path}: no image on {self.topic} has a depth image on {self.depth_topic} within "
                f"{tolerance:g} s; give another tolerance or depth_topic."
            )
        return [(i, colors[i], depths[j]) for i, j in matched]

    def read(self, number: int, color: MessagePlace, depth: MessagePlace) -> Frame:
        """The frame of a pair; its image and depth may differ in size."""
        try:
            image = self._codec.decode(self._message(color)).copy()
        except Clip2DepthError as error:
            raise Clip2DepthError(f"{self.path}, {self.topic} at {color.stamp} ns: {error}") from None
        return Frame(
            image,
            color.stamp,
            "camera",
            self._camera(image.shape[1], image.shape[0]),
            f"{self.path.name}/{number:06d}",
            self._depth(depth),
        )

    def _depth(self, place: MessagePlace) -> np.ndarray:
        """(H, W) float32 meters, NaN unknown."""
        message = self._message(place)
        try:
            depth = depth_of(message)
        except Clip2DepthError as error:
            raise Clip2DepthError(f"{self.path}, {self.depth_topic} at {place.stamp} ns: {error}") from None
        if depth is None:
            kind = getattr(message, "format", None) or message.encoding
            raise Clip2DepthError(
                f"{self.path}, {self.depth_topic}: '{printable(kind)}' is no depth image; 16UC1, 32FC1 and "
                "their compressedDepth are."
            )
        return depth

    def _camera(self, width: int, height: int) -> Camera:
        """The camera of the color images, width x height pixels, by the first camera_info."""
        if (width, height) not in self._cameras:
            info = self._first_info()
            if not is_calibrated(info):
                raise Clip2DepthError(
                    f"{self.path}: the camera_info on {self._opened().info_topic} is not calibrated (K is "
                    "zero); calibrate the camera and record again."
                )
            self._cameras[width, height] = self._opened().camera(info, width, height)
        return self._cameras[width, height]

    def _opened(self) -> CameraBag:
        """The bag, opened by this process."""
        if self._bag is None or self._process != os.getpid():
            self._bag = CameraBag(self.path, self.topic)
            self._process = os.getpid()
        return self._bag

    def _places(self, topic: str) -> list[MessagePlace]:
        """All messages of an image topic, in the order of their stamps; reads the whole bag once."""
        bag = self._opened()
        found = [
            MessagePlace(topic, recorded, header_stamp(raw))
            for _, recorded, raw in bag.file.messages(bag.connections(topic, *IMAGE_TYPES))
        ]
        return sorted(found, key=lambda place: place.stamp)

    def _message(self, place: MessagePlace) -> Any:
        bag = self._opened()
        connections = bag.connections(place.topic, *IMAGE_TYPES)
        at = place.recorded
        for connection, _, raw in bag.file.messages(connections, start=at, stop=at + 1):
            if header_stamp(raw) == place.stamp:
                return bag.file.deserialize(raw, connection)
        raise Clip2DepthError(f"{self.path} has changed since it was opened: open it again.")

    def _first_info(self) -> Any:
        """The first camera_info. Not kept, because the classes of messages cannot be pickled."""
        info = self._opened().first_info()
        if info is None:
            raise Clip2DepthError(f"{self.path} has no camera_info on {self._opened().info_topic}.")
        return info
