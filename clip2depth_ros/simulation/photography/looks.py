# SPDX-License-Identifier: Apache-2.0
"""Converts rendered light to a camera image: exposure, white balance, blur, noise, JPEG. All mild."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class CameraLook:
    """The look of one camera. All values are constant for a camera, so that a drive has one look."""

    target: float = 0.42
    """Target brightness of the exposure, 0..1 of full scale."""
    max_gain: float = 2.2
    """Largest gain of the exposure for a dark scene."""
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    blur: float = 0.0
    """Standard deviation of the lens blur, pixels."""
    noise: float = 0.006
    """Noise at mid gray before gain, of full scale."""
    vignette: float = 0.0
    """Loss of light in the corners (vignetting), 0..1."""
    jpeg: int = 0
    """JPEG quality, 0 = none."""

    @classmethod
    def random(cls, rng: np.random.Generator) -> CameraLook:
        balance = 1.0 + rng.normal(0.0, 0.035, 3)
        return cls(
            target=float(rng.uniform(0.30, 0.52)),
            max_gain=float(rng.uniform(1.2, 3.0)),
            white_balance=tuple(float(v) for v in balance / balance.mean()),
            gamma=float(rng.uniform(0.85, 1.15)),
            blur=float(max(0.0, rng.uniform(-0.3, 0.7))),
            noise=float(rng.uniform(0.002, 0.012)),
            vignette=float(max(0.0, rng.uniform(-0.1, 0.25))),
            jpeg=int(rng.integers(55, 95)) if rng.random() < 0.5 else 0,
        )


def photograph(
    light: np.ndarray, look: CameraLook, rng: np.random.Generator, gain: float | None = None
) -> np.ndarray:
    """Convert rendered light (H, W, 3) float32 0..255 RGB to an image (H, W, 3) uint8 RGB.

    `gain` overrides the automatic exposure.
    """
    gain = exposure(light, look) if gain is None else gain
    height, width = light.shape[:2]
    image = light * (gain / 255.0 * np.asarray(look.white_balance, np.float32))
    if look.vignette > 0:
        y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
        image *= (1.0 - look.vignette * 0.5 * (y[:, None] ** 2 + x[None, :] ** 2))[..., None]
    # A soft shoulder instead of hard clipping, so that bright lamps and windows keep some detail.
    np.clip(image, 0.0, 4.0, out=image)
    over = image > 0.8
    image[over] = 0.8 + 0.2 * (1.0 - np.exp(-(image[over] - 0.8) / 0.2))
    if look.gamma != 1.0:
        image = cv2.pow(image, look.gamma)
    if look.blur > 0.15:
        image = cv2.GaussianBlur(image, (0, 0), look.blur)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    image += grain * (look.noise * np.sqrt(gain) * np.sqrt(0.3 + image))
    out = np.clip(image * 255.0 + 0.5, 0, 255).astype(np.uint8)
    if look.jpeg:
        coded = cv2.imencode(".jpg", out[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, look.jpeg])[1]
        out = np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])
    return out


def exposure(light: np.ndarray, look: CameraLook) -> float:
    """Gain that brings the image's mean to the look's target, within the camera's limits."""
    mean = float(light.mean()) / 255.0
    return float(np.clip(look.target / max(mean, 1e-3), 0.6, look.max_gain))
