# SPDX-License-Identifier: Apache-2.0
"""rosbag2 recordings (sqlite3 and mcap, folder or single file), read by rosbags without ROS."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import reading
from clip2depth_ros.images.depth_images import read_depth
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.bag_file import BagFile
from clip2depth_ros.io.bag_odometry import BagOdometry
from clip2depth_ros.io.source import DEFAULT_FPS, Source

log = logging.getLogger(__name__)

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"

# Topics whose name says that their images are no pictures of the scene.
NO_PICTURE = ("depth", "disparity", "mask", "label", "segment", "confidence", "infra", "theora")

# How many images may wait for their depth; a depth image is recorded within a few frames or never.
PATIENCE = 8


class BagSource(Source):
    """The images of one topic of a bag, with camera_info, with depth where a depth topic is named, and with
    odometry where that is asked for.

    topic: of Image or CompressedImage messages; None takes the only one that looks like a colour camera.
    depth_topic: of Image messages, 32FC1 metres or 16UC1 millimetres, with the same stamps and size.
    odometry_topic: of nav_msgs/Odometry; None takes the only one. mounting: of the camera, see BagOdometry.
    Stamps and frame_id are the messages' own.
    """

    def __init__(
        self,
        path: Path,
        *,
        topic: str | None = None,
        depth_topic: str | None = None,
        odometry_topic: str | None = None,
        mounting: Sequence[float] | None = None,
        **common,
    ) -> None:
        super().__init__(**common)
        self.name = str(path)
        self._reader = BagFile(path)
        try:
            with reading(f"The bag {path}"):
                self._choose(topic, depth_topic, odometry_topic, mounting)
        except BaseException:
            self._reader.close()
            raise

    def _choose(
        self,
        topic: str | None,
        depth_topic: str | None,
        odometry_topic: str | None,
        mounting: Sequence[float] | None,
    ) -> None:
        """Find the topics, and what the bag says about its length and rate."""
        connections = self._reader.connections
        self._images = self._choose_topic(connections, topic)
        self.topic = self._images[0].topic
        info_topic = camera_info_topic(self.topic, self._images[0].msgtype)
        self._infos = [c for c in connections if c.topic == info_topic and c.msgtype == INFO_TYPE]
        self._depths = [c for c in connections if c.topic == depth_topic and c.msgtype == IMAGE_TYPES[0]]
        if depth_topic and not self._depths:
            raise Clip2DepthError(
                f"The bag {self.name} has no depth images on {depth_topic}; {self._topics(connections)}"
            )
        self.has_depth = bool(self._depths)
        self._odometries = self._choose_odometry(connections, odometry_topic)
        self.has_odometry = bool(self._odometries)
        self._mounting = mounting or (0.0,) * 6
        count = sum(c.msgcount for c in self._images)
        self.length = -(-count // self.every)
        seconds = self._reader.seconds
        recorded = (count - 1) / seconds if count > 1 and seconds > 0 else DEFAULT_FPS
        self._rate = self._given_fps or recorded
        self.fps = self._rate / self.every

    def __iter__(self) -> Iterator[Frame]:
        # The codec knows every encoding, reads any object with a message's fields, and needs no ROS.
        from clip2depth_ros.io.messages.camera_info import camera_from_info
        from clip2depth_ros.io.messages.images import ImageCodec, nanoseconds

        codec = ImageCodec()
        self.bad_images = 0
        index = frames = 0
        info = self._first(self._infos)
        odometry = self._read_odometry()
        waiting: deque[Frame] = deque()
        depths: dict[int, Any] = {}
        used = self._images + self._infos + self._depths
        rectified = "rect" in self.topic.rsplit("/", 1)[-1]
        for connection, _, raw in self._reader.messages(used):
            if connection in self._infos:
                info = self._message(raw, connection) or info
                continue
            if connection in self._depths:
                message = self._message(raw, connection)
                if message is not None:
                    depths[nanoseconds(message.header.stamp)] = message
                while len(depths) > 2 * PATIENCE:
                    del depths[next(iter(depths))]
                yield from self._released(waiting, depths)
                continue
            index += 1
            if (index - 1) % self.every:
                continue
            try:
                message = self._reader.deserialize(raw, connection)
                with reading("It"):
                    image = codec.decode(message)
            except Clip2DepthError as error:
                self._count_bad(f"image {index - 1} of {self.topic} ({error})")
                continue
            known = None
            if info is not None and self._given_camera is None:
                try:
                    known = camera_from_info(info, image.shape[1], image.shape[0], rectified=rectified)
                except Clip2DepthError as error:
                    raise Clip2DepthError(f"The camera_info of the bag {self.name}: {error}") from error
            camera = self._resolve_camera(image.shape[1], image.shape[0], known)
            stamp = nanoseconds(message.header.stamp)
            frame = Frame(image, stamp, message.header.frame_id, camera, f"{index - 1:06d}")
            frame.odometry = odometry and odometry.at(stamp, frame.frame_id)
            frames += 1
            if not self._depths:
                yield frame
                continue
            frame.image = image.copy()
            waiting.append(frame)
            yield from self._released(waiting, depths)
        yield from self._released(waiting, depths, all_of_them=True)
        self._end(frames)

    def close(self) -> None:
        self._reader.close()

    def _released(
        self, waiting: deque[Frame], depths: dict[int, Any], all_of_them: bool = False
    ) -> Iterator[Frame]:
        """Frames, in order, whose depth is here or has had its time to come."""
        while waiting and (all_of_them or waiting[0].stamp in depths or len(waiting) > PATIENCE):
            frame = waiting.popleft()
            message = depths.pop(frame.stamp, None)
            if message is not None:
                try:
                    frame.depth = read_depth(message)
                except Clip2DepthError as error:
                    log.warning("%s: %s Its frame has no true depth.", self.name, error)
            yield frame

    def _first(self, connections: list) -> Any:
        """The first message of these connections, for images that were recorded before it."""
        if not connections:
            return None
        for connection, _, raw in self._reader.messages(connections):
            if (message := self._message(raw, connection)) is not None:
                return message
        return None

    def _message(self, raw: bytes, connection: Any) -> Any:
        """A message that goes with the images; None, with a warning, for a damaged one."""
        try:
            return self._reader.deserialize(raw, connection)
        except Clip2DepthError as error:
            log.warning("%s It is left out.", error)
            return None

    def _read_odometry(self) -> BagOdometry | None:
        """All of the odometry, before the first image: it is recorded late, and small beside images."""
        if not (self.wants_odometry and self._odometries):
            return None
        messages = (
            message
            for connection, _, raw in self._reader.messages(self._odometries)
            if (message := self._message(raw, connection)) is not None
        )
        with reading(f"The odometry of the bag {self.name}"):
            return BagOdometry(messages, self._mounting)

    def _choose_odometry(self, connections: list, topic: str | None) -> list:
        """All connections of the odometry topic; none where there is none or nobody asks."""
        there = sorted({c.topic for c in connections if c.msgtype == ODOMETRY_TYPE and c.msgcount})
        if topic is None and len(there) == 1:
            topic = there[0]
        elif topic is None and there and self.wants_odometry:
            raise Clip2DepthError(
                f"The bag {self.name} has several odometry topics; name one with --odometry-topic: "
                f"{', '.join(there)}."
            )
        elif topic is not None and topic not in there:
            raise Clip2DepthError(
                f"The bag {self.name} has no odometry on {topic}; odometry topics: "
                f"{', '.join(there) or 'none'}."
            )
        return [c for c in connections if c.topic == topic and c.msgtype == ODOMETRY_TYPE]

    def _choose_topic(self, connections: list, topic: str | None) -> list:
        """All connections of the image topic."""
        pictures = {c.topic: c for c in connections if c.msgtype in IMAGE_TYPES and c.msgcount}
        if topic is not None:
            if topic not in pictures:
                raise Clip2DepthError(
                    f"The bag {self.name} has no images on {topic}; {self._topics(connections)}"
                )
        else:
            likely = [t for t in pictures if not any(word in t.lower() for word in NO_PICTURE)]
            # One camera is often recorded raw and compressed: take the raw images.
            likely = [
                t
                for t in likely
                if t.removesuffix("/compressed") == t or t.removesuffix("/compressed") not in likely
            ]
            if len(likely) != 1:
                problem = "several camera topics" if likely else "no topic that looks like a camera's"
                raise Clip2DepthError(
                    f"The bag {self.name} has {problem}; name one with --topic. {self._topics(connections)}"
                )
            topic = likely[0]
        return [c for c in connections if c.topic == topic and c.msgtype in IMAGE_TYPES]

    @staticmethod
    def _topics(connections: list) -> str:
        pictures = sorted({c.topic for c in connections if c.msgtype in IMAGE_TYPES})
        return f"Image topics: {', '.join(pictures) or 'none'}."


def camera_info_topic(image_topic: str, message_type: str) -> str:
    """Where image_transport expects the camera_info of an image topic: beside the base topic."""
    base = image_topic
    if message_type == IMAGE_TYPES[1]:
        base = base.rsplit("/", 1)[0]
    return base.rsplit("/", 1)[0] + "/camera_info"
