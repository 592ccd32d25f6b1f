# SPDX-License-Identifier: Apache-2.0
"""Rectifying and shrinking an image in one resampling, which costs by the pixels that are wanted."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable

import cv2
import numpy as np

from clip2depth_ros.camera.rectifier import Rectifier, inside_of
from clip2depth_ros.errors import Clip2DepthError

# Source pixels between two bilinear samples, at the most: beyond, what lies between them is not seen.
SAMPLE_STEP = 1.2
# Halving leaves at least this many source pixels for each wanted one, so that the filter is not wider than
# the area that a wanted pixel covers.
LEAST_REST = 2.0


class Resampler:
    """Fills an image of `target` (width, height) with all that a camera's image of `size` shows, rectified.

    The image is halved (each pixel the mean of 2x2) as often as leaves twice the wanted resolution. The rest
    is sampled at a grid of whole parts of the wanted pixels, through the lens where there is a rectifier, and
    averaged. What comes out is nearly what rectifying at full size and averaging areas gives.
    shrink: pixels of the image a side that become one by halving; a decoder may do so instead.
    """

    def __init__(
        self, size: tuple[int, int], target: tuple[int, int], rectifier: Rectifier | None = None
    ) -> None:
        self.size, self.target = size, target
        self._rectifier = rectifier
        across, down = size[0] / target[0], size[1] / target[1]
        if rectifier is not None:
            across, down = _steps(*rectifier.maps(target))
        self.shrink = 1
        while 2 * self.shrink * LEAST_REST <= min(across, down, *size):
            self.shrink *= 2
        self._parts = tuple(
            min(_parts(step / self.shrink), math.ceil(have / want))
            for step, have, want in zip((across, down), size, target, strict=True)
        )
        self._halves: dict[int, np.ndarray] = {}
        self._halved_of: Callable[[], np.ndarray | None] = lambda: None
        self._maps: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        columns, rows = self._parts
        self._fine = np.empty((target[1] * rows, target[0] * columns, 3), np.uint8)

    def resample(self, image: np.ndarray, out: np.ndarray, shrink: int = 1) -> np.ndarray:
        """Fill `out` (h, w, 3) uint8 of the target's size; returns `out`. What has no source becomes black.

        image: (H, W, 3) uint8 of the size, or a smaller one whose pixels are means of shrink x shrink pixels.
        """
        if image.shape[1::-1] != shrunk_size(self.size, shrink):
            raise Clip2DepthError(
                f"The image is {image.shape[1]}x{image.shape[0]}, expected {self.size[0]}x{self.size[1]} "
                f"shrunk by {shrink}."
            )
        self._halved_of = weakref.ref(image)
        while shrink < self.shrink:
            image, shrink = self._halved(image, shrink * 2), shrink * 2
        whole = image.shape[1] * shrink, image.shape[0] * shrink
        if self._rectifier is None and whole == self.size:
            if image.shape == out.shape:
                np.copyto(out, image)
                return out
            less = self.target[0] < image.shape[1]
            # Area averaging is right for shrinking and is nearest-like for enlarging.
            return cv2.resize(
                image, self.target, dst=out, interpolation=cv2.INTER_AREA if less else cv2.INTER_LINEAR
            )
        if shrink not in self._maps:
            self._maps[shrink] = self._make_maps(shrink, image.shape)
        fine = out if self._parts == (1, 1) else self._fine
        cv2.remap(image, *self._maps[shrink], cv2.INTER_LINEAR, dst=fine, borderMode=cv2.BORDER_CONSTANT)
        if fine is not out:
            cv2.resize(fine, self.target, dst=out, interpolation=cv2.INTER_AREA)
        return out

    def halves(self, image: np.ndarray, shrink: int, most: int) -> tuple[np.ndarray, int]:
        """An image that `resample` took last, as it halved it on the way, and how much that is shrunk.

        At most by `most`; the image itself where there is nothing in between.
        """
        made = [n for n in self._halves if shrink < n <= min(most, self.shrink)]
        if not made or self._halved_of() is not image:
            return image, shrink
        return self._halves[max(made)], max(made)

    def _halved(self, image: np.ndarray, shrink: int) -> np.ndarray:
        # A last odd row or column is left out: the areas of the others would no longer be whole pixels.
        height, width = image.shape[0] // 2, image.shape[1] // 2
        half = self._halves.get(shrink)
        if half is None or half.shape[:2] != (height, width):
            half = self._halves[shrink] = np.empty((height, width, 3), np.uint8)
        return cv2.resize(
            image[: 2 * height, : 2 * width], (width, height), dst=half, interpolation=cv2.INTER_AREA
        )

    def _make_maps(self, shrink: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Where the samples lie in an image of `shape` that is shrunk so."""
        fine = self._fine.shape[1::-1]
        if self._rectifier is not None:
            x, y = self._rectifier.maps(fine)
        else:
            (width, height), (columns, rows) = self.size, fine
            x, y = np.meshgrid(
                ((np.arange(columns) + 0.5) * (width / columns) - 0.5).astype(np.float32),
                ((np.arange(rows) + 0.5) * (height / rows) - 0.5).astype(np.float32),
            )
        return shrunk_maps(x, y, self.size, shrink, shape)


def shrunk_size(size: tuple[int, int], shrink: int) -> tuple[int, int]:
    """(width, height) of an image of `size` whose pixels are means of shrink x shrink, or fewer last."""
    return -(-size[0] // shrink), -(-size[1] // shrink)


def shrunk_maps(
    x: np.ndarray, y: np.ndarray, size: tuple[int, int], shrink: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Maps for cv2.remap of an image of `shape`, which is shrunk from `size`.

    x, y: (h, w) float32 pixels of the image of `size`. A sample between the outermost pixels' centers and the
    image's border takes the outermost pixels; one outside the image nothing.
    """
    inside = inside_of(x, y, size)
    x = np.where(inside, np.clip((x + 0.5) / shrink - 0.5, 0, shape[1] - 1), -2).astype(np.float32)
    y = np.where(inside, np.clip((y + 0.5) / shrink - 0.5, 0, shape[0] - 1), -2).astype(np.float32)
    return cv2.convertMaps(x, y, cv2.CV_16SC2)


def _steps(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Source pixels from one wanted pixel to the next, across and down, in the median."""
    steps = []
    for axis, single in ((1, x.shape[1] < 2), (0, x.shape[0] < 2)):
        with np.errstate(invalid="ignore", over="ignore"):
            distance = np.hypot(*(np.diff(m, axis=axis) for m in (x, y)))
        distance = distance[np.isfinite(distance)]
        steps.append(1.0 if single or not distance.size else float(np.median(distance)))
    return steps[0], steps[1]


def _parts(step: float) -> int:
    """Samples for each wanted pixel, along one axis."""
    return max(1, math.ceil(step / SAMPLE_STEP))
