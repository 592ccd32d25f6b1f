# SPDX-License-Identifier: Apache-2.0
"""camera_node: plays any source of frames like a camera driver."""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io import Source, open_source
from clip2depth_ros.ros.outputs.outgoing import (
    CameraInfoMessage,
    CompressedMessage,
    DepthMessage,
    OdometryMessage,
    RgbMessage,
)
from clip2depth_ros.ros.parameters.declaration import ParameterTable
from clip2depth_ros.ros.parameters.depth_settings import CameraSettings
from clip2depth_ros.ros.qos import let_arrive, volatile
from clip2depth_ros.ros.spinning import run_node

DEFAULT_RATE = 30.0
DEFAULT_FRAME_ID = "camera_optical_frame"
ODOMETRY_FRAME_ID = "odom"

# Seconds. A subscriber is counted as soon as it is discovered here; it may discover this publisher a moment
# later, and would miss Best Effort images until then. The last messages get the same time to arrive.
SETTLING = 0.5


class CameraNode(Node):
    """The node `camera`: image_raw, camera_info; depth/image_rect, depth/camera_info where depth is known;
    odometry (of the camera's own frame) where the pose is.

    Keyword arguments are those of rclpy's Node. A separate thread plays the source after `play`.
    Raises Clip2DepthError at construction if a parameter is invalid or the source cannot be opened.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("camera", **kwargs)
        self._table = ParameterTable(self, CameraSettings)
        self._stop = threading.Event()
        self._go = threading.Event()
        self._opened = threading.Event()
        self._source: Source | None = None
        self._first: Frame | None = None
        self._failure: Clip2DepthError | None = None
        self._ended = False
        self.published = 0
        # The player opens the source too, because an OpenGL context belongs to the thread that made it.
        self._player = threading.Thread(target=self._run, name="camera", daemon=True)
        self._player.start()
        self._opened.wait()
        if self._failure is not None:
            raise self._failure
        self._create_publishers(self._first)

    def _create_publishers(self, first: Frame) -> None:
        settings = self.settings
        qos = volatile(settings.queue, settings.reliability)
        self._compressed = settings.image_transport == "compressed"
        if self._compressed:
            self._image = self.create_publisher(CompressedImage, "image_raw/compressed", qos)
        else:
            self._image = self.create_publisher(Image, "image_raw", qos)
        self._camera_info = self._depth = self._depth_info = None
        if first.camera is not None:
            self._camera_info = self.create_publisher(CameraInfo, "camera_info", qos)
        if first.depth is not None:
            self._depth = self.create_publisher(Image, "depth/image_rect", qos)
            self._depth_info = self.create_publisher(CameraInfo, "depth/camera_info", qos)
        self._odometry = None
        if _pose(first) is not None:
            self._odometry = self.create_publisher(Odometry, "odometry", qos)
        self._image_message = CompressedMessage() if self._compressed else RgbMessage()
        self._camera_info_message = CameraInfoMessage()
        self._depth_message = DepthMessage()
        self._odometry_message = OdometryMessage()

    @property
    def settings(self) -> CameraSettings:
        """The parameters' current values."""
        return self._table.settings

    def play(self) -> None:
        """Start to play."""
        known = "no camera_info" if self._camera_info is None else "with camera_info"
        self.get_logger().info(
            f"Playing {self._source.name} on {self._image.topic_name}, {known}"
            f"{', with ground truth' if self._depth else ''}{', with odometry' if self._odometry else ''}"
        )
        self._go.set()

    def stop(self) -> None:
        """End playing and close the source."""
        self._stop.set()
        self._go.set()
        self._player.join()

    def finished(self) -> bool:
        """True when the source ended and the process may end too. Raises its error if one stopped it."""
        if self._failure is not None:
            raise self._failure
        return self._ended and self.settings.exit_at_end

    def _run(self) -> None:
        settings = self.settings
        try:
            with _open(settings) as source:
                frames = iter(source)
                self._source, self._first = source, next(frames, None)
                if self._first is None:
                    raise Clip2DepthError(f"The source '{settings.source}' holds no frame.")
                self._opened.set()
                self._go.wait()
                self._wait_for_subscribers()
                self._play(source, itertools.chain([self._first], frames))
                if not self._stop.is_set():
                    self.get_logger().info(f"End of {source.name}: {self.published} images published")
                    let_arrive(self._image)
                    self._stop.wait(SETTLING)
        except Clip2DepthError as error:
            self._failure = error
        except Exception:
            self.get_logger().error(traceback.format_exc())
            self._failure = Clip2DepthError("Playing ended unexpectedly; see the error above.")
        self._ended = True
        self._opened.set()

    def _play(self, source: Source, frames: Iterator[Frame]) -> None:
        rate = self.settings.rate or (0.0 if source.live else source.fps or DEFAULT_RATE)
        due = time.monotonic()
        while not self._stop.is_set():
            for frame in frames:
                # A late frame delays the following ones: a camera never sends two at once.
                due = max(due, time.monotonic())
                if self._stop.wait(due - time.monotonic()):
                    return
                self._publish(frame)
                due += 1.0 / rate if rate else 0.0
            if not self.settings.loop or source.live:
                return
            frames = iter(source)

    def _publish(self, frame: Frame) -> None:
        settings = self.settings
        stamp = frame.stamp if settings.stamps == "source" else self.get_clock().now().nanoseconds
        frame_id = settings.frame_id or frame.frame_id or DEFAULT_FRAME_ID
        # odometry and camera_info are published first, so that receivers can use the image at once.
        pose = _pose(frame)
        if self._odometry is not None and pose is not None:
            self._odometry.publish(self._odometry_message.fill(pose, stamp, ODOMETRY_FRAME_ID, frame_id))
        if self._camera_info is not None and frame.camera is not None:
            self._camera_info.publish(self._camera_info_message.fill(frame.camera, stamp, frame_id))
        message = self._image_message
        if isinstance(message, CompressedMessage):
            self._image.publish(message.fill(frame.image, settings.jpeg_quality, stamp, frame_id))
        else:
            self._image.publish(message.fill(frame.image, stamp, frame_id))
        self.published += 1
        if self._depth is not None and frame.depth is not None:
            if self._depth.get_subscription_count() > 0:
                self._depth.publish(self._depth_message.fill(frame.depth, "32FC1", stamp, frame_id))
            if frame.camera is not None and self._depth_info.get_subscription_count() > 0:
                camera = _depth_camera(frame.camera, frame.depth)
                self._depth_info.publish(self._camera_info_message.fill(camera, stamp, frame_id))

    def _wait_for_subscribers(self) -> None:
        wanted = self.settings.wait_for_subscribers
        if wanted == 0:
            return
        self.get_logger().info(f"Waiting until {wanted} subscribe to {self._image.topic_name}")
        while self._image.get_subscription_count() < wanted:
            if self._stop.wait(0.05):
                return
        self._stop.wait(SETTLING)


def _open(settings: CameraSettings) -> Source:
    return open_source(
        settings.source,
        camera=Camera.from_file(settings.camera) if settings.camera else None,
        horizontal_fov=settings.horizontal_fov or None,
        every=settings.every,
        # The simulator and a camera device then produce their images at this rate.
        fps=settings.rate * settings.every or None,
    )


def _pose(frame: Frame) -> np.ndarray | None:
    """The camera's pose: the robot's estimate, else the ground truth; None without both."""
    return frame.pose if frame.odometry is None else frame.odometry


def _depth_camera(camera: Camera, depth: np.ndarray) -> Camera:
    """The camera of a depth image, which may be smaller than the color image and is always rectified."""
    height, width = depth.shape
    return camera.undistorted().scaled(width, height)


def main(args: list[str] | None = None) -> int:
    """Run camera_node until its source ends or it is interrupted."""
    return run_node(CameraNode, CameraNode.play, CameraNode.stop, args, CameraNode.finished)


if __name__ == "__main__":
    raise SystemExit(main())
