# SPDX-License-Identifier: Apache-2.0
"""Letterboxing: scales an image into the network's input, with its aspect ratio kept, and depth back."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.camera.pinhole import Camera
from clip2depth_ros.errors import Clip2DepthError

# The mean color of ImageNet, similar to CLIP's: such a border is nearly zero after normalization.
BORDER = (122, 116, 104)

STEEP = 0.05
"""Relative second difference of inverse depth above which the nearest value is taken."""
MAX_GRIDS = 8
"""Most cached grids; each output needs one or two, until its settings change."""


class Letterbox:
    """Places the image, as large as possible, in the middle of the network's input.

    Sizes are (width, height) in pixels. The border is constant and is cut off when depth is restored.
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
        # INTER_AREA averages when it shrinks, but acts like nearest when it enlarges.
        self._interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        self._inverse = np.empty((self.inner_height, self.inner_width), np.float32)
        self._steep = np.empty((self.inner_height, self.inner_width), np.uint8)
        self._depth = self._inverse
        self._bends = np.empty((3, *self._inverse.shape), np.float32)
        self._flat = np.empty(self._inverse.shape, np.bool_)
        self._wide = np.empty((self.inner_height, 0), np.float32), np.empty((self.inner_height, 0), np.uint8)
        self._grids: dict[tuple, _Grid] = {}

    def __eq__(self, other: object) -> bool:
        """Whether both have the same sizes and border; buffers are not compared."""
        return isinstance(other, Letterbox) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple:
        return self.size, self.net_size, self.border

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the network's input per pixel of the image, in x and y; they differ only by rounding."""
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

    def paint_border(self, out: np.ndarray) -> None:
        """Write the border into `out` (net_height, net_width, 3) uint8."""
        right, bottom = self.x + self.inner_width, self.y + self.inner_height
        for strip in (
            out[: self.y],
            out[bottom:],
            out[self.y : bottom, : self.x],
            out[self.y : bottom, right:],
        ):
            if strip.size:
                strip[:] = self.border

    def letterbox(self, image: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill `out` (net_height, net_width, 3) uint8 with the image and its border; returns `out`."""
        if (image.shape[1], image.shape[0]) != self.size:
            raise Clip2DepthError(
                f"Letterbox: the image is {image.shape[1]}x{image.shape[0]}, "
                f"expected {self.size[0]}x{self.size[1]}."
            )
        self.paint_border(out)
        inner = self.inner(out)
        if image.shape[:2] == inner.shape[:2]:
            np.copyto(inner, image)
        else:
            cv2.resize(
                image, (self.inner_width, self.inner_height), dst=inner, interpolation=self._interpolation
            )
        return out

    def restore(self, depth: np.ndarray, out: np.ndarray, steep: float = STEEP) -> np.ndarray:
        """Fill `out` (h, w) float32 with the depth of the whole image, without the border; returns `out`.

        depth: (net_height, net_width) float32, positive or NaN. Inverse depth is interpolated linearly, so a
        plane stays a plane. Where its relative second difference exceeds `steep`, the nearest value is taken,
        because a value between two surfaces is on neither of them.
        """
        self.take(depth, steep)
        return self.enlarge(out)

    def take(self, depth: np.ndarray, steep: float = STEEP) -> None:
        """Prepare a depth for `enlarge` and `sample`. The array must not change until they are called."""
        self._depth = self.inner(depth)
        np.reciprocal(self._depth, out=self._inverse)
        self._find_steep(steep)

    def enlarge(self, out: np.ndarray) -> np.ndarray:
        """Fill `out` (h, w) float32 with the last depth that was given to `take`; returns `out`."""
        inner = self._depth
        height, width = out.shape
        if inner.shape == out.shape:
            np.copyto(out, inner)
            return out
        cv2.resize(self._inverse, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
        np.reciprocal(out, out=out)
        # The nearest values, computed for one row of the network's pixels at a time, where they are needed.
        starts = self.grid(out.shape, (1, 1)).row_starts
        nearest, steep = self._wide_buffers(width)
        for source, wide in ((inner, nearest), (self._steep, steep)):
            cv2.resize(source, wide.shape[::-1], dst=wide, interpolation=cv2.INTER_NEAREST_EXACT)
        steep = steep.view(bool)
        for row in np.flatnonzero(self._steep.any(axis=1)):
            np.copyto(out[starts[row] : starts[row + 1]], nearest[row], where=steep[row])
        return out

    def _wide_buffers(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """(inner_height, width) float32 and uint8, the same for every depth."""
        if self._wide[0].shape[1] != width:
            shape = self.inner_height, width
            self._wide = np.empty(shape, np.float32), np.empty(shape, np.uint8)
        return self._wide

    def sample(self, size: tuple[int, int], steps: tuple[int, int]) -> np.ndarray:
        """Every n-th pixel of every m-th row of the result of `enlarge` for (h, w) = size; steps: (m, n).

        Returns a new (ceil(h / m), ceil(w / n)) float32. The cost depends on the number of samples only.
        """
        grid = self.grid(size, steps)
        if self._depth.shape == size:
            return self._depth[:: steps[0], :: steps[1]].copy()
        out = grid.linear(self._inverse)
        np.reciprocal(out, out=out)
        return cv2.copyTo(grid.nearest(self._depth), grid.nearest(self._steep), out)

    def grid(self, size: tuple[int, int], steps: tuple[int, int]) -> _Grid:
        """The grid of every n-th pixel of every m-th row of an image of (h, w) = size; steps: (m, n)."""
        grid = self._grids.get((size, steps))
        if grid is None:
            if len(self._grids) >= MAX_GRIDS:
                self._grids.clear()
            shape = self.inner_height, self.inner_width
            grid = self._grids[size, steps] = _Grid(shape, size, steps)
        return grid

    def _find_steep(self, threshold: float) -> None:
        """Mark pixels at a depth edge, or next to an unknown depth, in self._steep.

        Inverse depth is linear over the image of a plane, however slanted, so its second difference is
        nonzero only at edges.
        """
        inverse, steep = self._inverse, self._steep.view(bool)
        # A second difference needs three pixels.
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
            twice, most, bends = self._bends
            np.multiply(inverse, 2, out=twice)
            np.multiply(inverse, threshold, out=most)
            for before, here, after in lines:
                bend, flat = bends[here], self._flat[here]
                np.add(inverse[before], inverse[after], out=bend)
                bend -= twice[here]
                # Written so that NaN counts as a jump.
                np.less_equal(np.abs(bend, out=bend), most[here], out=flat)
                steep[here] |= np.logical_not(flat, out=flat)
        # The outermost pixels have no second difference; they take their neighbors' marks.
        steep[:, :1] |= steep[:, 1:2]
        steep[:, -1:] |= steep[:, -2:-1]
        steep[:1] |= steep[1:2]
        steep[-1:] |= steep[-2:-1]


class _Grid:
    """Source positions, in an array, of every n-th pixel of every m-th row of the enlarged array."""

    def __init__(self, shape: tuple[int, int], size: tuple[int, int], steps: tuple[int, int]) -> None:
        self._rows, self._columns = (
            _Axis(have, want, step) for have, want, step in zip(shape, size, steps, strict=True)
        )
        self.row_starts = np.searchsorted(self._rows.nearest, np.arange(shape[0] + 1))
        """(h + 1,): for each row of the array,
        the first sampled row whose nearest row it is; last, their number."""

    def linear(self, array: np.ndarray) -> np.ndarray:
        """Bilinear samples of (h, w) float32, equal to cv2.resize; a new array."""
        # Columns first, as rows of the transposed array: whole rows are copied faster than single pixels.
        columns = self._columns.linear(np.ascontiguousarray(array.T))
        return self._rows.linear(np.ascontiguousarray(columns.T))

    def nearest(self, array: np.ndarray) -> np.ndarray:
        """Nearest samples of (h, w), equal to cv2.resize with INTER_NEAREST_EXACT; a new array."""
        columns = np.ascontiguousarray(array.T)[self._columns.nearest]
        return np.ascontiguousarray(columns.T)[self._rows.nearest]


class _Axis:
    """Source positions of every step-th pixel along one axis,
    which is enlarged from `have` to `want` pixels."""

    def __init__(self, have: int, want: int, step: int) -> None:
        middle = (np.arange(0, want, step) + 0.5) * (have / want)
        place = np.clip(middle - 0.5, 0, have - 1)
        self.nearest = np.minimum(middle.astype(np.intp), have - 1)
        self._first = place.astype(np.intp)
        self._second = np.minimum(self._first + 1, have - 1)
        self._part = (place - self._first).astype(np.float32)[:, None]

    def linear(self, rows: np.ndarray) -> np.ndarray:
        first, second = rows[self._first], rows[self._second]
        np.subtract(second, first, out=second)
        second *= self._part
        first += second
        return first
