# SPDX-License-Identifier: Apache-2.0
"""Everything that depends on the image's size and camera only: from image to network and back."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.bundle import Manifest
from clip2depth_ros.camera import Camera, Letterbox, Rectifier
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.frame import NAN


class Geometry:
    """Rectifies, fits into the network's input and unfits; owns the buffers of the results.

    size: (width, height) of the images. camera: theirs, None when nobody knows it. depth_size: (width,
    height) of the depth, None for the images' own. rectifier: the camera's, if there is one already.
    letterbox: between image and network. focal_scale: factor from the network's metres to the camera's.
    inner_camera: of the network's pixels that the image covers; depth_camera: of the depth; both None without
    a camera.
    Raises Clip2DepthError for a camera of another size, and for none where the manifest needs one.
    """

    def __init__(
        self,
        manifest: Manifest,
        size: tuple[int, int],
        camera: Camera | None,
        depth_size: tuple[int, int] | None,
        rectifier: Rectifier | None = None,
    ) -> None:
        if camera is None and manifest.canonical_focal_px is not None:
            raise Clip2DepthError(
                f"Bundle '{manifest.name}' needs to know the camera to give metres: provide camera_info, a "
                "camera file or horizontal_fov."
            )
        if camera is not None and camera.size != size:
            raise Clip2DepthError(
                f"The image is {size[0]}x{size[1]}, its camera {camera.width}x{camera.height}; "
                "camera_info and image do not belong together."
            )
        self.size, self.camera = size, camera
        self._depth_size = depth_size
        if rectifier is None and camera is not None and not camera.is_rectified:
            rectifier = Rectifier(camera)
        self._rectifier = rectifier
        rectified = self._rectifier.camera if self._rectifier else camera
        self.letterbox = letterbox = Letterbox(size, manifest.input_width, manifest.input_height)
        inner_size = letterbox.inner_width, letterbox.inner_height
        width, height = depth_size or size
        self.inner_camera = rectified.scaled(*inner_size) if rectified else None
        self.depth_camera = rectified.scaled(width, height) if rectified else None
        self.focal_scale = 1.0
        if manifest.canonical_focal_px is not None:
            self.focal_scale = rectified.fx * letterbox.scale[0] / manifest.canonical_focal_px
        outside = self._rectifier.outside if self._rectifier else None
        if outside is not None:
            outside = cv2.resize(outside, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
        self._outside = outside
        self._rectified = np.empty((size[1], size[0], 3), np.uint8) if self._rectifier else None
        self._image = None if (width, height) == size else np.empty((height, width, 3), np.uint8)
        self._depth = np.empty((height, width), np.float32)
        self._known = np.empty((height, width), bool)
        self._deviation = np.empty((height, width), np.float32)
        self._inner_deviation = np.empty(inner_size[::-1], np.float32)
        self._raw: np.ndarray | None = None

    def for_network(self, manifest: Manifest) -> Geometry:
        """The same for the input of another network; raises what the constructor raises."""
        return Geometry(manifest, self.size, self.camera, self._depth_size, self._rectifier)

    def rectify(self, image: np.ndarray) -> np.ndarray:
        """The image without distortion; the image itself where there is none."""
        return image if self._rectifier is None else self._rectifier.rectify(image, self._rectified)

    def unfit(self, net_depth: np.ndarray) -> tuple[np.ndarray, float]:
        """Depth (h, w) of the whole image, NaN outside the camera's view, and the part of it that is known.

        net_depth: (net_height, net_width) float32, metres, NaN = unknown.
        """
        depth = self._unfit(net_depth, self._depth)
        np.greater(depth, 0, out=self._known)
        return depth, float(np.count_nonzero(self._known) / depth.size)

    def unfit_raw(self, net_depth: np.ndarray) -> np.ndarray:
        """The same for a second depth of the same frame, in a buffer of its own."""
        if self._raw is None:
            self._raw = np.empty_like(self._depth)
        return self._unfit(net_depth, self._raw)

    def unfit_deviation(self, deviation: np.ndarray, scale_deviation: float) -> np.ndarray:
        """Relative deviation (h, w) of the depth that `unfit` gave last, NaN where that is unknown.

        deviation: (inner_height, inner_width) float32, of the network's pixels that the image covers.
        scale_deviation: that of a factor on all of them, independent of their own; NaN counts as none.
        """
        whole = np.multiply(deviation, deviation, out=self._inner_deviation)
        whole += np.float32(np.nan_to_num(scale_deviation) ** 2)
        np.sqrt(whole, out=whole)
        out = self._deviation
        # The nearest, because unfit gives what borders on the unknown its nearest depth.
        cv2.resize(whole, out.shape[::-1], dst=out, interpolation=cv2.INTER_NEAREST_EXACT)
        np.copyto(out, NAN, where=np.logical_not(self._known, out=self._known))
        return out

    def resize(self, image: np.ndarray) -> np.ndarray:
        """The rectified image at the depth's size; the image itself where that is its own."""
        if self._image is None:
            return image
        size = self._depth.shape[::-1]
        return cv2.resize(image, size, dst=self._image, interpolation=cv2.INTER_AREA)

    def _unfit(self, net_depth: np.ndarray, out: np.ndarray) -> np.ndarray:
        self.letterbox.unfit(net_depth, out)
        if self._outside is not None:
            np.copyto(out, NAN, where=self._outside)
        return out
