# SPDX-License-Identifier: Apache-2.0
"""Tileable noise with the spectrum of natural surfaces: amplitude falls with a power of frequency."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SIZE = 256
"""Width and height of a flat texture, pixels."""


@lru_cache(maxsize=96)
def fractal(number: int, exponent: float, size: int = SIZE, stretch: float = 1.0) -> np.ndarray:
    """Tileable noise (size, size) float32, zero mean, unit standard deviation, amplitude 1 / frequency **
    exponent.

    `stretch` below 1 elongates it along the rows.
    """
    rng = np.random.default_rng([7, number])
    fy = np.fft.fftfreq(size)[:, None] * size * stretch
    fx = np.fft.rfftfreq(size)[None, :] * size
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / frequency**exponent
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, (size, size)).astype(np.float32)
    return field / field.std()


def noise(rng: np.random.Generator, exponent: float = 1.0, stretch: float = 1.0) -> np.ndarray:
    """One of a few such fields (SIZE, SIZE), shifted cyclically."""
    field = fractal(int(rng.integers(4)), exponent, SIZE, stretch)
    return np.roll(field, tuple(rng.integers(SIZE, size=2)), (0, 1))


def coloured(field: np.ndarray, base: np.ndarray, contrast: float) -> np.ndarray:
    """Image (H, W, 3) of `base` color whose brightness follows `field` (H, W)."""
    return base[None, None, :] * (1.0 + contrast * field[..., None])
