# SPDX-License-Identifier: Apache-2.0
"""Fitting an image into the network's input without stretching it or losing field of view, and back."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.camera.pinhole import Camera
from clip2depth_ros.errors import Clip2DepthError

# ImageNet's and CLIP's mean colour lie close together; a border of it is nearly zero after normalisation.
BORDER = (122, 116, 104)


class Letterbox:
    """The largest image of the input's shape that fits the network's input, in its middle.

    Sizes are (width, height) in pixels. The border is constant and never comes back as depth.
    """

    def __init__(
        self, size: tuple[int, int], net_width: int, net_height: int, border: tuple[int, int, int] = BORDER
    ) -> None:
        width, height = size
        if min(width, height, net_width, net_height) <= 0:
            raise Clip2DepthError(f"Letterbox: cannot fit {width}x{height} into {net_width}x{net_height}.")
        self.size = (width, height)
        self.net_size = (net_width, net_height)
        self.border = border
        scale = min(net_width / width, net_height / height)
        self.inner_width = min(net_width, max(1, round(width * scale)))
        self.inner_height = min(net_height, max(1, round(height * scale)))
        self.x = (net_width - self.inner_width) // 2
        self.y = (net_height - self.inner_height) // 2
        # Area averaging is right for shrinking and is nearest-like for enlarging.
        self._interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        self._inverse = np.empty((self.inner_height, self.inner_width), np.float32)
        self._steep = np.empty((self.inner_height, self.inner_width), np.uint8)
        self._nearest = np.empty((0, 0), np.float32)
        self._steep_out = np.empty((0, 0), np.uint8)

    def __eq__(self, other: object) -> bool:
        """Whether it does the same to every image; the buffers do not count."""
        return isinstance(other, Letterbox) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple:
        return self.size, self.net_size, self.border

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the network's input per pixel of the image, in x and y; they differ by rounding only."""
        return self.inner_width / self.size[0], self.inner_height / self.size[1]

    def camera(self, camera: Camera) -> Camera:
        """The camera of the network's input image, border included."""
        if camera.size != self.size:
            raise Clip2DepthError(
                f"Letterbox: the camera is {camera.width}x{camera.height}, "
                f"the image {self.size[0]}x{self.size[1]}."
            )
        inner = camera.scaled(self.inner_width, self.inner_height)
        return inner.cropped(-self.x, -self.y, *self.net_size)

    def inner(self, array: np.ndarray) -> np.ndarray:
        """The view of (net_height, net_width, ...) that the image covers."""
        return array[self.y : self.y + self.inner_height, self.x : self.x + self.inner_width]

    def fit(self, image: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill `out` (net_height, net_width, 3) uint8 with the image and its border; returns `out`."""
        if (image.shape[1], image.shape[0]) != self.size:
            raise Clip2DepthError(
                f"Letterbox: the image is {image.shape[1]}x{image.shape[0]}, "
                f"expected {self.size[0]}x{self.size[1]}."
            )
        right, bottom = self.x + self.inner_width, self.y + self.inner_height
        for strip in (
            out[: self.y],
            out[bottom:],
            out[self.y : bottom, : self.x],
            out[self.y : bottom, right:],
        ):
            if strip.size:
                strip[:] = self.border
        inner = self.inner(out)
        if image.shape[:2] == inner.shape[:2]:
            np.copyto(inner, image)
        else:
            cv2.resize(
                image, (self.inner_width, self.inner_height), dst=inner, interpolation=self._interpolation
            )
        return out

    def unfit(self, depth: np.ndarray, out: np.ndarray, steep: float = 0.05) -> np.ndarray:
        """Fill `out` (h, w) float32 with the depth of the whole image, border left behind; returns `out`.

        depth: (net_height, net_width) float32, positive or NaN. Inverse depth is interpolated linearly, which
        keeps planes planes. Where it bends by more than `steep` (relative) the nearest value is taken,
        because a value halfway between two surfaces lies on neither.
        """
        inner = self.inner(depth)
        height, width = out.shape
        if inner.shape == out.shape:
            np.copyto(out, inner)
            return out
        np.reciprocal(inner, out=self._inverse)
        cv2.resize(self._inverse, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
        np.reciprocal(out, out=out)
        self._find_steep(steep)
        if self._nearest.shape != out.shape:
            self._nearest = np.empty((height, width), np.float32)
            self._steep_out = np.empty((height, width), np.uint8)
        cv2.resize(inner, (width, height), dst=self._nearest, interpolation=cv2.INTER_NEAREST_EXACT)
        cv2.resize(self._steep, (width, height), dst=self._steep_out, interpolation=cv2.INTER_NEAREST_EXACT)
        cv2.copyTo(self._nearest, self._steep_out, out)
        return out

    def _find_steep(self, threshold: float) -> None:
        """Mark the pixels at a jump, or next to an unknown depth, with 255 in self._steep.

        Inverse depth is linear over the image of a plane, however slanted, so a jump is where it bends.
        """
        inverse, steep = self._inverse, self._steep.view(bool)
        # One or two pixels across have no line through them that could be straight.
        steep[:] = min(inverse.shape) < 3
        if min(inverse.shape) < 3:
            return
        first, middle, last, rest = slice(None, -2), slice(1, -1), slice(2, None), slice(None)
        lines = (
            ((rest, first), (rest, middle), (rest, last)),
            ((first, rest), (middle, rest), (last, rest)),
            ((first, first), (middle, middle), (last, last)),
            ((first, last), (middle, middle), (last, first)),
        )
        with np.errstate(invalid="ignore"):
            for before, here, after in lines:
                bend = inverse[before] + inverse[after] - 2 * inverse[here]
                # Written so that NaN counts as a jump.
                steep[here] |= ~(np.abs(bend) <= threshold * inverse[here])
        # The outermost pixels have no line through them; they follow their neighbours.
        steep[:, :1] |= steep[:, 1:2]
        steep[:, -1:] |= steep[:, -2:-1]
        steep[:1] |= steep[1:2]
        steep[-1:] |= steep[-2:-1]
