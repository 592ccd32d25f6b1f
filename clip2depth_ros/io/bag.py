# SPDX-License-Identifier: Apache-2.0
"""rosbag2 recordings (sqlite3 and mcap, folder or single file) as a source of frames, without ROS."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import reading
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.bag_odometry import BagOdometry
from clip2depth_ros.io.camera_bag import IMAGE_TYPES, CameraBag
from clip2depth_ros.io.messages.depth import depth_of
from clip2depth_ros.io.messages.images import ImageCodec, nanoseconds
from clip2depth_ros.io.source import DEFAULT_FPS, Source

log = logging.getLogger(__name__)

ODOMETRY_TYPE = "nav_msgs/msg/Odometry"

# An image waits for its depth until this many newer images have come. A depth image that is recorded at all
# is recorded within a few frames.
LONGEST_WAIT = 8


class BagSource(Source):
    """The images of one topic of a bag in the order of recording, with the camera of camera_info, and with
    depth and odometry on request.

    topic: of the color images, see CameraBag.
    depth_topic: of Image messages (32FC1 meters or 16UC1 millimeters) or of compressedDepth images, with the
    stamps and the size of the color images; None reads no depth.
    odometry_topic: of nav_msgs/Odometry; None takes the only one. mounting: of the camera, see BagOdometry.
    Stamps and frame_id are those of the messages.
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
        self._mounting = mounting or (0.0,) * 6
        self._bag = CameraBag(path, topic)
        self.topic = self._bag.topic
        try:
            with reading(f"The bag {path}"):
                self._depths = []
                if depth_topic:
                    depth_topic = self._bag.choose_depth(depth_topic)
                    self._depths = self._bag.connections(depth_topic, *IMAGE_TYPES)
                self._odometries = self._choose_odometry(odometry_topic)
                count = sum(c.msgcount for c in self._bag.images)
                seconds = self._bag.file.seconds
        except BaseException:
            self._bag.close()
            raise
        self.has_depth = bool(self._depths)
        self.has_odometry = bool(self._odometries)
        self.length = -(-count // self.every)
        recorded = (count - 1) / seconds if count > 1 and seconds > 0 else DEFAULT_FPS
        self.fps = (self._given_fps or recorded) / self.every

    def __iter__(self) -> Iterator[Frame]:
        bag, codec = self._bag, ImageCodec()
        self.bad_images = 0
        index = frames = 0
        info = bag.first_info()
        odometry = self._read_odometry()
        waiting: deque[Frame] = deque()
        depths: dict[int, Any] = {}
        for connection, _, raw in bag.file.messages(bag.images + bag.infos + self._depths):
            if connection in bag.infos:
                info = bag.message(raw, connection) or info
                continue
            if connection in self._depths:
                message = bag.message(raw, connection)
                if message is not None:
                    depths[nanoseconds(message.header.stamp)] = message
                while len(depths) > 2 * LONGEST_WAIT:
                    del depths[next(iter(depths))]
                yield from self._released(waiting, depths)
                continue
            index += 1
            if (index - 1) % self.every:
                continue
            try:
                message = bag.file.deserialize(raw, connection)
                with reading("It"):
                    image = codec.decode(message)
            except Clip2DepthError as error:
                self._count_bad(f"image {index - 1} of {self.topic} ({error})")
                continue
            height, width = image.shape[:2]
            known = None
            if info is not None and self._given_camera is None:
                known = bag.camera(info, width, height)
            camera = self._resolve_camera(width, height, known)
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
        self._bag.close()

    def _released(
        self, waiting: deque[Frame], depths: dict[int, Any], all_of_them: bool = False
    ) -> Iterator[Frame]:
        """Frames, in order, whose depth has been read or that have waited long enough."""
        while waiting and (all_of_them or waiting[0].stamp in depths or len(waiting) > LONGEST_WAIT):
            frame = waiting.popleft()
            message = depths.pop(frame.stamp, None)
            if message is not None:
                try:
                    frame.depth = depth_of(message)
                except Clip2DepthError as error:
                    log.warning("%s: %s The frame has no ground-truth depth.", self.name, error)
            yield frame

    def _read_odometry(self) -> BagOdometry | None:
        """All odometry, before the first image: it may be recorded later than its images."""
        if not (self.wants_odometry and self._odometries):
            return None
        with reading(f"The odometry of the bag {self.name}"):
            return BagOdometry(self._bag.read(self._odometries), self._mounting)

    def _choose_odometry(self, topic: str | None) -> list:
        """The connections of the odometry topic; empty where there is none or no odometry is wanted."""
        connections = self._bag.file.connections
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
        return [] if topic is None else self._bag.connections(topic, ODOMETRY_TYPE)
