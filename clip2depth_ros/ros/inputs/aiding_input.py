# SPDX-License-Identifier: Apache-2.0
"""The base class of the aiding inputs: subscription, timeout and check of the clocks."""

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

# A message that is older than the previous one by more than this means that time jumped back (a bag was
# restarted); one that is slightly older was delivered out of order. Nanoseconds.
BACKWARDS = 500_000_000

# Stamps that differ by more than this come from different clocks:
# no sensor or network is so slow. Nanoseconds.
OTHER_CLOCK = 2_000_000_000

# For how long after a message its stamp is compared with the images' stamps, and how long they must differ
# before a warning: when a bag is restarted, one topic is the first. Seconds.
FRESH = 1.0


class AidingInput(ABC):
    """One topic of aiding measurements. The measurement at an image's time is an array, or None.

    `open`, `close` and `watch` must be called from the executor's thread, `at` from the worker thread,
    `clear` from any. A subclass stores messages (:meth:`_take`) and gives the measurement at a time
    (:meth:`_find`).

    Args:
        node: an rclpy node.
        topic: the value of the parameter; it is resolved and remapped like any topic.
        settings: gives the current settings.
        notices: the throttled log.
        extrinsics: the poses of the sensor and the camera on the robot.
    """

    what: str
    """Name in the log, such as "odometry"."""
    message_type: type
    """The message's class."""

    # Depth of the subscription's queue: enough while the executor is busy.
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
        """Subscribe with Best Effort, which is compatible with every publisher."""
        self._last_arrival = time.monotonic()
        try:
            self._subscription = self._node.create_subscription(
                self.message_type, self.topic, self._on_message, volatile(self.QUEUE, "best_effort")
            )
        except RuntimeError as error:  # for example, the topic has another type in this process
            self._notices.count(f"{self.what} subscribe", f"Cannot subscribe to {self.topic}: {error}.")

    def close(self) -> None:
        """Unsubscribe and drop all messages."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = None
        self.clear()
        for state in ("silence", "frame", "clock"):
            self._notices.clear(f"{self.what} {state}")

    def clear(self) -> None:
        """Drop all messages, after a jump of time or a reset."""
        with self._lock:
            self._newest = None
            self._forget()

    def at(self, stamp: int, camera_frame: str) -> np.ndarray | None:
        """The measurement at an image's stamp (nanoseconds),
        in the image's optical frame; None if unknown."""
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
        """Warn when no messages arrive. Call it a few times a second while open."""
        timeout = self._settings().image.timeout
        if time.monotonic() - self._last_arrival > timeout:
            self._notices.say(
                f"{self.what} silence",
                f"No {self.what} for {timeout:g} s: {self._silence_reason()}. It is not used meanwhile.",
            )
        else:
            self._notices.clear(f"{self.what} silence")

    def reaches(self, stamp: int) -> bool:
        """Whether a message of that time, nanoseconds, or later has arrived."""
        return self._newest is not None and self._newest >= stamp

    @abstractmethod
    def _take(self, message: Any, stamp: int) -> None:
        """Store a message. Raises Clip2DepthError with the reason when it cannot be used."""

    @abstractmethod
    def _find(self, stamp: int, camera_frame: str) -> np.ndarray | None:
        """The measurement at `stamp`, None if unknown.
        Raises Clip2DepthError when the frame_id is unknown."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop all stored messages."""

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
        # The message contains the first difference, which may change.
        if now - self._apart_since > FRESH and key not in self._notices.states:
            self._notices.say(
                key,
                f"The stamps on {self.topic} are {abs(newest - stamp) * 1e-9:.1f} s "
                f"{'ahead of' if newest > stamp else 'behind'} the images', so its {self.what} is not used: "
                "the clocks are not synchronized, or only one of them plays from a recording.",
            )

    def _silence_reason(self) -> str:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            return f"{self.topic} has no publisher"
        wanted = f"{self.message_type.__module__.split('.')[0]}/msg/{self.message_type.__name__}"
        types = sorted({publisher.topic_type for publisher in publishers} - {wanted})
        if types:
            return f"{self.topic} carries {', '.join(types)}, not {wanted}"
        return f"{self.topic} has {len(publishers)} publisher(s), but nothing arrives"
