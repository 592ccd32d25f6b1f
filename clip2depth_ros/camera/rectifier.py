# SPDX-License-Identifier: Apache-2.0
"""Rectification of images and depth images, with maps that are computed once per camera."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.camera.pinhole import Camera
from clip2depth_ros.errors import Clip2DepthError


class Rectifier:
    """Rectifies the images of one camera.

    `camera` is the camera of the result; `outside` (H, W) uint8 is 255 where the result has no source pixel,
    or None when every pixel has one.
    """

    def __init__(self, camera: Camera) -> None:
        self.source = camera
        self.camera = camera.undistorted()
        x, y = self.maps(camera.size)
        inside = inside_of(x, y, camera.size)
        self.outside = None if inside.all() else np.where(inside, np.uint8(0), np.uint8(255))
        # Fixed-point maps need half the memory bandwidth; their resolution is 1/32 pixel.
        self._maps: tuple[np.ndarray, np.ndarray] = cv2.convertMaps(x, y, cv2.CV_16SC2)
        self._nearest: np.ndarray | None = None

    def maps(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Source positions of the pixels of the rectified image, resized to `size` (w, h).

        Returns x and y, (h, w) float32, pixels; not finite, or outside the image, where there is no source.
        """
        camera = self.source
        rotation = np.eye(3) if camera.rectification is None else np.array(camera.rectification).reshape(3, 3)
        make_maps = (
            cv2.fisheye.initUndistortRectifyMap
            if camera.distortion and camera.distortion_model == "equidistant"
            else cv2.initUndistortRectifyMap
        )
        distortion = np.array(camera.distortion or (0.0,) * 4)
        target = self.camera.scaled(*size)
        return make_maps(camera.matrix, distortion, rotation, target.matrix, size, cv2.CV_32FC1)

    def sampled_maps(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Maps for cv2.remap to every step-th pixel of every step-th row of the rectified image."""
        x, y = (np.ascontiguousarray(m[::step, ::step]) for m in self._maps)
        return x, y

    def rectify(self, image: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Fill `out` (H, W, 3) uint8, or a new array, with the rectified image, black without a source."""
        if image.shape[:2] != (self.source.height, self.source.width):
            raise Clip2DepthError(
                f"The image is {image.shape[1]}x{image.shape[0]}, its camera "
                f"{self.source.width}x{self.source.height}; camera_info does not match the image."
            )
        return cv2.remap(image, *self._maps, cv2.INTER_LINEAR, dst=out, borderMode=cv2.BORDER_CONSTANT)

    def rectify_depth(self, depth: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Fill `out` (H, W) float32, or a new array, with the depth, meters along the rectified optical axis.

        Each pixel takes the nearest source pixel, because a value between two surfaces is on neither of them.
        Pixels without a source become NaN.
        """
        if self._nearest is None:
            whole, part = self._maps
            # The fixed-point maps round down and store the remainder in 32nds:
            # x in the low five bits, y above.
            rest = np.stack([part & 31, part >> 5], -1)
            self._nearest = whole + (rest >= 16).astype(np.int16)
        none = np.empty(0, np.uint16)
        result = cv2.remap(
            depth, self._nearest, none, cv2.INTER_NEAREST, dst=out, borderMode=cv2.BORDER_CONSTANT,
            borderValue=np.nan,
        )  # fmt: skip
        if self.source.rectification is not None:
            result /= self.camera.rays() @ np.array(self.source.rectification, np.float32).reshape(3, 3)[:, 2]
        return result


class Rectifiers:
    """The rectifiers of the cameras that were asked for last, each made once per process.

    limit: how many are kept; None keeps all of them. A pickled copy starts empty.
    """

    def __init__(self, limit: int | None = 1) -> None:
        self._limit = limit
        self._made: dict[Camera, Rectifier] = {}

    def __getstate__(self) -> dict:
        return {"_limit": self._limit, "_made": {}}

    def of(self, camera: Camera) -> Rectifier | None:
        """The camera's rectifier; None for a camera that is rectified."""
        if camera.is_rectified:
            return None
        rectifier = self._made.pop(camera, None) or Rectifier(camera)
        self._made[camera] = rectifier
        if self._limit is not None and len(self._made) > self._limit:
            del self._made[next(iter(self._made))]
        return rectifier


def inside_of(x: np.ndarray, y: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mask of the positions x, y, pixels, inside an image of size (width, height), border pixels included."""
    with np.errstate(invalid="ignore"):
        return (x >= -0.5) & (y >= -0.5) & (x <= size[0] - 0.5) & (y <= size[1] - 0.5)
