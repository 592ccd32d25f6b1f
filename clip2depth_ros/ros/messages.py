# SPDX-License-Identifier: Apache-2.0
"""Image messages to arrays, without copying where the encoding allows it. Messages out: outgoing.py."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError

LARGEST_SIDE = 16384

# Encodings that this codec reads itself: bytes a pixel, and OpenCV's conversion to RGB (None: it is RGB).
# 8UC1, 8UC3 and 8UC4 carry no colour order of their own; OpenCV's, which nearly all of their writers use, is
# BGR.
_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
    "mono16": (2, cv2.COLOR_GRAY2RGB),
}

# The families that cv_bridge can turn into colour. Anything else (32FC1, 16UC1 ...) is no picture at all.
_CV_BRIDGE_PREFIXES = ("bayer_", "yuv", "nv", "uyvy", "yuyv")
_CV_BRIDGE_ENCODINGS = ("rgb16", "bgr16", "rgba16", "bgra16", "16UC3", "16UC4")


def nanoseconds(stamp: Any) -> int:
    """A builtin_interfaces/Time as nanoseconds."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def set_stamp(stamp: Any, time: int) -> None:
    """Write nanoseconds (not negative) into a builtin_interfaces/Time."""
    stamp.sec, stamp.nanosec = divmod(time, 1_000_000_000)


class ImageCodec:
    """Turns sensor_msgs/Image and sensor_msgs/CompressedImage into (H, W, 3) uint8 RGB arrays.

    rgb8 gives a view of the message; every other encoding is converted into a buffer of the codec, so a
    result is valid until the next call. One codec belongs to one thread.
    """

    def __init__(self) -> None:
        self._rgb = np.empty((0, 0, 3), np.uint8)
        self._mono = np.empty((0, 0), np.uint8)
        self._bridge: Any = None

    def decode(self, message: Any) -> np.ndarray:
        """The picture of either message type. Raises Clip2DepthError if it is malformed or not a picture."""
        return self.decode_compressed(message) if hasattr(message, "format") else self.decode_raw(message)

    def decode_raw(self, message: Any) -> np.ndarray:
        """The picture of a sensor_msgs/Image. Raises Clip2DepthError, see :meth:`decode`."""
        width, height, step, encoding = message.width, message.height, message.step, message.encoding
        if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
            raise Clip2DepthError(
                f"The image message says it is {width}x{height} pixels; 1 to {LARGEST_SIDE} make sense."
            )
        pixels = np.frombuffer(message.data, np.uint8)
        if pixels.size != step * height:
            raise Clip2DepthError(
                f"The image message holds {pixels.size} bytes, but {height} rows of step {step} are "
                f"{step * height}; it was cut off or filled wrongly."
            )
        if encoding not in _ENCODINGS:
            return self._decode_with_cv_bridge(message)
        pixel_bytes, conversion = _ENCODINGS[encoding]
        if step < width * pixel_bytes:
            raise Clip2DepthError(
                f"The image message says a row of {width} {encoding} pixels is {step} bytes long, but it "
                f"takes {width * pixel_bytes}."
            )
        rows = pixels.reshape(height, step)[:, : width * pixel_bytes]
        if conversion is None:
            return rows.reshape(height, width, 3)
        if encoding == "mono16":
            picture = self._high_bytes(rows, bool(message.is_bigendian))
        else:
            picture = rows if pixel_bytes == 1 else rows.reshape(height, width, pixel_bytes)
        return cv2.cvtColor(picture, conversion, dst=self._rgb_buffer(height, width))

    def decode_compressed(self, message: Any) -> np.ndarray:
        """The picture of a sensor_msgs/CompressedImage (JPEG, PNG and what else OpenCV reads)."""
        if "compressedDepth" in message.format:
            raise Clip2DepthError(
                f"The compressed image's format is '{message.format}': that is a depth image, the node needs "
                "a picture."
            )
        coded = np.frombuffer(message.data, np.uint8)
        # A camera_info describes the pixels as they are stored, so an EXIF orientation must not turn them.
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            picture = cv2.imdecode(coded, flags) if coded.size else None
        except cv2.error:
            picture = None
        if picture is None:
            raise Clip2DepthError(
                f"The compressed image ({coded.size} bytes, format '{message.format}') is no picture that "
                "OpenCV can read; it was cut off, or its format needs another decoder."
            )
        height, width = picture.shape[:2]
        if max(height, width) > LARGEST_SIDE:
            raise Clip2DepthError(
                f"The compressed image is {width}x{height} pixels; 1 to {LARGEST_SIDE} make sense."
            )
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=self._rgb_buffer(height, width))

    def _rgb_buffer(self, height: int, width: int) -> np.ndarray:
        if self._rgb.shape[:2] != (height, width):
            self._rgb = np.empty((height, width, 3), np.uint8)
        return self._rgb

    def _high_bytes(self, rows: np.ndarray, big_endian: bool) -> np.ndarray:
        """The upper byte of every 16-bit pixel, (H, W) uint8."""
        high = rows[:, 0 if big_endian else 1 :: 2]
        if self._mono.shape != high.shape:
            self._mono = np.empty(high.shape, np.uint8)
        np.copyto(self._mono, high)
        return self._mono

    def _decode_with_cv_bridge(self, message: Any) -> np.ndarray:
        encoding = message.encoding
        if not (encoding.startswith(_CV_BRIDGE_PREFIXES) or encoding in _CV_BRIDGE_ENCODINGS):
            raise Clip2DepthError(
                f"The image's encoding is '{encoding}', which is no colour or grey picture that the node "
                f"knows; it reads {', '.join(_ENCODINGS)}, and with cv_bridge also Bayer, YUV and 16-bit "
                "colour."
            )
        if self._bridge is None:
            try:
                from cv_bridge import CvBridge
            except ImportError:
                raise Clip2DepthError(
                    f"The image's encoding is '{encoding}', which needs cv_bridge, and that is not "
                    "installed: install ros-$ROS_DISTRO-cv-bridge, or let the camera driver publish one of "
                    f"{', '.join(_ENCODINGS)}."
                ) from None
            self._bridge = CvBridge()
        try:
            return self._bridge.imgmsg_to_cv2(message, "rgb8")
        except Exception as error:  # cv_bridge raises its own, OpenCV's, and numpy's errors
            raise Clip2DepthError(
                f"cv_bridge cannot turn the image's encoding '{encoding}' into rgb8: {error}."
            ) from error
