# SPDX-License-Identifier: Apache-2.0
"""The outputs of the depth node. An output without subscribers is not computed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.exceptions import ParameterException
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

from clip2depth_ros.engines import Engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.compressed import MAX_SHRINK
from clip2depth_ros.images.frame import NAN, DepthFrame
from clip2depth_ros.msg import DepthQuality
from clip2depth_ros.outputs import PointCloud
from clip2depth_ros.ros.inputs.known_floor import KnownFloor
from clip2depth_ros.ros.nodes.mailbox import Counts
from clip2depth_ros.ros.outputs.outgoing import CameraInfoMessage, DepthMessage, PointsMessage
from clip2depth_ros.ros.outputs.quality import fill_quality
from clip2depth_ros.ros.outputs.scan_output import ScanOutput
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.ros.qos import EventGroup, publisher_with_events, volatile

# The old name of ~/depth/std_dev. To be removed in the release after the one that introduced the new name.
OLD_STD_DEV = "~/depth/confidence"

# How early a cloud may come under a rate limit, as a part of its period: camera stamps jitter.
RATE_TOLERANCE = 0.1


class DepthPublishers:
    """Publishes depth, its camera_info and standard deviation, points, scan and quality.

    Args:
        node: a lifecycle node.
        notices: where subscribers with incompatible QoS are reported.
        on_matched: called when a subscriber comes or goes, if the middleware reports it.
    """

    def __init__(self, node: Any, notices: Notices, on_matched: Callable[[], None]) -> None:
        self._node = node
        self._notices = notices
        self._on_matched = on_matched
        self._publishers: list[Any] = []
        self._known_floor = KnownFloor()
        self.events = EventGroup()
        """Callback group of the subscriber events."""
        self._scan_output = ScanOutput(node, notices)
        self._depth = self._create(Image, "~/depth/image_rect", 2)
        self._camera_info = self._create(CameraInfo, "~/depth/camera_info", 2)
        self._std_dev = self._create(Image, "~/depth/std_dev", 2)
        self._old_std_dev = self._create(Image, OLD_STD_DEV, 2)
        self._warned_of_old_std_dev = False
        self._points = self._create(PointCloud2, "~/points", 2)
        self._scan = self._create(LaserScan, "~/scan", 2)
        self._quality = self._create(DepthQuality, "~/quality", 10)
        self._depth_message = DepthMessage()
        self._camera_info_message = CameraInfoMessage()
        self._std_dev_message = DepthMessage()
        self._unknown = np.empty((0, 0), np.float32)
        self._points_message = PointsMessage()
        self._quality_message = DepthQuality()
        self._cloud = PointCloud()
        self._cloud_stamp: int | None = None

    def _create(self, message_type: type, topic: str, queue: int) -> Any:
        try:
            publisher = publisher_with_events(
                lambda **events: self._node.create_lifecycle_publisher(
                    message_type,
                    topic,
                    volatile(queue),
                    qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                    callback_group=self.events,
                    **events,
                ),
                lambda policy: self._report_incompatible(topic, policy),
                self._on_matched,
            )
        except (RuntimeError, ParameterException) as error:  # a wrong qos_overrides parameter
            self.destroy()
            raise Clip2DepthError(
                f"{self._node.resolve_topic_name(topic)} cannot be published: {error}."
            ) from error
        self._publishers.append(publisher)
        return publisher

    def destroy(self) -> None:
        """Destroy the publishers."""
        self._scan_output.destroy()
        while self._publishers:
            self._node.destroy_lifecycle_publisher(self._publishers.pop())

    def has_listeners(self) -> bool:
        """True if any output has a subscriber."""
        return any(map(_has_listeners, self._publishers))

    def publish(
        self, frame: DepthFrame, settings: DepthSettings, gravity: np.ndarray | None = None
    ) -> tuple[float, float]:
        """Publish depth, camera_info, standard deviation, points and scan of a frame.

        Nothing is published for a frame without meters: all of it would be empty, and an empty scan means
        free space.

        gravity: (3,) unit vector, down in the optical frame, from a sensor; None without one. For the scan.
        Returns two times, seconds: the latency from the image's stamp until depth was published, by the
        node's clock (NaN for a zero stamp), and the time that publishing took.
        """
        unfit_before, started = frame.facts.times.get("unfit", 0.0), time.perf_counter()
        if frame.facts.no_metres:
            return NAN, 0.0
        if _has_listeners(self._depth):
            self._depth.publish(self._depth_message.fill_frame(frame, settings.depth.encoding))
        if frame.camera is not None and _has_listeners(self._camera_info):
            self._camera_info.publish(
                self._camera_info_message.fill(frame.camera, frame.stamp, frame.frame_id)
            )
        latency = (self._node.get_clock().now().nanoseconds - frame.stamp) * 1e-9 if frame.stamp else NAN
        self._publish_std_dev(frame)
        self._known_floor.see(frame, settings, gravity)
        if _has_listeners(self._scan):
            scan = self._scan_output.make(frame, settings, self._known_floor)
            if scan is not None:
                self._scan.publish(scan)
        else:
            self._scan_output.idle()
        if _has_listeners(self._points) and self._cloud_is_due(frame.stamp, settings.points.rate):
            self._points.publish(self._fill_points(frame, settings))
        # The time of full-size arrays is in the facts already.
        unfit = frame.facts.times.get("unfit", 0.0) - unfit_before
        return latency, time.perf_counter() - started - unfit

    def shrink(self, settings: DepthSettings) -> int:
        """How many pixels of the image a side may be averaged to one for the colors of the outputs."""
        if not _has_listeners(self._points):
            return MAX_SHRINK
        return settings.points.stride if settings.depth.size is None else 1

    def publish_quality(
        self,
        frame: DepthFrame,
        *,
        engine: Engine,
        bundle: str,
        latency: float,
        publish_time: float,
        counts: Counts,
    ) -> None:
        """Publish the facts of a frame and of the engine."""
        if not _has_listeners(self._quality):
            return
        message = self._quality_message
        of_node = {
            "engine": engine.name,
            "bundle": bundle,
            "latency": latency,
            "publish_time": publish_time,
            "images_received": counts.received,
            "frames_processed": counts.processed,
            "frames_dropped": counts.dropped,
            "bad_images": counts.bad,
            "precision": engine.precision,
            "engine_difference": NAN if engine.difference is None else engine.difference,
            "engine_choice": [str(attempt) for attempt in engine.attempts],
        }
        fill_quality(message, frame, of_node)
        self._quality.publish(message)

    def _publish_std_dev(self, frame: DepthFrame) -> None:
        """One message for both names of the topic. All NaN while the standard deviation is not estimated."""
        publishers = [p for p in (self._std_dev, self._old_std_dev) if _has_listeners(p)]
        if not publishers:
            return
        std_dev = frame.std_dev
        if std_dev is None:
            if self._unknown.shape != frame.shape:
                self._unknown = np.full(frame.shape, NAN, np.float32)
            std_dev = self._unknown
        message = self._std_dev_message.fill(std_dev, "32FC1", frame.stamp, frame.frame_id)
        for publisher in publishers:
            publisher.publish(message)
        if self._old_std_dev in publishers and not self._warned_of_old_std_dev:
            self._warned_of_old_std_dev = True
            self._node.get_logger().warning(
                f"{self._old_std_dev.topic_name} is deprecated and will be removed in the next release: "
                f"subscribe to {self._std_dev.topic_name}, which has the same messages."
            )

    def _fill_points(self, frame: DepthFrame, settings: DepthSettings) -> PointCloud2:
        self._cloud.settings = settings.points
        height, width = self._cloud.shape(frame.shape[1], frame.shape[0])
        out = self._points_message.buffer(height, width).view(np.float32).reshape(height, width, 4)
        self._cloud.build(frame, out, self._known_floor.limits(settings))
        return self._points_message.finish(frame.stamp, frame.frame_id)

    def _cloud_is_due(self, stamp: int, rate: float) -> bool:
        last = self._cloud_stamp
        if rate > 0 and last is not None and last <= stamp < last + (1.0 - RATE_TOLERANCE) * 1e9 / rate:
            return False
        self._cloud_stamp = stamp
        return True

    def _report_incompatible(self, topic: str, policy: str) -> None:
        full = self._node.resolve_topic_name(topic)
        self._notices.say(
            f"qos {topic}",
            f"A subscriber of {full} requests a {policy} QoS that this node does not offer, so it receives "
            f"nothing: change the subscriber, or set the parameter qos_overrides.{full}.publisher.{policy}.",
        )


def _has_listeners(publisher: Any) -> bool:
    return publisher.get_subscription_count() > 0
