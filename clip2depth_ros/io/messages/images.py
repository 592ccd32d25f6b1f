# SPDX-License-Identifier: Apache-2.0
"""Image messages to arrays, without copying where the encoding allows it. Messages out: outgoing.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.images.compressed import MAX_SHRINK, can_shrink, check_size, decode_rgb, stated_size
from clip2depth_ros.io.messages.encodings import ENCODINGS, Packed, Planar

# Y, U, V and 1 to R, G and B: the numbers of OpenCV's other conversions of YUV.
_YUV_TO_RGB = np.array(
    [
        [1.164, 0.0, 1.596, -1.164 * 16 - 1.596 * 128],
        [1.164, -0.391, -0.813, -1.164 * 16 + (0.391 + 0.813) * 128],
        [1.164, 2.018, 0.0, -1.164 * 16 - 2.018 * 128],
    ]
)


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
        self._buffers: dict[str, np.ndarray] = {}

    def decode(self, message: Any) -> np.ndarray:
        """The picture of either message type. Raises Clip2DepthError if it is malformed or not a picture."""
        return self.decode_compressed(message) if hasattr(message, "format") else self.decode_raw(message)

    def decode_for(
        self, message: Any, shrink_for: Callable[[tuple[int, int]], int]
    ) -> tuple[np.ndarray, tuple[int, int], int]:
        """The picture, the (width, height) that it was taken at, and how many pixels a side became one.

        shrink_for: how many may, at the most, for a picture of (width, height). Only a JPEG is decoded
        smaller. Raises Clip2DepthError, see :meth:`decode`.
        """
        if hasattr(message, "format"):
            coded = np.frombuffer(message.data, np.uint8)
            if can_shrink(coded):
                return self._decode_jpeg(message, coded, shrink_for)
        image = self.decode(message)
        return image, image.shape[1::-1], 1

    def _decode_jpeg(
        self, message: Any, coded: np.ndarray, shrink_for: Callable[[tuple[int, int]], int]
    ) -> tuple[np.ndarray, tuple[int, int], int]:
        try:
            size = stated_size(coded)
        except Clip2DepthError:
            size = 0, 0  # decoding says what is wrong
        most, shrink = shrink_for(size), 1
        while 2 * shrink <= min(most, MAX_SHRINK):
            shrink *= 2
        image = self.decode_compressed(message, shrink)
        return image, size if shrink > 1 else image.shape[1::-1], shrink

    def decode_raw(self, message: Any) -> np.ndarray:
        """The picture of a sensor_msgs/Image. Raises Clip2DepthError, see :meth:`decode`."""
        width, height, step, encoding = message.width, message.height, message.step, message.encoding
        try:
            check_size(width, height)
        except Clip2DepthError as error:
            raise Clip2DepthError(f"The image message is not used: {error}.") from None
        layout = ENCODINGS.get(encoding)
        if layout is None:
            raise Clip2DepthError(
                f"The image's encoding is '{printable(encoding)}', which is not a color or gray image that "
                f"can be read; these are: {', '.join(ENCODINGS)}."
            )
        pixels = np.frombuffer(message.data, np.uint8)
        if isinstance(layout, Planar):
            return self._decode_planar(pixels, width, height, step, encoding, layout)
        return self._decode_packed(pixels, width, height, step, encoding, layout, bool(message.is_bigendian))

    def decode_compressed(self, message: Any, shrink: int = 1) -> np.ndarray:
        """The picture of a sensor_msgs/CompressedImage: JPEG, PNG and what else coded_images reads.

        shrink: as decode_rgb takes it.
        """
        if "compressedDepth" in message.format:
            raise Clip2DepthError(
                f"The compressed image's format is '{printable(message.format)}': that is a depth image, the "
                "node needs a picture."
            )
        coded = np.frombuffer(message.data, np.uint8)
        try:
            # camera_info describes the pixels as they are stored, so an EXIF orientation must not turn them.
            return decode_rgb(coded, shrink=shrink)
        except Clip2DepthError as error:
            raise Clip2DepthError(
                f"The compressed image ({coded.size} bytes, format '{printable(message.format)}') is no "
                f"picture that can be read: {error}."
            ) from None

    def _decode_packed(
        self,
        pixels: np.ndarray,
        width: int,
        height: int,
        step: int,
        encoding: str,
        layout: Packed,
        big_endian: bool,
    ) -> np.ndarray:
        row = width * layout.samples * layout.sample_bytes
        _check_row(row, step, width, encoding)
        _check_length(pixels.size, step * height, step - row)
        if layout.pair and width % 2:
            raise Clip2DepthError(f"The image message is {width} pixels wide, but {encoding} holds pairs.")
        if min(width, height) < layout.least_side:
            raise Clip2DepthError(
                f"The image message is {width}x{height} pixels; {encoding} needs at least "
                f"{layout.least_side}x{layout.least_side}."
            )
        shape = (height, width, layout.samples) if layout.samples > 1 else (height, width)
        if layout.sample_bytes == 2:
            high = _plane(pixels, (height, width * layout.samples), 0 if big_endian else 1, step, 2)
            upper = self._buffer("upper", high.shape)
            np.copyto(upper, high)
            picture = upper.reshape(shape)
        else:
            picture = _plane(pixels, (height, row), 0, step).reshape(shape)
        if layout.conversion is None:
            return picture
        return cv2.cvtColor(picture, layout.conversion, dst=self._buffer("rgb", (height, width, 3)))

    def _decode_planar(
        self, pixels: np.ndarray, width: int, height: int, step: int, encoding: str, layout: Planar
    ) -> np.ndarray:
        if layout.half and (width % 2 or height % 2):
            raise Clip2DepthError(
                f"The image message is {width}x{height} pixels, but {encoding} has one color for 2x2 of "
                "them: both must be even."
            )
        _check_row(width, step, width, encoding)
        rows = height * 3 // 2 if layout.half else height * 3
        if pixels.size == width * rows:
            step = width  # some drivers give a step of all planes together
        # Rows of color: one as long as those of brightness, one twice, two half as long.
        color_rows = (1.0 if layout.interleaved else 0.5) if layout.half else 2.0
        _check_length(pixels.size, step * rows, int((step - width) * color_rows))
        rgb = self._buffer("rgb", (height, width, 3))
        if not layout.half:
            brightness = _plane(pixels, (height, width), 0, step)
            color = _plane(pixels, (height, 2 * width), step * height, 2 * step).reshape(height, width, 2)
            yuv = self._buffer("yuv", (height, width, 3))
            order = [0, 0, 1, 2, 2, 1] if layout.swapped else [0, 0, 1, 1, 2, 2]
            cv2.mixChannels([brightness, color], [yuv], order)
            return cv2.transform(yuv, _YUV_TO_RGB, dst=rgb)
        if layout.interleaved or step == width:
            planes = _plane(pixels, (rows, width), 0, step)
        else:
            planes = self._buffer("planes", (rows, width))
            np.copyto(planes[:height], _plane(pixels, (height, width), 0, step))
            color = _plane(pixels, (height, width // 2), step * height, step // 2)
            np.copyto(planes[height:].reshape(height, width // 2), color)
        return cv2.cvtColor(planes, layout.conversion, dst=rgb)  # pyright: ignore[reportCallIssue]

    def _buffer(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A uint8 array of the codec, kept as long as its shape is asked for."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != shape:
            buffer = self._buffers[name] = np.empty(shape, np.uint8)
        return buffer


def _plane(pixels: np.ndarray, shape: tuple[int, int], start: int, step: int, stride: int = 1) -> np.ndarray:
    """A view of (rows, columns) bytes: rows begin `step` bytes apart from byte `start` on, and columns are
    `stride` bytes apart."""
    return np.ndarray(shape, np.uint8, pixels, start, (step, stride))


def _check_row(needed: int, step: int, width: int, encoding: str) -> None:
    if step < needed:
        raise Clip2DepthError(
            f"The image message says a row of {width} {encoding} pixels is {step} bytes long, but it takes "
            f"{needed}."
        )


def _check_length(size: int, expected: int, padding: int) -> None:
    """Drivers may leave out what pads the last row."""
    if not expected - padding <= size <= expected:
        raise Clip2DepthError(
            f"The image message holds {size} bytes, but its size, step and encoding make it {expected}; it "
            "was cut off or filled wrongly."
        )
