# SPDX-License-Identifier: Apache-2.0
"""Encodings of depth images (REP 118): meters, NaN unknown, or millimeters, 0 unknown."""

from __future__ import annotations

from typing import Any

import numpy as np

from clip2depth_ros.errors import Clip2DepthError

MILLIMETERS_MAX = 65535

_PIXELS = {"32FC1": np.dtype(np.float32), "16UC1": np.dtype(np.uint16), "mono16": np.dtype(np.uint16)}


class Millimeters:
    """Converts meters to 16-bit millimeters; keeps its buffers between images."""

    def __init__(self) -> None:
        self._millimeters = np.empty((0, 0), np.float32)
        self._known = np.empty((0, 0), bool)
        self._below = np.empty((0, 0), bool)
        self._out = np.empty((0, 0), np.uint16)

    def fill(self, depth: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write depth, (H, W) float32 meters, into `out` (H, W) uint16, and return it.

        Rounded; 0 where depth is unknown, negative or beyond 65.535 m.
        """
        if self._millimeters.shape != depth.shape:
            self._millimeters = np.empty(depth.shape, np.float32)
            self._known = np.empty(depth.shape, bool)
            self._below = np.empty(depth.shape, bool)
        millimeters, known = self._millimeters, self._known
        np.multiply(depth, np.float32(1000.0), out=millimeters)
        np.rint(millimeters, out=millimeters)
        # Comparisons with NaN are false, so NaN counts as unknown.
        np.greater_equal(millimeters, 0, out=known)
        np.less_equal(millimeters, MILLIMETERS_MAX, out=self._below)
        np.logical_and(known, self._below, out=known)
        unknown = np.logical_not(known, out=known)
        np.copyto(millimeters, 0.0, where=unknown)
        np.copyto(out, millimeters, casting="unsafe")
        return out

    def of(self, depth: np.ndarray) -> np.ndarray:
        """(H, W) uint16 millimeters of (H, W) float32 meters; valid until the next call."""
        if self._out.shape != depth.shape:
            self._out = np.empty(depth.shape, np.uint16)
        return self.fill(depth, self._out)


def read_depth(message: Any) -> np.ndarray | None:
    """(H, W) float32, meters, NaN unknown, of a message with the fields of a sensor_msgs/Image.

    32FC1 is meters, 16UC1 and mono16 are millimeters, in either byte order; None for another encoding.
    Raises Clip2DepthError when the data does not match the stated size.
    """
    kind = _PIXELS.get(message.encoding)
    if kind is None:
        return None
    order = ">" if message.is_bigendian else "<"
    height, step, row = message.height, message.step, message.width * kind.itemsize
    pixels = np.frombuffer(message.data, np.uint8)
    # The padding of the last row may be missing.
    if not (0 < row <= step and height > 0 and step * height - (step - row) <= pixels.size <= step * height):
        raise Clip2DepthError(
            f"The depth image says it is {message.width}x{height} pixels in rows of {step} bytes, but it has "
            f"{pixels.size} bytes; it was cut off or filled wrongly."
        )
    rows = np.ascontiguousarray(np.ndarray((height, row), np.uint8, pixels, 0, (step, 1)))
    depth = rows.view(kind.newbyteorder(order)).astype(np.float32)
    if kind.itemsize == 2:
        depth *= np.float32(1e-3)
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth
