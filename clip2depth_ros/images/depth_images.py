# SPDX-License-Identifier: Apache-2.0
"""What the pixels of a depth image mean (REP 118): metres, NaN unknown, or millimetres, 0 unknown."""

from __future__ import annotations

from typing import Any

import numpy as np

from clip2depth_ros.errors import Clip2DepthError

MILLIMETRES_MAX = 65535

_PIXELS = {"32FC1": np.dtype(np.float32), "16UC1": np.dtype(np.uint16), "mono16": np.dtype(np.uint16)}


class Millimetres:
    """Turns metres into 16-bit millimetres; its buffers are kept between images."""

    def __init__(self) -> None:
        self._millimetres = np.empty((0, 0), np.float32)
        self._known = np.empty((0, 0), bool)
        self._below = np.empty((0, 0), bool)
        self._out = np.empty((0, 0), np.uint16)

    def fill(self, depth: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write depth, (H, W) float32 metres, into `out` (H, W) uint16, and return it.

        Rounded; 0 where depth is unknown, negative or beyond 65.535 m.
        """
        if self._millimetres.shape != depth.shape:
            self._millimetres = np.empty(depth.shape, np.float32)
            self._known = np.empty(depth.shape, bool)
            self._below = np.empty(depth.shape, bool)
        millimetres, known = self._millimetres, self._known
        np.multiply(depth, np.float32(1000.0), out=millimetres)
        np.rint(millimetres, out=millimetres)
        # Comparisons with NaN are false: what is not surely representable is unknown.
        np.greater_equal(millimetres, 0, out=known)
        np.less_equal(millimetres, MILLIMETRES_MAX, out=self._below)
        np.logical_and(known, self._below, out=known)
        unknown = np.logical_not(known, out=known)
        np.copyto(millimetres, 0.0, where=unknown)
        np.copyto(out, millimetres, casting="unsafe")
        return out

    def of(self, depth: np.ndarray) -> np.ndarray:
        """(H, W) uint16 millimetres of (H, W) float32 metres, valid until the next call."""
        if self._out.shape != depth.shape:
            self._out = np.empty(depth.shape, np.uint16)
        return self.fill(depth, self._out)


def read_depth(message: Any) -> np.ndarray | None:
    """(H, W) float32, metres, NaN unknown, of a message with the fields of a sensor_msgs/Image.

    32FC1 is metres, 16UC1 and mono16 are millimetres, in either byte order; None for another encoding.
    Raises Clip2DepthError where the message holds less than its size says.
    """
    kind = _PIXELS.get(message.encoding)
    if kind is None:
        return None
    order = ">" if message.is_bigendian else "<"
    height, step, row = message.height, message.step, message.width * kind.itemsize
    pixels = np.frombuffer(message.data, np.uint8)
    # What pads the last row may be missing.
    if not (0 < row <= step and height > 0 and step * height - (step - row) <= pixels.size <= step * height):
        raise Clip2DepthError(
            f"The depth image says it is {message.width}x{height} pixels in rows of {step} bytes, but it "
            f"holds {pixels.size}; it was cut off or filled wrongly."
        )
    rows = np.ascontiguousarray(np.ndarray((height, row), np.uint8, pixels, 0, (step, 1)))
    depth = rows.view(kind.newbyteorder(order)).astype(np.float32)
    if kind.itemsize == 2:
        depth *= np.float32(1e-3)
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth
