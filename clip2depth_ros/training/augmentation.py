# SPDX-License-Identifier: Apache-2.0
"""Augmentation of one view: crop and scale, flip, light, borders; depth keeps to the canonical camera."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np

_SIDES = re.compile(r"\b(left|right)\b")


@dataclass(frozen=True)
class Augmentation:
    """How training views vary. All off (the default) gives the largest centred crop.

    min_crop     smallest crop as a share of the largest one that has the output's shape
    flip         probability of a left-right flip; "left" and "right" in the caption change places
    brightness, contrast, gamma, colour    half-widths of log-uniform factors
    noise        standard deviation at most, in grey levels
    border       probability that bands at two opposite sides are blank, as in an image letterboxed to fit
    """

    min_crop: float = 1.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    colour: float = 0.0
    noise: float = 0.0
    border: float = 0.0

    def __call__(
        self,
        image: np.ndarray,
        depth: np.ndarray,
        fx: float,
        caption: str,
        *,
        size: tuple[int, int],
        canonical_focal_px: float | None,
        border_colour: tuple[int, int, int],
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, str]:
        """image (h, w, 3) uint8, depth (h, w) m, fx px -> image (H, W, 3), depth (H, W) float32, caption.

        The depth returned is canonical: depth * canonical_focal_px / (focal length in pixels of the output).
        """
        height, width = size
        x, y, w, h = self._crop(image.shape[:2], size, rng)
        out = cv2.resize(image[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA)
        target = cv2.resize(
            depth[y : y + h, x : x + w].astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST
        )
        target[~(np.isfinite(target) & (target > 0))] = np.nan
        if canonical_focal_px is not None:
            target *= canonical_focal_px / (fx * width / w)
        if rng.random() < self.flip:
            out, target = out[:, ::-1], target[:, ::-1]
            caption = _SIDES.sub(lambda side: "left" if side[0] == "right" else "right", caption)
        out = np.ascontiguousarray(self._light(out, rng))
        target = np.ascontiguousarray(target)
        if rng.random() < self.border:
            self._blank(out, target, border_colour, rng)
        return out, target, caption

    def _crop(self, have: tuple[int, int], want: tuple[int, int], rng: np.random.Generator):
        """x, y, width, height of the crop in the source image, of the wanted image's shape."""
        largest = min(have[1] / want[1], have[0] / want[0])
        share = largest * rng.uniform(self.min_crop, 1.0)
        w, h = min(round(want[1] * share), have[1]), min(round(want[0] * share), have[0])
        moving = self.min_crop < 1.0
        x, y = (rng.uniform(size=2) if moving else (0.5, 0.5)) * np.array([have[1] - w, have[0] - h])
        return round(x), round(y), w, h

    def _light(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        def factor(half_width: float, count: int = 1) -> np.ndarray:
            return np.exp(rng.uniform(-half_width, half_width, count))

        if not (self.brightness or self.contrast or self.gamma or self.colour or self.noise):
            return image
        levels = np.linspace(0, 1, 256)[:, None] ** factor(self.gamma)
        levels = (levels - 0.5) * factor(self.contrast) + 0.5
        levels = levels * factor(self.brightness) * factor(self.colour, 3)
        image = cv2.LUT(np.ascontiguousarray(image), np.clip(levels * 255, 0, 255).astype(np.uint8)[None])
        deviation = rng.uniform(0, self.noise)
        if deviation > 0.5:
            noise = rng.normal(0, deviation, image.shape).astype(np.float32)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        return image

    @staticmethod
    def _blank(
        image: np.ndarray, depth: np.ndarray, colour: tuple[int, int, int], rng: np.random.Generator
    ) -> None:
        """Blank bands of up to a sixth each, above and below or left and right."""
        axis = int(rng.integers(2))
        band = int(rng.uniform(0, image.shape[axis] / 6))
        if band:
            for array, value in ((image, colour), (depth, np.nan)):
                lines = array if axis == 0 else array.swapaxes(0, 1)
                lines[:band] = value
                lines[-band:] = value
