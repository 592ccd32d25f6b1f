# SPDX-License-Identifier: Apache-2.0
"""rosbag2 recordings of an RGB-D camera: colour, depth and camera_info, joined by time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.images.depth_images import read_depth
from clip2depth_ros.io.bag import IMAGE_TYPES, INFO_TYPE, BagSource, camera_info_topic
from clip2depth_ros.io.bag_file import BagFile, is_bag
from clip2depth_ros.io.messages.camera_info import camera_from_info, is_calibrated
from clip2depth_ros.io.messages.images import ImageCodec
from clip2depth_ros.io.tum import match_times
from clip2depth_ros.training.datasets.bag_messages import header_stamp, read_compressed_depth
from clip2depth_ros.training.datasets.base import (
    DataSet,
    Rectification,
    Sample,
    Succession,
    check_sizes,
    frame_numbers,
)
from clip2depth_ros.training.datasets.splits import check_split, split_frames

SOURCE = (
    "record colour, depth registered to it, and its camera_info: ros2 bag record COLOUR DEPTH CAMERA_INFO; "
    "docs/datasets.md shows it."
)
LONGEST_PAUSE = 0.2  # seconds between frames that still follow each other


@dataclass(frozen=True, slots=True)
class _Message:
    """Where a message is: its connection's topic, when it was recorded, and its own stamp, nanoseconds."""

    topic: str
    recorded: int
    stamp: int


class RosBags(DataSet):
    """One bag (a folder, .mcap or .db3), or all bags in a folder.

    topic: of colour images, raw or compressed; None takes the only camera. depth_topic: of depth images
    registered to the colour image (16UC1, 32FC1, or compressedDepth); None takes the only topic with "depth"
    in its name. tolerance: seconds between a colour image and its depth at most. every: keep every n-th
    frame. Images and depth are rectified where camera_info says that they are distorted. Validation takes
    whole bags, or the end of a single one.
    """

    def __init__(
        self,
        root: Path,
        split: str = "train",
        topic: str | None = None,
        depth_topic: str | None = None,
        tolerance: float = 0.02,
        every: int = 1,
        validation_share: float = 0.1,
        seed: int = 0,
    ) -> None:
        check_split("rosbag", split, official_test=False)
        if every < 1:
            raise Clip2DepthError(f"rosbag: every must be at least 1, it is {every}.")
        self.name = f"rosbag {split} of {root}"
        self._rectification = Rectification()
        bags = [_Bag(path, topic, depth_topic) for path in _find_bags(root)]
        frames = [(bag, *frame) for bag in bags for frame in bag.frames(tolerance)[::every]]
        names = [str(bag.path) for bag, *_ in frames]
        chosen = split_frames(names, split, validation_share, seed, str(root))
        self._frames = [frames[i] for i in chosen]
        pause = LONGEST_PAUSE * every
        places = []
        for bag in bags:
            stamps = np.array([colour.stamp * 1e-9 for one, _, colour, _ in self._frames if one is bag])
            places += [(str(bag.path), int(number)) for number in frame_numbers(stamps, pause)]
        self._succession = Succession(places)

    def __len__(self) -> int:
        return len(self._frames)

    def following(self, index: int) -> int | None:
        return self._succession.after(index)

    def __getitem__(self, index: int) -> Sample:
        bag, number, colour, depth_message = self._frames[index]
        image, depth = bag.image(colour), bag.depth(depth_message)
        camera = bag.camera(image.shape[1], image.shape[0])
        check_sizes(image, depth, camera, f"{bag.path}, {bag.topic} and {bag.depth_topic}")
        image, depth, camera = self._rectification(image, depth, camera)
        return Sample(image, depth, camera, f"{bag.path.name}/{number:06d}", stamp=colour.stamp)


def _find_bags(root: Path) -> list[Path]:
    if is_bag(root):
        return [root]
    bags = sorted(p for p in root.iterdir() if is_bag(p)) if root.is_dir() else []
    if not bags:
        raise Clip2DepthError(f"There is no rosbag2 recording at {root}; {SOURCE}")
    return bags


class _Bag:
    """One bag, opened again by every process that reads it."""

    def __init__(self, path: Path, topic: str | None, depth_topic: str | None) -> None:
        self.path = path
        with BagSource(path, topic=topic) as source:
            self.topic = source.topic
        self._reader, self._process = None, 0
        self._codec = ImageCodec()
        connections = self._opened().connections
        self.depth_topic = self._choose_depth(connections, depth_topic)
        kind = next(c.msgtype for c in connections if c.topic == self.topic)
        self._info_topic = camera_info_topic(self.topic, kind)
        self._cameras: dict[tuple[int, int], Camera] = {}
        self._info()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_reader": None, "_codec": ImageCodec()}

    def frames(self, tolerance: float) -> list[tuple[int, _Message, _Message]]:
        """Number, colour and depth message of every colour image that has a depth, in the order of stamps."""
        colours, depths = self._index(self.topic), self._index(self.depth_topic)
        seconds = [np.array([m.stamp * 1e-9 for m in found]) for found in (colours, depths)]
        pairs = match_times(*seconds, tolerance)
        if not pairs:
            raise Clip2DepthError(
                f"{self.path}: no image on {self.topic} has a depth image on {self.depth_topic} within "
                f"{tolerance:g} s; give another tolerance or depth_topic."
            )
        return [(i, colours[i], depths[j]) for i, j in pairs]

    def image(self, message: _Message) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        try:
            return self._codec.decode(self._read(message)).copy()
        except Clip2DepthError as error:
            raise Clip2DepthError(f"{self.path}, {self.topic} at {message.stamp} ns: {error}") from None

    def depth(self, message: _Message) -> np.ndarray:
        """(H, W) float32 metres, NaN unknown."""
        found = self._read(message)
        try:
            depth = read_compressed_depth(found) if hasattr(found, "format") else read_depth(found)
        except Clip2DepthError as error:
            raise Clip2DepthError(f"{self.path}, {self.depth_topic} at {message.stamp} ns: {error}") from None
        if depth is None:
            kind = getattr(found, "format", None) or found.encoding
            raise Clip2DepthError(
                f"{self.path}, {self.depth_topic}: '{printable(kind)}' is no depth image; 16UC1, 32FC1 and "
                "their compressedDepth are."
            )
        return depth

    def camera(self, width: int, height: int) -> Camera:
        """The camera of the colour images, which are width x height, by the first camera_info."""
        if (width, height) not in self._cameras:
            rectified = "rect" in self.topic.rsplit("/", 1)[-1]
            info = self._info()
            if not is_calibrated(info):
                raise Clip2DepthError(
                    f"{self.path}: the camera_info on {self._info_topic} is not calibrated (K is zero); "
                    "calibrate the camera and record again."
                )
            try:
                camera = camera_from_info(info, width, height, rectified=rectified)
            except Clip2DepthError as error:
                raise Clip2DepthError(f"{self.path}, {self._info_topic}: {error}") from None
            self._cameras[width, height] = camera
        return self._cameras[width, height]

    def _opened(self):
        """The reader, opened by this process."""
        if self._reader is None or self._process != os.getpid():
            self._reader = BagFile(self.path)
            self._process = os.getpid()
        return self._reader

    def _connections(self, topic: str) -> list:
        return [c for c in self._opened().connections if c.topic == topic]

    def _index(self, topic: str) -> list[_Message]:
        """All messages of a topic, in the order of their stamps; reads the bag once from end to end."""
        found = [
            _Message(topic, recorded, header_stamp(raw))
            for _, recorded, raw in self._opened().messages(self._connections(topic))
        ]
        return sorted(found, key=lambda message: message.stamp)

    def _read(self, message: _Message):
        reader = self._opened()
        connections = self._connections(message.topic)
        at = message.recorded
        for connection, _, raw in reader.messages(connections, start=at, stop=at + 1):
            if header_stamp(raw) == message.stamp:
                return reader.deserialize(raw, connection)
        raise Clip2DepthError(f"{self.path} has changed since it was opened: open it again.")

    def _info(self):
        """The first camera_info. Not kept: the classes of messages exist in this process only."""
        reader = self._opened()
        infos = [c for c in self._connections(self._info_topic) if c.msgtype == INFO_TYPE]
        for connection, _, raw in reader.messages(infos) if infos else ():
            return reader.deserialize(raw, connection)
        raise Clip2DepthError(f"{self.path} has no camera_info on {self._info_topic}; {SOURCE}")

    def _choose_depth(self, connections: list, topic: str | None) -> str:
        images = {c.topic for c in connections if c.msgtype in IMAGE_TYPES and c.msgcount}
        if topic is None:
            likely = sorted(t for t in images if "depth" in t.lower())
            # One camera's depth is often recorded raw and compressed: take the raw one.
            likely = [t for t in likely if "/compressed" not in t or t.rsplit("/", 1)[0] not in likely]
            if len(likely) == 1:
                return likely[0]
            problem = "several depth topics" if likely else "no topic with depth in its name"
            raise Clip2DepthError(
                f"The bag {self.path} has {problem}; name one as depth_topic. Image topics: "
                f"{', '.join(sorted(images)) or 'none'}."
            )
        if topic not in images:
            raise Clip2DepthError(
                f"The bag {self.path} has no images on {topic}; image topics: "
                f"{', '.join(sorted(images)) or 'none'}."
            )
        return topic
