# SPDX-License-Identifier: Apache-2.0
"""The camera's two topics: image and camera_info, paired, with warnings when they are missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.qos import QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from clip2depth_ros.camera import Camera
from clip2depth_ros.engines.turns import Turn
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.messages.camera_info import camera_from_info, is_calibrated
from clip2depth_ros.ros.nodes.mailbox import Mailbox
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.ros.qos import subscription_with_events, volatile, with_message_info

# How long an image waits for its camera_info, which may arrive later, seconds. A newer image ends the wait.
CAMERA_INFO_TIMEOUT = 0.5


def image_topic(node: Any, transport: str) -> str:
    """The full name of the image topic, by the naming of image_transport."""
    if transport == "raw":
        return node.resolve_topic_name("image")
    if node.resolve_topic_name("image/compressed") != node.resolve_topic_name(
        "image/compressed", only_expand=True
    ):
        return node.resolve_topic_name("image/compressed")
    topic = node.resolve_topic_name("image")
    return topic if topic.endswith("/compressed") else f"{topic}/compressed"


def camera_info_topic(node: Any, settings: DepthSettings, image: str) -> str:
    """The full name of camera_info: by parameter, by remapping, or next to the image (image_transport)."""
    if settings.camera_info_topic:
        return node.resolve_topic_name(settings.camera_info_topic)
    remapped = node.resolve_topic_name("camera_info")
    if remapped != node.resolve_topic_name("camera_info", only_expand=True):
        return remapped
    return f"{_base_topic(image, settings).rpartition('/')[0]}/camera_info"


def _base_topic(image: str, settings: DepthSettings) -> str:
    return image.removesuffix("/compressed") if settings.image_transport == "compressed" else image


# Images may arrive this much early, seconds, because of a camera's jitter.
JITTER = 0.005


class RateLimit:
    """Selects evenly spaced images, so that a rate is not exceeded."""

    def __init__(self) -> None:
        self._due = 0.0

    def admits(self, now: float, rate: float) -> bool:
        """Whether to take an image that arrives at `now` (seconds, monotonic). rate: Hz; 0 = every image."""
        if rate <= 0:
            return True
        if now < self._due - JITTER:
            return False
        # Due times are on a fixed grid, so that 30 Hz give 20 Hz when 20 Hz are requested;
        # a pause restarts the grid.
        self._due = (self._due if now - self._due < 1 / rate else now) + 1 / rate
        return True


class CameraInput:
    """Subscribes to the camera and puts the newest image into `mailbox`.

    `open`, `close` and `watch` must be called from the executor's thread, `camera_for` from the worker
    thread.

    Args:
        node: an rclpy node.
        settings: gives the current settings.
        notices: the throttled log.
        turn: of the worker thread, see Mailbox.
        allowed: gives a rate limit in Hz at a time (s, monotonic), in addition to image.max_rate; 0: no
        limit. on_image: called when an image arrives.
    """

    def __init__(
        self,
        node: Any,
        settings: Callable[[], DepthSettings],
        notices: Notices,
        turn: Turn | None = None,
        allowed: Callable[[float], float] = lambda _now: 0.0,
        on_image: Callable[[], None] = lambda: None,
    ) -> None:
        self._node = node
        self._settings = settings
        self._notices = notices
        start = settings()
        self._type = CompressedImage if start.image_transport == "compressed" else Image
        self.image_topic = image_topic(node, start.image_transport)
        self.info_topic = camera_info_topic(node, start, self.image_topic)
        last_word = _base_topic(self.image_topic, start).rpartition("/")[2]
        self.rectified = start.image.rectified == "always" or (
            start.image.rectified == "auto" and "rect" in last_word
        )
        self.mailbox = Mailbox(turn)
        self.lost = 0
        self._limit = RateLimit()
        self._allowed = allowed
        self._tell_of_image = on_image
        self._sequences: dict[str, int] = {}
        self._camera: tuple[tuple, Camera] | None = None
        self._image_subscription: Any = None
        self._info_subscription: Any = None
        self.reliability = "best_effort"
        self._opened = self._last_image = self._silence_told = 0.0
        self._first_image: float | None = None

    @property
    def is_open(self) -> bool:
        """True while subscribed to the camera."""
        return self._image_subscription is not None

    def open(self) -> None:
        """Subscribe to image and camera_info. A failure is logged; `open` may be called again."""
        self._guarded(self._subscribe)

    def _guarded(self, subscribe: Callable[[], None]) -> None:
        try:
            subscribe()
        except RuntimeError as error:  # for example, the topic has another type in this process
            self.close()
            self._notices.count("subscribe", f"Cannot subscribe to {self.image_topic}: {error}.")

    def _subscribe(self) -> None:
        self.reliability = self._wanted_reliability()
        self._opened = self._last_image = time.monotonic()
        self._silence_told = 0.0
        self._first_image = None
        self._sequences.clear()
        self._info_subscription = subscription_with_events(
            lambda **events: self._node.create_subscription(
                CameraInfo,
                self.info_topic,
                self.mailbox.put_info,
                volatile(1, self._asked("best_effort")),
                **events,
            ),
            lambda policy: self._warn_incompatible(self.info_topic, policy),
        )
        self._subscribe_to_images()

    def _subscribe_to_images(self) -> None:
        self._image_subscription = subscription_with_events(
            lambda **events: self._node.create_subscription(
                self._type,
                self.image_topic,
                with_message_info(self._on_image),
                volatile(self._settings().image.queue, self.reliability),
                **events,
            ),
            lambda policy: self._warn_incompatible(self.image_topic, policy),
        )

    def _asked(self, automatic: str) -> str:
        """The parameter image.reliability, or `automatic` if it is auto."""
        asked = self._settings().image.reliability
        return automatic if asked == "auto" else asked

    def _wanted_reliability(self) -> str:
        """The reliability that is compatible with the current publishers of the images.

        Large Best Effort images are lost when the camera's process uses Fast DDS's default shared memory
        size, so Reliable is requested if every publisher offers it.
        """
        publishers = self._node.get_publishers_info_by_topic(self.image_topic)
        if not publishers:
            return self._asked(self.reliability)
        reliable = all(p.qos_profile.reliability == QoSReliabilityPolicy.RELIABLE for p in publishers)
        return self._asked("reliable" if reliable else "best_effort")

    def _follow_publishers(self) -> None:
        """Subscribe again when the publishers changed and need another reliability."""
        wanted = self._wanted_reliability()
        if wanted != self.reliability:
            self.reliability = wanted
            self._node.destroy_subscription(self._image_subscription)
            self._image_subscription = None
            self._notices.clear(f"qos {self.image_topic}")
            self._guarded(self._subscribe_to_images)

    def close(self) -> None:
        """Unsubscribe; drop the waiting image and the camera_info."""
        for subscription in (self._image_subscription, self._info_subscription):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._image_subscription = self._info_subscription = None
        self.mailbox.clear()
        self.mailbox.put_info(None)
        for key in ("silence", "camera_info"):
            self._notices.clear(key)

    def _on_image(self, message: Any, message_info: dict[str, Any] | None) -> None:
        self._tell_of_image()
        self._last_image = time.monotonic()
        if self._first_image is None:
            self._first_image = self._last_image
        self._count_lost(message_info)
        rates = (self._settings().image.max_rate, self._allowed(self._last_image))
        if self._limit.admits(self._last_image, min((rate for rate in rates if rate > 0), default=0.0)):
            self.mailbox.put(message)
        else:
            self.mailbox.skip()

    def _count_lost(self, message_info: Any) -> None:
        """Count gaps in each publisher's sequence numbers, if the middleware provides them (since Iron)."""
        if not isinstance(message_info, dict):
            return
        sequence = message_info.get("publication_sequence_number")
        if sequence is None or sequence >= 2**63:
            return
        publisher = str(message_info.get("publisher_gid"))
        gap = sequence - self._sequences.get(publisher, sequence)
        if 1 < gap < 1000:  # a larger gap is another publisher, if publishers cannot be distinguished
            self.lost += gap - 1
        self._sequences[publisher] = sequence

    def watch(self) -> None:
        """Check the publishers, and warn about missing messages. Call it a few times a second while open."""
        self._follow_publishers()
        now = time.monotonic()
        timeout = self._settings().image.timeout
        if now - self._last_image > timeout:
            if now - self._silence_told > timeout:  # the reason may have changed
                self._silence_told = now
                self._notices.say("silence", f"No image for {timeout:g} s: {self._silence_reason()}.")
            return
        self._silence_told = 0.0
        self._notices.clear("silence")
        if self.mailbox.info is not None:
            self._notices.clear("camera_info")
        elif self._first_image is not None and now - self._first_image > timeout:
            self._warn_no_camera_info()

    def camera_for(self, width: int, height: int) -> Camera | None:
        """The camera of an image of that size; waits up to CAMERA_INFO_TIMEOUT for its camera_info.

        None if the image must be dropped, because there is no camera_info or a newer image arrived. Raises
        Clip2DepthError if camera_info does not match the image.
        """
        info = self.mailbox.wait_for_info(lambda info: self._fits(info, width, height), self._info_timeout())
        if info is None:
            info = self.mailbox.info
        field_of_view = self._settings().horizontal_fov
        if field_of_view > 0 and (self._uses_field_of_view() if info is None else not is_calibrated(info)):
            return Camera.from_fov(width, height, field_of_view)
        return None if info is None else self._camera_of(info, width, height)

    def _fits(self, info: Any, width: int, height: int) -> bool:
        """True if there is no reason to wait for another camera_info."""
        if not is_calibrated(info):
            return True
        try:
            self._camera_of(info, width, height)
        except Clip2DepthError:
            return False
        return True

    def _camera_of(self, info: Any, width: int, height: int) -> Camera:
        """camera_from_info, cached while all fields except the header are the same."""
        roi = info.roi
        key = (
            (width, height, info.width, info.height, info.binning_x, info.binning_y, info.distortion_model),
            (roi.x_offset, roi.y_offset, roi.width, roi.height),
            *(tuple(numbers) for numbers in (info.d, info.k, info.r, info.p)),
        )
        if self._camera is None or self._camera[0] != key:
            self._camera = key, camera_from_info(info, width, height, rectified=self.rectified)
        return self._camera[1]

    def _info_timeout(self) -> float:
        """Seconds to wait for a camera_info; 0 when horizontal_fov is used instead."""
        return 0.0 if self._uses_field_of_view() else CAMERA_INFO_TIMEOUT

    def _uses_field_of_view(self) -> bool:
        """True when horizontal_fov may be used although a camera_info could still arrive."""
        if self._settings().horizontal_fov <= 0 or self.mailbox.info is not None:
            return False
        return (
            self._node.count_publishers(self.info_topic) == 0
            or time.monotonic() - self._opened > 2 * CAMERA_INFO_TIMEOUT
        )

    def _warn_no_camera_info(self) -> None:
        field_of_view = self._settings().horizontal_fov
        publishers = self._node.count_publishers(self.info_topic)
        reason = (
            "it has no publisher"
            if publishers == 0
            else f"it has {publishers} publisher(s), but nothing arrives"
        )
        consequence = (
            f"an ideal pinhole camera of horizontal_fov {field_of_view:g} rad is assumed"
            if field_of_view > 0
            else "no depth is computed; remap camera_info, or set camera_info_topic or horizontal_fov"
        )
        text = f"Images arrive without camera_info on {self.info_topic} ({reason}): {consequence}."
        self._notices.say("camera_info", text)

    def _warn_incompatible(self, topic: str, policy: str) -> None:
        self._notices.say(
            f"qos {topic}",
            f"A publisher of {topic} offers a {policy} QoS that is incompatible with this node's request, so "
            "its messages do not arrive: set image.reliability to best_effort, or change the publisher.",
        )

    def _silence_reason(self) -> str:
        """Why nothing arrives, according to the ROS graph."""
        wanted = f"sensor_msgs/msg/{self._type.__name__}"
        publishers = self._node.get_publishers_info_by_topic(self.image_topic)
        if not publishers:
            own = f"{self._node.get_fully_qualified_name()}/"
            others = [
                name
                for name, types in self._node.get_topic_names_and_types()
                if wanted in types and not name.startswith(own) and self._node.count_publishers(name) > 0
            ]
            known = f"; {wanted} is published on {', '.join(others)}: remap image" if others else ""
            return f"{self.image_topic} has no publisher{known}"
        types = sorted({publisher.topic_type for publisher in publishers} - {wanted})
        if types:
            return (
                f"{self.image_topic} carries {', '.join(types)}, not {wanted}: check image_transport and the "
                "topic"
            )
        offered = ", ".join(
            sorted({publisher.qos_profile.reliability.name.lower() for publisher in publishers})
        )
        return (
            f"{self.image_topic} has {len(publishers)} publisher(s) offering {offered} (this node requests "
            f"{self.reliability}), but nothing arrives: the camera has stopped, or the images are lost in "
            "transport (the camera's process needs the Fast DDS profile config/fastdds_large_data.xml)"
        )
