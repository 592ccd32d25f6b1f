# SPDX-License-Identifier: Apache-2.0
"""Rectification and reduction of an image in one resampling, whose cost depends on the target's size."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable

import cv2
import numpy as np

from clip2depth_ros.camera.rectifier import Rectifier, inside_of
from clip2depth_ros.errors import Clip2DepthError

# Most source pixels between two bilinear samples: with more, some pixels would have no influence.
SAMPLE_STEP = 1.2
# Halving leaves at least this many source pixels per target pixel, so that the filter is not wider than the
# area of a target pixel.
LEAST_REST = 2.0


class Resampler:
    """Resamples a camera's image of `size` to `target` (width, height), rectified.

    The image is halved (each pixel the mean of 2x2) while twice the target resolution is left. The result is
    sampled on a grid with a whole number of samples per target pixel, through the rectifier if there is one,
    and averaged. It is nearly equal to rectifying at full size and averaging areas.
    shrink: the factor by which the image is halved in total; a decoder may do this instead.
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
        """Fill `out` (h, w, 3) uint8 of the target's size; returns `out`. Pixels without a source become
        black.

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
            # INTER_AREA averages when it shrinks, but acts like nearest when it enlarges.
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
        """A halved copy of the last image of `resample`, and its shrink factor, at most `most`.

        The image itself when there is no such copy.
        """
        made = [n for n in self._halves if shrink < n <= min(most, self.shrink)]
        if not made or self._halved_of() is not image:
            return image, shrink
        return self._halves[max(made)], max(made)

    def _halved(self, image: np.ndarray, shrink: int) -> np.ndarray:
        # A last odd row or column is left out, so that the areas of the others are whole pixels.
        height, width = image.shape[0] // 2, image.shape[1] // 2
        half = self._halves.get(shrink)
        if half is None or half.shape[:2] != (height, width):
            half = self._halves[shrink] = np.empty((height, width, 3), np.uint8)
        return cv2.resize(
            image[: 2 * height, : 2 * width], (width, height), dst=half, interpolation=cv2.INTER_AREA
        )

    def _make_maps(self, shrink: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Maps to the samples in an image of `shape` that was shrunk by `shrink`."""
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
    """(width, height) of an image of `size` that was shrunk by averaging shrink x shrink pixels; the last row
    and column may average fewer."""
    return -(-size[0] // shrink), -(-size[1] // shrink)


def shrunk_maps(
    x: np.ndarray, y: np.ndarray, size: tuple[int, int], shrink: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Maps for cv2.remap of an image of `shape`, which was shrunk from `size`.

    x, y: (h, w) float32 pixels of the image of `size`. A sample between the centers of the outermost pixels
    and the image's border takes the outermost pixels; a sample outside the image has no source.
    """
    inside = inside_of(x, y, size)
    x = np.where(inside, np.clip((x + 0.5) / shrink - 0.5, 0, shape[1] - 1), -2).astype(np.float32)
    y = np.where(inside, np.clip((y + 0.5) / shrink - 0.5, 0, shape[0] - 1), -2).astype(np.float32)
    return cv2.convertMaps(x, y, cv2.CV_16SC2)


def _steps(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Median distance in source pixels between neighboring target pixels, along x and y."""
    steps = []
    for axis, single in ((1, x.shape[1] < 2), (0, x.shape[0] < 2)):
        with np.errstate(invalid="ignore", over="ignore"):
            distance = np.hypot(*(np.diff(m, axis=axis) for m in (x, y)))
        distance = distance[np.isfinite(distance)]
        steps.append(1.0 if single or not distance.size else float(np.median(distance)))
    return steps[0], steps[1]


def _parts(step: float) -> int:
    """Samples per target pixel along one axis."""
    return max(1, math.ceil(step / SAMPLE_STEP))
