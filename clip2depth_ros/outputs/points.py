# SPDX-License-Identifier: Apache-2.0
"""An organized point cloud with color, in the layout of a PointCloud2 message."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.lib.stride_tricks import as_strided

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import NAN, DepthFrame, Floor
from clip2depth_ros.outputs.edges import EdgeFinder
from clip2depth_ros.outputs.uncertainty import lowest_heights
from clip2depth_ros.settings import PointsSettings

POINT_STEP = 16
"""Bytes per point: x, y, z float32, and rgb float32 with the bits 0x00RRGGBB."""

BAND = 2**15
"""Points per band; a band is computed at once."""
RGB_BITS = np.uint32(0x00FFFFFF)
LIFTED = 0.5
"""Fraction of the least height of an obstacle:
a floor point that appears higher could be taken for an obstacle."""


@dataclass(frozen=True)
class FloorLimits:
    """The floor as detected in the depth, and as receivers of the cloud expect it.

    Depth that is too short raises the whole floor. For example, a floor that is detected 0.5 m below a camera
    that is mounted at 0.6 m appears 0.1 m above the real floor, and a costmap marks it as an obstacle. The
    detected floor moves with the depth, so the points of the floor can be recognized.
    """

    found: Floor
    """As detected, in the frame's published meters and optical frame."""
    expected: Floor
    """From the camera's mounting, relative to which receivers compare heights;
    `found` where that is unknown."""
    min_height: float
    """Least height of an obstacle above the floor, meters."""
    tolerance: float
    """How much steeper than detected the floor may be, meters of height per meter of distance."""


class PointCloud:
    """Builds organized XYZRGB clouds in the camera's optical frame.

    Point (i, j) is pixel (i * stride, j * stride); ranges are distances from the camera. `settings` may be
    replaced between two clouds.
    """

    def __init__(self, settings: PointsSettings = PointsSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self._prepared: tuple[Camera, PointsSettings] | None = None
        self._edges_width = 0

    def shape(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of the cloud of a depth image of that size."""
        stride = self.settings.stride
        return -(-height // stride), -(-width // stride)

    def build(
        self, frame: DepthFrame, out: np.ndarray | None = None, floor: FloorLimits | None = None
    ) -> np.ndarray:
        """Fill `out` with the cloud of a frame and return it.

        floor: points that are on the detected floor within its uncertainty, but above the expected floor,
        become unknown. None: no point is removed because of the floor.

        out: (h, w, 4) float32 with h, w = shape(): x, y, z in meters, NaN where unknown, and the packed
        color; its bytes are the data of a PointCloud2 with point_step 16. None makes a new array.
        Raises Clip2DepthError when the frame has no camera.
        """
        if frame.camera is None:
            raise Clip2DepthError(
                "The point cloud needs a camera: provide camera_info, a camera file or horizontal_fov."
            )
        if self._prepared != (frame.camera, self.settings):
            self._make_buffers(frame.camera)
        s, shape = self.settings.stride, self._shape
        if out is None:
            out = np.empty((*shape, 4), np.float32)
        elif out.shape != (*shape, 4) or out.dtype != np.float32:
            raise Clip2DepthError(
                f"The cloud's buffer must be float32 {(*shape, 4)}, it is {out.dtype} {out.shape}."
            )
        depth = frame.depth_at(s, s)
        unknown = self._find_smeared(frame, depth)
        colors = frame.image_at(s)
        std_dev = None if floor is None else frame.std_dev_at(s, s)
        for start in range(0, shape[0], self._band):
            rows = slice(start, start + self._band)
            cut = self._out_of_range(depth[rows], rows)
            if unknown is not None:
                cut |= unknown[rows]
            if floor is not None:
                cut |= self._lifted(depth[rows], None if std_dev is None else std_dev[rows], rows, floor)
            self._fill(depth[rows], cut, colors[rows], rows, out[rows])
        return out

    def _out_of_range(self, depth: np.ndarray, rows: slice) -> np.ndarray:
        """Mask of the points of `rows` outside the range; valid until the next call."""
        with np.errstate(invalid="ignore"):
            # The limits are stored as depths, so that no distance must be computed per point.
            cut = np.greater(depth, self._farthest[rows], out=self._cut[: len(depth)])
            if self.settings.min_range > 0:
                cut |= depth < self._nearest[rows]
        return cut

    def _lifted(
        self, depth: np.ndarray, std_dev: np.ndarray | None, rows: slice, floor: FloorLimits
    ) -> np.ndarray | bool:
        """Mask of the points of `rows` that are on the detected floor, but above the expected floor."""
        slope = self._slopes(floor.found, rows)
        if slope.min() >= 0:
            return False  # no ray of these rows meets the floor
        with np.errstate(invalid="ignore"):
            highest = floor.min_height - floor.found.height
            lowest = lowest_heights(depth, slope, std_dev, floor.tolerance)
            lifted = lowest < highest
            rise = np.multiply(self._slopes(floor.expected, rows), depth, out=slope)
            lifted &= rise > LIFTED * floor.min_height - floor.expected.height
        return lifted

    def _slopes(self, floor: Floor, rows: slice) -> np.ndarray:
        """Rise of the rays of `rows` along a plane's normal, per meter of depth."""
        x, y, z = floor.normal.astype(np.float32)
        return x * self._x + (y * self._y[rows] + z)

    def _fill(
        self, depth: np.ndarray, cut: np.ndarray, colors: np.ndarray, rows: slice, out: np.ndarray
    ) -> None:
        """Fill some rows of the cloud: so few that the intermediate arrays stay in the CPU cache."""
        x, y, z, rgb = planes = [plane[: len(out)] for plane in self._planes]
        np.copyto(z, depth)
        np.copyto(z, NAN, where=cut)
        np.multiply(z, self._x, out=x)
        np.multiply(z, self._y[rows], out=y)
        np.bitwise_and(_bgra(colors), RGB_BITS, out=rgb.view(np.uint32))
        # As integers, because the bits of a color can be a NaN, which may not be copied unchanged.
        cv2.merge([plane.view(np.int32) for plane in planes], dst=out.view(np.int32))

    def _find_smeared(self, frame: DepthFrame, z: np.ndarray) -> np.ndarray | None:
        """Mask of the points between two surfaces, before the range is cut: a jump to far away counts."""
        settings = self.settings
        if not settings.edge_threshold:
            return None
        coarse = frame.coarse_depth()
        # If the cloud is finer than the depth from which it was enlarged, the edges are found in the latter.
        fine = coarse is None or coarse.shape[1] >= z.shape[1]
        depth = z if fine else coarse
        if self._edges is None or self._edges_width != depth.shape[1]:
            self._edges_width = depth.shape[1]
            reach = max(1, round(settings.edge_reach * self._edges_width))
            self._edges = EdgeFinder(settings.edge_threshold, reach)
        smeared = self._edges.find_smeared(depth)
        return smeared if fine else frame.mask_at(smeared, settings.stride, settings.stride)

    def _make_buffers(self, camera: Camera) -> None:
        settings = self.settings
        x, y = camera.axes()
        self._x, self._y = x[:: settings.stride], y[:: settings.stride, None]
        self._shape = shape = self.shape(camera.width, camera.height)
        length = np.sqrt(self._x**2 + self._y**2 + 1, dtype=np.float32)
        self._nearest, self._farthest = (
            np.float32(settings.min_range) / length,
            np.float32(settings.max_range) / length,
        )
        self._band = max(1, BAND // shape[1])
        band = min(self._band, shape[0]), shape[1]
        self._planes = [np.empty(band, np.float32) for _ in range(4)]
        self._cut = np.empty(band, bool)
        self._edges: EdgeFinder | None = None
        self._prepared = (camera, settings)


def _bgra(colors: np.ndarray) -> np.ndarray:
    """(h, w) uint32 0xAARRGGBB of (h, w, 3) uint8 RGB."""
    height, width, _ = colors.shape
    apart = colors.strides[1] // 3
    if colors.strides[1:] != (3 * apart, 1) or apart < 1:
        colors, apart = np.ascontiguousarray(colors), 1
    # For every n-th pixel the pixels between are converted too, because that is faster than a strided copy.
    rows = as_strided(colors, (height, (width - 1) * apart + 1, 3), (colors.strides[0], 3, 1))
    return cv2.cvtColor(rows, cv2.COLOR_RGB2BGRA).view(np.uint32)[:, ::apart, 0]
