# SPDX-License-Identifier: Apache-2.0
"""Prediction of the current depth from the previous one, by the camera's motion or by optical flow."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.stabilizer.flow import Flow, square_length

INCONSISTENT, INCONSISTENT_PART = 1.0, 0.1
"""The flow is inconsistent with the camera's motion where they differ by more than INCONSISTENT pixels of the
reduced image and INCONSISTENT_PART of the flow,"""
RESIDUAL, RESIDUAL_PART = 4, 1.5
"""and where the photometric residual of the motion's position exceeds that of the flow's by RESIDUAL gray
levels and a factor of RESIDUAL_PART. The second condition is needed because flow is unreliable without
texture."""
NEAREST, FARTHEST = 1e-2, 1e6
"""Limits of the predicted depth, meters. Without them the depth of unmeasured pixels could overflow."""
UNKNOWN = 1e4
"""Variance of an unknown depth, in units of one measurement's."""


class Prediction:
    """Warps the previous depth into the current frame.

    Where the camera's motion is known and consistent with the images, a pixel's previous position follows
    from the motion and the measured depth, which is much more precise than flow. Where it is inconsistent, an
    object moved or was occluded, and the pixel has no past. Without a motion, the previous position follows
    from the flow where the forward-backward check holds.

    Results of carry(): `depth` (h, w) float32, the predicted depth, finite and positive everywhere;
    `variance` (h, w) float32, UNKNOWN where there is no past; `inconsistent` (flow's h, w) uint8, 1 where the
    previous position is inconsistent with the images. The arrays belong to this object and are valid until
    the next carry().
    """

    def __init__(self, width: int, height: int, flow: Flow) -> None:
        self._size = (width, height)
        self._flow = flow
        self._camera: Camera | None = None
        shape, small = (height, width), (flow.height, flow.width)
        self._enlarges = shape != small
        self._inverse = np.empty(small, np.float32)
        self._x, self._y, self._z = (np.empty(small, np.float32) for _ in range(3))
        self._places, self._apart = np.empty((*small, 2), np.float32), np.empty((*small, 2), np.float32)
        self._residual, self._limit = np.empty(small, np.uint8), np.empty(small, np.uint8)
        self.inconsistent, self._unseen = np.empty(small, np.uint8), np.empty(small, np.uint8)
        self._all_places = np.empty((*shape, 2), np.float32) if self._enlarges else self._places
        self._all_inconsistent = np.empty(shape, np.uint8) if self._enlarges else self.inconsistent
        self._factor = np.empty(small, np.float32)
        self._all_factor = np.empty(shape, np.float32) if self._enlarges else self._factor
        self.depth, self.variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self._columns = np.arange(flow.width, dtype=np.float32)
        self._rows = np.arange(flow.height, dtype=np.float32)[:, None]

    def carry(
        self,
        depth: np.ndarray,
        variance: np.ndarray,
        measured: np.ndarray,
        camera: Camera | None,
        motion: np.ndarray | None,
    ) -> None:
        """Compute the prediction.

        depth, variance: (h, w) float32 of the previous frame, finite everywhere. measured: (h, w) float32,
        this frame's depth, NaN = unknown. camera: of all these. motion: (4, 4), points of the previous
        optical frame into this one, or None.
        """
        flow = self._flow
        if motion is None:
            np.copyto(self._places, flow.there)
            np.logical_not(flow.known, out=self.inconsistent.view(bool))
        else:
            small_camera = self.reduced(camera)
            self._find_places(measured, small_camera, motion)
            self._find_inconsistent()
            self._find_factor(small_camera, motion)
        if self._enlarges:
            self._enlarge()
        border = {"borderMode": cv2.BORDER_CONSTANT}
        places = self._all_places
        cv2.remap(depth, places, None, cv2.INTER_LINEAR, dst=self.depth, borderValue=1.0, **border)  # pyright: ignore[reportCallIssue]
        cv2.remap(variance, places, None, cv2.INTER_LINEAR, dst=self.variance, borderValue=UNKNOWN, **border)  # pyright: ignore[reportCallIssue]
        np.copyto(self.variance, UNKNOWN, where=self._all_inconsistent.view(bool))
        if motion is None:
            self.depth *= np.float32(flow.growth())
        else:
            self.depth *= self._all_factor
            self.depth += np.float32(motion[2, 3])
        np.fmax(self.depth, np.float32(NEAREST), out=self.depth)
        np.fmin(self.depth, np.float32(FARTHEST), out=self.depth)

    def reduced(self, camera: Camera) -> Camera:
        """The camera of the flow's reduced image."""
        if camera is not self._camera:
            self._camera, self._reduced = camera, camera.scaled(self._flow.width, self._flow.height)
        return self._reduced

    def _find_places(self, measured: np.ndarray, camera: Camera, motion: np.ndarray) -> None:
        """Fill self._places with the previous positions of the reduced image's pixels;
        NaN for unknown depth."""
        back = np.linalg.inv(motion)
        turn = (back[:3, :3] @ np.linalg.inv(camera.matrix)).astype(np.float32)
        inverse = self._inverse
        if self._enlarges:
            size = (self._flow.width, self._flow.height)
            cv2.resize(measured, size, dst=inverse, interpolation=cv2.INTER_NEAREST)
            np.reciprocal(inverse, out=inverse)
        else:
            np.reciprocal(measured, out=inverse)
        # The point of a pixel, moved back, divided by its depth.
        for axis, out in enumerate((self._x, self._y, self._z)):
            np.multiply(inverse, np.float32(back[axis, 3]), out=out)
            out += turn[axis, 0] * self._columns
            out += turn[axis, 1] * self._rows + turn[axis, 2]
        x, y, z = self._x, self._y, self._z
        np.reciprocal(z, out=z)
        z *= np.float32(camera.fx)
        x *= z
        x += np.float32(camera.cx)
        y *= z
        if camera.fy != camera.fx:
            y *= np.float32(camera.fy / camera.fx)
        y += np.float32(camera.cy)
        cv2.merge((x, y), dst=self._places)

    def _find_inconsistent(self) -> None:
        """Fill self.inconsistent with 1 where self._places is inconsistent with the images; where it is
        unknown, replace it by the flow's position."""
        flow, apart, difference, tolerance = self._flow, self._apart, self._x, self._y
        np.not_equal(self._x, self._x, out=self._unseen.view(bool))
        cv2.copyTo(flow.there, self._unseen, self._places)
        cv2.subtract(self._places, flow.there, dst=apart)
        square_length(apart, difference)
        np.copyto(apart, flow.shift)
        square_length(apart, tolerance)
        tolerance *= np.float32(INCONSISTENT_PART**2)
        tolerance += np.float32(INCONSISTENT**2)
        flow.compare(self._places, self._residual)
        cv2.convertScaleAbs(flow.residual, dst=self._limit, alpha=RESIDUAL_PART, beta=RESIDUAL)
        inconsistent = self.inconsistent.view(bool)
        np.greater(difference, tolerance, out=inconsistent)
        np.greater(self._residual, self._limit, out=self._limit.view(bool))
        inconsistent &= self._limit.view(bool)

    def _find_factor(self, camera: Camera, motion: np.ndarray) -> None:
        """Fill self._factor, by which a point's depth is multiplied before the
        motion's translation is added."""
        ahead = motion[2, :3] @ np.linalg.inv(camera.matrix)
        cv2.transform(self._places, ahead.astype(np.float32)[None], dst=self._factor)

    def _enlarge(self) -> None:
        """Resize positions (to the depth's pixels),
        factor and mask from the reduced image to the depth's size."""
        flow, places = self._flow, self._places
        across, down = self._size[0] / flow.width, self._size[1] / flow.height
        # (u + 0.5) * s - 0.5
        to_depth = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]], np.float32)
        cv2.transform(places, to_depth, dst=places)
        cv2.resize(places, self._size, dst=self._all_places, interpolation=cv2.INTER_LINEAR)
        cv2.resize(self._factor, self._size, dst=self._all_factor, interpolation=cv2.INTER_LINEAR)
        cv2.resize(self.inconsistent, self._size, dst=self._all_inconsistent, interpolation=cv2.INTER_NEAREST)
