# SPDX-License-Identifier: Apache-2.0
"""Effects of light, lens and sensor on an image, without changes of geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from clip2depth_ros.training.views.augmentation import Augmentation

JPEG_QUALITY = (30, 95)
LEAST_BLUR = 0.3  # pixels: less cannot be seen
LEAST_NOISE = 0.5  # gray levels: less is lost in rounding


@dataclass(frozen=True)
class Photography:
    """The look of one image.

    levels: (1, 256, 3) float, output of each input level per channel, before `gain`; None: no change.
    colors: (3, 3), linear map of RGB that keeps gray; None: no change. gain: factor of brightness. blur:
    standard deviation, pixels. motion: length, pixels, and direction, radians. noise: standard deviation,
    gray levels. quality: of the JPEG, 0 for none.
    """

    levels: np.ndarray | None = None
    colors: np.ndarray | None = None
    gain: float = 1.0
    blur: float = 0.0
    motion: tuple[float, float] = (0.0, 0.0)
    noise: float = 0.0
    quality: int = 0

    @classmethod
    def random(cls, wanted: Augmentation, rng: np.random.Generator, *, captioned: bool) -> Photography:
        """A random look within the limits of `wanted`. captioned: whether the frame has a caption, which may
        name colors."""

        def factor(half_width: float, count: int = 1) -> np.ndarray:
            return np.exp(rng.uniform(-half_width, half_width, count))

        levels = np.linspace(0, 1, 256)[:, None] ** factor(wanted.gamma)
        levels = (levels - 0.5) * factor(wanted.contrast) + 0.5
        levels = levels * factor(wanted.brightness) * factor(wanted.colour, 3)
        recolor = wanted.hue > 0 and not captioned and rng.random() < wanted.hue
        changed = wanted.gamma or wanted.contrast or wanted.brightness or wanted.colour
        return cls(
            levels=levels.astype(np.float32)[None] if changed else None,
            colors=_other_colors(rng) if recolor else None,
            blur=float(rng.uniform(0, wanted.blur)),
            motion=(float(rng.uniform(0, wanted.motion_blur)), float(rng.uniform(0, math.pi))),
            noise=float(rng.uniform(0, wanted.noise)),
            quality=int(rng.integers(*JPEG_QUALITY)) if rng.random() < wanted.jpeg else 0,
        )

    def next(self, wanted: Augmentation, rng: np.random.Generator) -> Photography:
        """The look of the next frame: another exposure and another motion blur."""
        gain = float(np.exp(rng.uniform(-wanted.exposure, wanted.exposure)))
        motion = (float(rng.uniform(0, wanted.motion_blur)), float(rng.uniform(0, math.pi)))
        return replace(self, gain=gain, motion=motion)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Apply the look to an image (H, W, 3) uint8 RGB, contiguous; returns it itself if nothing
        changes."""
        if self.blur > LEAST_BLUR:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        if self.motion[0] > 1.0:
            image = cv2.filter2D(image, -1, _line(*self.motion), borderType=cv2.BORDER_REPLICATE)
        if self.colors is not None:
            image = cv2.transform(image, self.colors)
        if self.levels is not None or self.gain != 1.0:
            levels = np.linspace(0, 1, 256)[None, :, None] if self.levels is None else self.levels
            levels = np.broadcast_to(levels * self.gain, (1, 256, 3))
            image = cv2.LUT(image, np.clip(levels * 255 + 0.5, 0, 255).astype(np.uint8))
        if self.noise > LEAST_NOISE:
            # OpenCV's normal numbers take a third of NumPy's time; their seed is drawn from `rng`.
            cv2.setRNGSeed(int(rng.integers(2**31)))
            noise = np.empty(image.shape, np.float32)
            cv2.randn(noise, (0, 0, 0), (self.noise,) * 3)  # pyright: ignore[reportCallIssue]
            image = cv2.add(image, noise, dtype=cv2.CV_8U)
        if self.quality:
            coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
            # Encoded and decoded with the same channel order, so RGB or BGR does not matter.
            image = cv2.imdecode(coded, cv2.IMREAD_COLOR)  # pyright: ignore[reportAssignmentType]
        return image


def _other_colors(rng: np.random.Generator) -> np.ndarray:
    """(3, 3): a rotation of RGB about gray by any angle, and another saturation, by a factor of 0 to 1.5."""
    gray = np.full((3, 3), 1 / 3)
    turn = cv2.Rodrigues(np.full(3, rng.uniform(-math.pi, math.pi) / math.sqrt(3)))[0]
    return gray + rng.uniform(0.0, 1.5) * (turn - gray)


def _line(length: float, direction: float) -> np.ndarray:
    """Kernel of a straight movement by `length` pixels."""
    reach = math.ceil(length / 2)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for along in np.linspace(-length / 2, length / 2, 4 * reach + 1):
        x, y = reach + along * math.cos(direction), reach + along * math.sin(direction)
        left, top = min(int(x), 2 * reach - 1), min(int(y), 2 * reach - 1)
        fx, fy = x - left, y - top
        kernel[top : top + 2, left : left + 2] += np.outer((1 - fy, fy), (1 - fx, fx))
    return kernel / kernel.sum()
