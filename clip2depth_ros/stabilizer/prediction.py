# SPDX-License-Identifier: Apache-2.0
"""The past carried into the present: where every pixel was, and what depth it should have now."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.stabilizer.flow import Flow, square_length

ASTRAY, ASTRAY_PART = 1.0, 0.1
"""Flow speaks against the camera's motion where they differ by more than this many pixels of the reduced
image and this part of the flow."""
UNLIKE, UNLIKE_PART = 4, 1.5
"""And where the image looks less like the place that the motion leads to by this many grey levels and this
factor: flow alone errs too often where there is little texture."""
NEAREST, FARTHEST = 1e-2, 1e6
"""Metres; expected depth is no less and no more, or what nobody measures would grow beyond all numbers."""
UNKNOWN = 1e4
"""Variance of what is not known, in units of one measurement's."""


class Prediction:
    """Looks the past up.

    Where the camera's motion is known and the image does not speak against it, a pixel's past place follows
    from the motion and the depth just measured, which is far more precise than flow. Where the image does
    speak against it something moves by itself, or was hidden, and there is no past. Without a motion the
    past place follows from the flow, where that is consistent.

    After carry(): `depth` (h, w) float32, the expected depth, finite and positive everywhere; `variance`
    (h, w) float32, what is left of the past's, UNKNOWN where there is no past; `astray` (flow's h, w) uint8,
    1 where the image speaks against the past place. The arrays belong to this object and hold until the
    next carry().
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
        self._unlike, self._limit = np.empty(small, np.uint8), np.empty(small, np.uint8)
        self.astray, self._unseen = np.empty(small, np.uint8), np.empty(small, np.uint8)
        self._all_places = np.empty((*shape, 2), np.float32) if self._enlarges else self._places
        self._all_astray = np.empty(shape, np.uint8) if self._enlarges else self.astray
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
        """Fill the arrays.

        depth, variance: (h, w) float32 of the previous frame, finite everywhere. measured: (h, w) float32,
        this frame's depth, NaN = unknown. camera: of all these. motion: (4, 4), the previous optical frame's
        points into this one, or None.
        """
        flow = self._flow
        if motion is None:
            np.copyto(self._places, flow.there)
            np.logical_not(flow.known, out=self.astray.view(bool))
        else:
            small_camera = self.reduced(camera)
            self._find_places(measured, small_camera, motion)
            self._find_astray()
            self._find_factor(small_camera, motion)
        if self._enlarges:
            self._enlarge()
        border = {"borderMode": cv2.BORDER_CONSTANT}
        places = self._all_places
        cv2.remap(depth, places, None, cv2.INTER_LINEAR, dst=self.depth, borderValue=1.0, **border)
        cv2.remap(variance, places, None, cv2.INTER_LINEAR, dst=self.variance, borderValue=UNKNOWN, **border)
        np.copyto(self.variance, UNKNOWN, where=self._all_astray.view(bool))
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
        """Fill self._places with where every pixel of the reduced image was; NaN where depth is unknown."""
        back = np.linalg.inv(motion)
        turn = (back[:3, :3] @ np.linalg.inv(camera.matrix)).astype(np.float32)
        inverse = self._inverse
        if self._enlarges:
            size = (self._flow.width, self._flow.height)
            cv2.resize(measured, size, dst=inverse, interpolation=cv2.INTER_NEAREST)
            np.reciprocal(inverse, out=inverse)
        else:
            np.reciprocal(measured, out=inverse)
        # The point on a pixel's ray at its depth, moved back, over its depth.
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

    def _find_astray(self) -> None:
        """Fill self.astray with 1 where the image speaks against self._places; put the flow's where these
        are unknown."""
        flow, apart, difference, tolerance = self._flow, self._apart, self._x, self._y
        np.not_equal(self._x, self._x, out=self._unseen.view(bool))
        cv2.copyTo(flow.there, self._unseen, self._places)
        cv2.subtract(self._places, flow.there, dst=apart)
        square_length(apart, difference)
        np.copyto(apart, flow.shift)
        square_length(apart, tolerance)
        tolerance *= np.float32(ASTRAY_PART**2)
        tolerance += np.float32(ASTRAY**2)
        flow.compare(self._places, self._unlike)
        cv2.convertScaleAbs(flow.unlike, dst=self._limit, alpha=UNLIKE_PART, beta=UNLIKE)
        astray = self.astray.view(bool)
        np.greater(difference, tolerance, out=astray)
        np.greater(self._unlike, self._limit, out=self._limit.view(bool))
        astray &= self._limit.view(bool)

    def _find_factor(self, camera: Camera, motion: np.ndarray) -> None:
        """Fill self._factor: what a point's depth is multiplied by before the motion's advance is added."""
        ahead = motion[2, :3] @ np.linalg.inv(camera.matrix)
        cv2.transform(self._places, ahead.astype(np.float32)[None], dst=self._factor)

    def _enlarge(self) -> None:
        """From the reduced image to the depth's size: places, in its pixels, factor, and what is astray."""
        flow, places = self._flow, self._places
        across, down = self._size[0] / flow.width, self._size[1] / flow.height
        # (u + 0.5) * s - 0.5
        to_depth = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]], np.float32)
        cv2.transform(places, to_depth, dst=places)
        cv2.resize(places, self._size, dst=self._all_places, interpolation=cv2.INTER_LINEAR)
        cv2.resize(self._factor, self._size, dst=self._all_factor, interpolation=cv2.INTER_LINEAR)
        cv2.resize(self.astray, self._size, dst=self._all_astray, interpolation=cv2.INTER_NEAREST)
