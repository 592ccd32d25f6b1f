# SPDX-License-Identifier: Apache-2.0
"""Depth image messages to arrays, raw and compressed, and the stamp of a serialized message."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.compressed import decode_depth
from clip2depth_ros.images.depth_images import read_depth


def header_stamp(raw: bytes) -> int:
    """Nanoseconds of the stamp at the beginning of a serialized message with a header."""
    little = raw[1] & 1
    seconds, nanoseconds = struct.unpack_from("<iI" if little else ">iI", raw, 4)
    return seconds * 1_000_000_000 + nanoseconds


def depth_of(message: Any) -> np.ndarray | None:
    """(H, W) float32 meters, NaN unknown, of an Image or of a compressedDepth CompressedImage.

    None for an encoding or a format that is not depth. Raises Clip2DepthError for a damaged message.
    """
    return read_compressed_depth(message) if hasattr(message, "format") else read_depth(message)


def read_compressed_depth(message: Any) -> np.ndarray | None:
    """(H, W) float32 meters, NaN unknown, of a CompressedImage of compressed_depth_image_transport.

    PNG of 16-bit millimeters, or of quantized inverse depth for 32FC1; None for another format. Raises
    Clip2DepthError for a damaged one.
    """
    if "compressedDepth" not in message.format:
        return None
    coded = np.frombuffer(message.data, np.uint8)
    try:
        # A header of 12 bytes: the format, and the two numbers of the quantization.
        raw = decode_depth(coded[12:])
    except Clip2DepthError as error:
        raise Clip2DepthError(
            f"A compressed depth image of {coded.size} bytes cannot be read: {error}."
        ) from None
    depth = raw.astype(np.float32)
    if message.format.startswith("32FC1"):
        a, b = struct.unpack_from("<ff", coded[:12].tobytes(), 4)
        with np.errstate(divide="ignore"):
            depth = np.float32(a) / (depth - np.float32(b))
    else:
        depth *= np.float32(1e-3)
    depth[(raw == 0) | ~np.isfinite(depth) | ~(depth > 0)] = np.nan
    return depth
