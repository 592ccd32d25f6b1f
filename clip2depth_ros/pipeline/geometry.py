# SPDX-License-Identifier: Apache-2.0
"""What depends on image size and camera only: from the image to the network's input, and back."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.bundle import Manifest
from clip2depth_ros.camera import Camera, Letterbox, Rectifier, Resampler
from clip2depth_ros.camera.resampler import shrunk_maps, shrunk_size
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import NAN


class Geometry:
    """Rectifies, letterboxes to the network's input, and restores the image's geometry.

    size: (width, height) of the images. camera: theirs, None when it is not known. depth_size: (width,
    height) of the depth, None for the size of the images. rectifier: the camera's, if it exists already.

    Attributes: letterbox, between image and network. focal_scale, factor from the network's meters to the
    camera's. inner_camera, of the network's pixels that the image covers; depth_camera, of the depth; both
    None without a camera. depth_shape, (h, w) of the depth.

    Raises Clip2DepthError for a camera of another size, and without a camera where the manifest needs one.
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
                f"Bundle '{manifest.name}' needs the camera to give meters: provide camera_info, a "
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
        self.depth_shape = height, width
        self._to_network = Resampler(size, inner_size, self._rectifier)
        self._seen_by = self._count_pixels()
        self._all_seen = self._seen_by.sum()
        self._known = np.empty(self._seen_by.shape, np.bool_)
        self._rectified: np.ndarray | None = None
        self._to_depth: Resampler | None = None
        self._image: np.ndarray | None = None
        self._color_maps: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}

    def _count_pixels(self) -> np.ndarray:
        """(inner_height, inner_width): of how many pixels of the depth each network pixel is the nearest."""
        grid = self.letterbox.grid(self.depth_shape, (1, 1))
        shape = self.letterbox.inner_height, self.letterbox.inner_width
        pixels = grid.nearest(np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape))
        if self._outside is not None:
            pixels = pixels[~self._outside]
        return np.bincount(pixels.ravel(), minlength=shape[0] * shape[1]).reshape(shape)

    def for_network(self, manifest: Manifest) -> Geometry:
        """The geometry for the input of another network; raises what the constructor raises."""
        return Geometry(manifest, self.size, self.camera, self._depth_size, self._rectifier)

    @property
    def has_lens(self) -> bool:
        """Whether images are rectified for the network."""
        return self._rectifier is not None

    @property
    def shrink(self) -> int:
        """How many pixels a side a decoder may average to one: the network's input averages them anyway."""
        return self._to_network.shrink

    def to_network(self, image: np.ndarray, out: np.ndarray, shrink: int = 1) -> np.ndarray:
        """Fill `out` (net_height, net_width, 3) uint8 with the network's input; returns `out`.

        image: (H, W, 3) uint8 of the camera, or reduced by averaging shrink x shrink pixels.
        """
        self.letterbox.paint_border(out)
        self._to_network.resample(image, self.letterbox.inner(out), shrink)
        return out

    def rectify(self, image: np.ndarray) -> np.ndarray:
        """The image without distortion; the image itself where the camera has none."""
        if self._rectifier is None:
            return image
        if self._rectified is None:
            self._rectified = np.empty((self.size[1], self.size[0], 3), np.uint8)
        return self._rectifier.rectify(image, self._rectified)

    def depth_image(self, image: np.ndarray, shrink: int) -> np.ndarray:
        """The rectified image (h, w, 3) uint8 of the depth; `image` itself where nothing is to be changed."""
        if shrink == 1 and self.depth_shape == self.size[::-1]:
            return self.rectify(image)
        if self._to_depth is None:
            size = self.depth_shape[::-1]
            self._to_depth = Resampler(self.size, size, self._rectifier)
            self._image = np.empty((*self.depth_shape, 3), np.uint8)
        return self._to_depth.resample(image, self._image, shrink)

    def colors(self, image: np.ndarray, shrink: int, step: int) -> np.ndarray:
        """Every step-th pixel of every step-th row of `depth_image`, without computing the rest.

        Where the network's input was made by averaging up to step x step pixels, these averages.
        """
        if self.depth_shape != self.size[::-1]:
            return self.depth_image(image, shrink)[::step, ::step]
        image, shrink = self._to_network.halves(image, shrink, step)
        whole = image.shape[1::-1] == shrunk_size(self.size, shrink)
        if self._rectifier is None and step % shrink == 0 and whole:
            return image[:: step // shrink, :: step // shrink]
        key = (shrink, step, image.shape)
        if key not in self._color_maps:
            self._color_maps.clear()
            self._color_maps[key] = self._make_color_maps(image, shrink, step)
        maps = self._color_maps[key]
        return cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    def _make_color_maps(self, image: np.ndarray, shrink: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        if self._rectifier is not None and shrink == 1:
            return self._rectifier.sampled_maps(step)
        if self._rectifier is not None:
            x, y = (np.ascontiguousarray(m[::step, ::step]) for m in self._rectifier.maps(self.size))
        else:
            x, y = np.meshgrid(*(np.arange(0, n, step, dtype=np.float32) for n in self.size))
        return shrunk_maps(x, y, self.size, shrink, image.shape)

    def known_part(self, net_depth: np.ndarray) -> float:
        """Part of the depth's pixels that are known, 0 to 1, when it is restored from net_depth."""
        known = np.greater(self.letterbox.inner(net_depth), 0, out=self._known)
        seen = self._all_seen if known.all() else self._seen_by.sum(where=known)
        return float(seen / (self.depth_shape[0] * self.depth_shape[1]))

    def restore(self, net_depth: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill `out` (h, w) float32 with the depth of the whole image, NaN outside the camera's view.

        net_depth: (net_height, net_width) float32, meters, NaN = unknown. Returns `out`.
        """
        self.letterbox.take(net_depth)
        return self.enlarge(out)

    def enlarge(self, out: np.ndarray) -> np.ndarray:
        """The same for the depth that the letterbox took last."""
        return self._blank_outside(self.letterbox.enlarge(out))

    def sample(self, steps: tuple[int, int]) -> np.ndarray:
        """Every n-th pixel of every m-th row, steps = (m, n), of `enlarge`; a new array."""
        out = self.letterbox.sample(self.depth_shape, steps)
        return self._blank_outside(out, steps)

    def enlarge_nearest(self, inner: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill `out` (h, w) with the nearest of (inner_height, inner_width) float32; NaN out of view."""
        cv2.resize(inner, out.shape[::-1], dst=out, interpolation=cv2.INTER_NEAREST_EXACT)
        return self._blank_outside(out)

    def sample_nearest(self, inner: np.ndarray, steps: tuple[int, int]) -> np.ndarray:
        """Every n-th pixel of every m-th row, steps = (m, n), of `enlarge_nearest`; a new array."""
        return self._blank_outside(self.letterbox.grid(self.depth_shape, steps).nearest(inner), steps)

    def _blank_outside(self, out: np.ndarray, steps: tuple[int, int] = (1, 1)) -> np.ndarray:
        if self._outside is not None:
            np.copyto(out, NAN, where=self._outside[:: steps[0], :: steps[1]])
        return out
