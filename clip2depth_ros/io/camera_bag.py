# SPDX-License-Identifier: Apache-2.0
"""The topics of one camera in a bag: color images, their camera_info and depth."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import reading
from clip2depth_ros.io.bag_file import BagFile
from clip2depth_ros.io.messages.camera_info import camera_from_info

log = logging.getLogger(__name__)

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"

# A topic with such a word in its name does not carry color images of the scene.
NOT_COLOR = ("depth", "disparity", "mask", "label", "segment", "confidence", "infra", "theora")


class CameraBag:
    """An open bag with the connections of one camera.

    topic: of Image or CompressedImage messages; None takes the only one that looks like a color camera.
    images, infos: the connections of the images and of their camera_info. Raises Clip2DepthError, which names
    the bag and its topics, where the bag cannot be read or the topic is missing or ambiguous.
    """

    def __init__(self, path: Path, topic: str | None = None) -> None:
        self.path = path
        self.file = BagFile(path)
        try:
            with reading(f"The bag {path}"):
                self.topic = self._choose_color(topic)
                self.images = self.connections(self.topic, *IMAGE_TYPES)
                self.info_topic = camera_info_topic(self.topic, self.images[0].msgtype)
                self.infos = self.connections(self.info_topic, INFO_TYPE)
        except BaseException:
            self.close()
            raise
        self._rectified = "rect" in self.topic.rsplit("/", 1)[-1]

    def close(self) -> None:
        """Closing twice is allowed."""
        self.file.close()

    def connections(self, topic: str, *types: str) -> list:
        """The connections of a topic, of any of these message types."""
        return [c for c in self.file.connections if c.topic == topic and c.msgtype in types]

    def read(self, connections: list) -> Iterator[Any]:
        """The messages of these connections; a damaged one is left out with a warning."""
        if connections:
            for connection, _, raw in self.file.messages(connections):
                if (message := self.message(raw, connection)) is not None:
                    yield message

    def message(self, raw: bytes, connection: Any) -> Any:
        """The message; None, with a warning, for a damaged one."""
        try:
            return self.file.deserialize(raw, connection)
        except Clip2DepthError as error:
            log.warning("%s It is left out.", error)
            return None

    def first_info(self) -> Any:
        """The first camera_info, for images that were recorded before it; None where there is none."""
        return next(self.read(self.infos), None)

    def camera(self, info: Any, width: int, height: int) -> Camera | None:
        """The camera of the images, width x height pixels, by a camera_info; None if it is not calibrated.

        Raises Clip2DepthError for a camera_info that does not fit the images.
        """
        try:
            return camera_from_info(info, width, height, rectified=self._rectified)
        except Clip2DepthError as error:
            raise Clip2DepthError(
                f"The camera_info of the bag {self.path}, {self.info_topic}: {error}"
            ) from error

    def choose_depth(self, topic: str | None) -> str:
        """The topic of depth images, raw or compressed; None takes the only one with "depth" in its name."""
        images = self._image_topics()
        if topic is not None:
            if topic not in images:
                raise Clip2DepthError(
                    f"The bag {self.path} has no depth images on {topic}; {self._described()}"
                )
            return topic
        likely = [t for t in images if "depth" in t.lower()]
        # One camera's depth is often recorded raw and compressed: take the raw one.
        likely = [t for t in likely if "/compressed" not in t or t.rsplit("/", 1)[0] not in likely]
        if len(likely) != 1:
            problem = "several depth topics" if likely else "no topic with depth in its name"
            raise Clip2DepthError(
                f"The bag {self.path} has {problem}; name one as depth_topic. {self._described()}"
            )
        return likely[0]

    def _choose_color(self, topic: str | None) -> str:
        images = self._image_topics()
        if topic is not None:
            if topic not in images:
                raise Clip2DepthError(f"The bag {self.path} has no images on {topic}; {self._described()}")
            return topic
        likely = [t for t in images if not any(word in t.lower() for word in NOT_COLOR)]
        # One camera is often recorded raw and compressed: take the raw images.
        likely = [
            t for t in likely if not t.endswith("/compressed") or t[: -len("/compressed")] not in likely
        ]
        if len(likely) != 1:
            problem = "several camera topics" if likely else "no topic that looks like a camera's"
            raise Clip2DepthError(
                f"The bag {self.path} has {problem}; name one with --topic. {self._described()}"
            )
        return likely[0]

    def _image_topics(self) -> list[str]:
        """The topics with at least one image, sorted."""
        return sorted({c.topic for c in self.file.connections if c.msgtype in IMAGE_TYPES and c.msgcount})

    def _described(self) -> str:
        topics = sorted({c.topic for c in self.file.connections if c.msgtype in IMAGE_TYPES})
        return f"Image topics: {', '.join(topics) or 'none'}."


def camera_info_topic(image_topic: str, message_type: str) -> str:
    """The camera_info topic by the convention of image_transport: beside the base topic."""
    base = image_topic
    if message_type == IMAGE_TYPES[1]:
        base = base.rsplit("/", 1)[0]
    return base.rsplit("/", 1)[0] + "/camera_info"
