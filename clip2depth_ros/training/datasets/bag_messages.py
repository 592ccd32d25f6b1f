# SPDX-License-Identifier: Apache-2.0
"""What of a bag's messages no library reads: the stamp without the message, and compressed depth."""

from __future__ import annotations

import struct

import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.compressed import decode_depth


def header_stamp(raw: bytes) -> int:
    """Nanoseconds of the stamp that a serialised message with a header begins with."""
    little = raw[1] & 1
    seconds, nanoseconds = struct.unpack_from("<iI" if little else ">iI", raw, 4)
    return seconds * 1_000_000_000 + nanoseconds


def read_compressed_depth(message) -> np.ndarray | None:
    """(H, W) float32 metres, NaN unknown, of a CompressedImage of compressed_depth_image_transport.

    PNG of 16-bit millimetres, or of quantised inverse depth for 32FC1; None for another format. Raises
    Clip2DepthError for a damaged one.
    """
    if "compressedDepth" not in message.format:
        return None
    coded = np.frombuffer(message.data, np.uint8)
    try:
        # A header of 12 bytes: the format, and the two numbers of the quantisation.
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
