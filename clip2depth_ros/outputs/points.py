# SPDX-License-Identifier: Apache-2.0
"""Depth and colour as an organised point cloud, in the layout of a PointCloud2 message."""

from __future__ import annotations

import math

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.frame import NAN, DepthFrame
from clip2depth_ros.outputs.edges import EdgeFinder

POINT_STEP = 16
"""Bytes a point: x, y, z float32, and rgb float32 whose bits are 0x00RRGGBB."""

RGB_BITS = np.uint32(0x00FFFFFF)


class PointCloud:
    """Builds organised XYZRGB clouds in the camera's optical frame.

    stride: every stride-th pixel of depth, in x and y; point (i, j) is pixel (i * stride, j * stride).
    min_range, max_range: distance from the camera, metres; other points are unknown.
    edge_threshold: relative jump in depth from which points between two surfaces are cut; 0 = cut none.
    edge_reach: how far around a jump they are looked for, as a fraction of the image's width.
    """

    def __init__(
        self,
        stride: int = 2,
        min_range: float = 0.0,
        max_range: float = math.inf,
        edge_threshold: float = 0.1,
        edge_reach: float = 0.01,
    ) -> None:
        if stride < 1:
            raise Clip2DepthError(f"The points' stride must be at least 1, it is {stride}.")
        if not 0 <= min_range < max_range:
            raise Clip2DepthError(
                f"The points' range must be positive and rising, it is {min_range}..{max_range}."
            )
        if not 0 <= edge_threshold < 1:
            raise Clip2DepthError(f"The edge threshold must lie between 0 and 1, it is {edge_threshold}.")
        self.stride = stride
        self.min_range = min_range
        self.max_range = max_range
        self.edge_threshold = edge_threshold
        self.edge_reach = edge_reach
        self._camera: Camera | None = None
        self._edges_width = 0

    def shape(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of the cloud of a depth image of that size."""
        return -(-height // self.stride), -(-width // self.stride)

    def build(self, frame: DepthFrame, out: np.ndarray | None = None) -> np.ndarray:
        """Fill `out` with the cloud of a frame and return it.

        out: (h, w, 4) float32 with h, w = shape(): x, y, z in metres, NaN where unknown, and the packed
        colour; its bytes are the data of a PointCloud2 with point_step 16. None makes a new array.
        Raises Clip2DepthError when the frame has no camera.
        """
        if frame.camera is None:
            raise Clip2DepthError(
                "Points need to know the camera: provide camera_info, a camera file or horizontal_fov."
            )
        if frame.camera != self._camera:
            self._make_buffers(frame.camera)
        s, shape = self.stride, self._shape
        if out is None:
            out = np.empty((*shape, 4), np.float32)
        elif out.shape != (*shape, 4) or out.dtype != np.float32:
            raise Clip2DepthError(
                f"The cloud's buffer must be float32 {(*shape, 4)}, it is {out.dtype} {out.shape}."
            )
        x, y, z, rgb = self._planes
        np.copyto(z, frame.depth_at(s, s))
        smeared = self._find_smeared(frame, z)
        with np.errstate(invalid="ignore"):
            # The range as a depth: the same comparison without the distance of every point.
            cut = np.greater(z, self._farthest, out=self._cut)
            if self.min_range > 0:
                cut |= z < self._nearest
        if smeared is not None:
            cut |= smeared
        np.copyto(z, NAN, where=cut)
        np.multiply(z, self._x, out=x)
        np.multiply(z, self._y, out=y)
        np.copyto(self._rgb, frame.image_at(s))
        cv2.cvtColor(self._rgb, cv2.COLOR_RGB2BGRA, dst=self._bgra)
        np.bitwise_and(self._bgra.view(np.uint32)[..., 0], RGB_BITS, out=rgb.view(np.uint32))
        # As integers, because a color that is read as a number may be none.
        cv2.merge([plane.view(np.int32) for plane in self._planes], dst=out.view(np.int32))
        return out

    def _find_smeared(self, frame: DepthFrame, z: np.ndarray) -> np.ndarray | None:
        """Mask of the points between two surfaces, found before the range is cut: a jump to far away counts."""
        if not self.edge_threshold:
            return None
        coarse = frame.coarse_depth()
        # Where the cloud is finer than what depth was enlarged from, that holds all that is to be found.
        fine = coarse is None or coarse.shape[1] >= z.shape[1]
        depth = z if fine else coarse
        if self._edges is None or self._edges_width != depth.shape[1]:
            self._edges_width = depth.shape[1]
            self._edges = EdgeFinder(self.edge_threshold, max(1, round(self.edge_reach * self._edges_width)))
        smeared = self._edges.find_smeared(depth)
        return smeared if fine else frame.mask_at(smeared, self.stride, self.stride)

    def _make_buffers(self, camera: Camera) -> None:
        x, y = camera.axes()
        self._x, self._y = x[:: self.stride], y[:: self.stride, None]
        self._shape = shape = self.shape(camera.width, camera.height)
        length = np.sqrt(self._x**2 + self._y**2 + 1, dtype=np.float32)
        self._nearest, self._farthest = np.float32(self.min_range) / length, np.float32(self.max_range) / length
        self._planes = [np.empty(shape, np.float32) for _ in range(4)]
        self._cut = np.empty(shape, bool)
        self._rgb = np.empty((*shape, 3), np.uint8)
        self._bgra = np.empty((*shape, 4), np.uint8)
        self._edges: EdgeFinder | None = None
        self._camera = camera
