# SPDX-License-Identifier: Apache-2.0
"""What every topic that tells of the robot has in common: subscribed, watched, and never trusted blindly."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.messages.images import nanoseconds
from clip2depth_ros.ros.inputs.extrinsics import Extrinsics
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.ros.qos import volatile

# A message this much older than the one before says that time jumped back (a bag began anew); one that is
# only a little older was overtaken on its way.
BACKWARDS = 500_000_000

# Stamps farther apart than this belong to different clocks: no sensor and no network is that slow.
OTHER_CLOCK = 2_000_000_000

# How long after a message its stamps are compared with the images' clock, and how long they must be apart
# until it is said: when a bag begins anew, one topic is the first. Seconds.
FRESH = 1.0


class HintInput(ABC):
    """One topic beside the camera's. What it tells of an image's time is an array, or None for nothing.

    `open`, `close` and `watch` belong to the executor's thread, `at` to the working thread, `clear` to any.
    A subclass keeps what messages say (:meth:`_take`) and finds what held at a time (:meth:`_find`).

    Args:
        node: an rclpy node.
        topic: as the parameter names it; it is resolved and remapped as every topic is.
        settings: gives the current settings.
        notices: where missing and unusable things are said.
        extrinsics: where the sensor and the camera are on the robot.
    """

    what: str
    """What the log calls it, such as "odometry"."""
    message_type: type
    """The message's class."""

    # Messages that the middleware keeps: as many as may come while the executor is busy.
    QUEUE = 10

    def __init__(
        self,
        node: Any,
        topic: str,
        settings: Callable[[], DepthSettings],
        notices: Notices,
        extrinsics: Extrinsics,
    ) -> None:
        self.topic = node.resolve_topic_name(topic)
        self.received = 0
        self._node = node
        self._settings = settings
        self._notices = notices
        self._extrinsics = extrinsics
        self._lock = threading.Lock()
        self._subscription: Any = None
        self._newest: int | None = None
        self._last_arrival = 0.0
        self._apart_since: float | None = None

    def open(self) -> None:
        """Subscribe: Best Effort, which matches every publisher."""
        self._last_arrival = time.monotonic()
        try:
            self._subscription = self._node.create_subscription(
                self.message_type, self.topic, self._on_message, volatile(self.QUEUE, "best_effort")
            )
        except RuntimeError as error:  # for one, the topic has another type in this very process
            self._notices.count(f"{self.what} subscribe", f"Cannot subscribe to {self.topic}: {error}.")

    def close(self) -> None:
        """Unsubscribe and forget."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = None
        self.clear()
        for state in ("silence", "frame", "clock"):
            self._notices.clear(f"{self.what} {state}")

    def clear(self) -> None:
        """Forget what messages said: time jumped, or the past shall be forgotten."""
        with self._lock:
            self._newest = None
            self._forget()

    def at(self, stamp: int, camera_frame: str) -> np.ndarray | None:
        """What held at an image's stamp (nanoseconds), in the image's optical frame."""
        with self._lock:
            newest = self._newest
            try:
                found = self._find(stamp, camera_frame) if newest is not None else None
            except Clip2DepthError as error:
                self._notices.say(f"{self.what} frame", str(error))
                return None
        if found is not None:
            self._notices.clear(f"{self.what} frame")
            self._compare_clocks(stamp, stamp)
        elif newest is not None and time.monotonic() - self._last_arrival < FRESH:
            self._compare_clocks(newest, stamp)
        return found

    def watch(self) -> None:
        """Say when nothing comes. Call it a few times a second while open."""
        timeout = self._settings().image.timeout
        if time.monotonic() - self._last_arrival > timeout:
            self._notices.say(
                f"{self.what} silence",
                f"No {self.what} for {timeout:g} s: {self._silence_reason()}. It is not used meanwhile.",
            )
        else:
            self._notices.clear(f"{self.what} silence")

    def reaches(self, stamp: int) -> bool:
        """Whether a message of that time, nanoseconds, or later has come."""
        return self._newest is not None and self._newest >= stamp

    @abstractmethod
    def _take(self, message: Any, stamp: int) -> None:
        """Keep what a message says. Raises Clip2DepthError with the fault of one that cannot be used."""

    @abstractmethod
    def _find(self, stamp: int, camera_frame: str) -> np.ndarray | None:
        """What held at `stamp`, None if nothing is known. Raises Clip2DepthError if the frames don't fit."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop everything that was kept."""

    def _on_message(self, message: Any) -> None:
        self.received += 1
        self._last_arrival = time.monotonic()
        stamp = nanoseconds(message.header.stamp)
        try:
            with self._lock:
                self._put(message, stamp)
        except Clip2DepthError as error:
            self._notices.count(f"{self.what} message", f"A message on {self.topic} is not used: {error}.")

    def _put(self, message: Any, stamp: int) -> None:
        if stamp == 0:
            raise Clip2DepthError("it has no time stamp")
        if self._newest is not None and stamp <= self._newest:
            if stamp > self._newest - BACKWARDS:
                return
            self._forget()
        self._take(message, stamp)
        self._newest = stamp

    def _compare_clocks(self, newest: int, stamp: int) -> None:
        key, now = f"{self.what} clock", time.monotonic()
        if abs(newest - stamp) < OTHER_CLOCK:
            self._apart_since = None
            self._notices.clear(key)
            return
        if self._apart_since is None:
            self._apart_since = now
        # Said with the first difference, which need not stay the same.
        if now - self._apart_since > FRESH and key not in self._notices.states:
            self._notices.say(
                key,
                f"The stamps on {self.topic} are {abs(newest - stamp) * 1e-9:.1f} s "
                f"{'ahead of' if newest > stamp else 'behind'} the images', so its {self.what} is not used: "
                "their clocks are not in step, or only one of them plays from a recording.",
            )

    def _silence_reason(self) -> str:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            return f"nobody publishes {self.topic}"
        wanted = f"{self.message_type.__module__.split('.')[0]}/msg/{self.message_type.__name__}"
        types = sorted({publisher.topic_type for publisher in publishers} - {wanted})
        if types:
            return f"{self.topic} carries {', '.join(types)}, not {wanted}"
        return f"{self.topic} has {len(publishers)} publisher(s), but nothing arrives"
