# SPDX-License-Identifier: Apache-2.0
"""Carpets, cloth, leather and plastic sheeting.

A maker takes a random generator and returns a tileable image (SIZE, SIZE, 3), about 0..1.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.surfaces.noise import SIZE, coloured, noise


def pile(rng: np.random.Generator) -> np.ndarray:
    """Carpet: coarse pile with footprints and flecks."""
    base = rng.uniform(0.15, 0.65) * (1 + rng.uniform(-0.25, 0.25, 3))
    field = rng.uniform(0.6, 1.1) * noise(rng, 0.15) + 0.5 * noise(rng, 1.5)
    picture = coloured(field, base, rng.uniform(0.08, 0.2))
    if rng.random() < 0.5:
        flecks = noise(rng, 0.1) > 1.8
        picture[flecks] = picture[flecks] * 0.5 + 0.5 * rng.uniform(0.1, 0.9, 3)
    return picture


def striped(rng: np.random.Generator) -> np.ndarray:
    """Carpet with irregular thin stripes, as in offices; tiles are sometimes laid crosswise."""
    lines = np.repeat(rng.standard_normal(SIZE // 2), 2)
    for wide in (4, 16):
        lines += rng.uniform(0.3, 1.0) * np.repeat(rng.standard_normal(SIZE // wide), wide)
    field = lines[:, None] / lines.std() + 0.35 * noise(rng, 0.1) + 0.25 * noise(rng, 1.4)
    # Threads end and begin again.
    field += 0.5 * noise(rng, 0.6, 0.03)
    base = rng.uniform(0.22, 0.5) + rng.uniform(-0.06, 0.06, 3)
    picture = coloured(field, base, rng.uniform(0.12, 0.38))
    if rng.random() < 0.35:
        half = SIZE // 2
        for row, column in ((0, 0), (1, 1)):
            block = picture[row * half : (row + 1) * half, column * half : (column + 1) * half]
            block[:] = block.transpose(1, 0, 2).copy()
    return picture


def cloth(rng: np.random.Generator) -> np.ndarray:
    """Upholstery or curtain: weave, folds, sometimes stripes or checks."""
    weave = np.sin(np.arange(SIZE) * np.pi / rng.choice([1.5, 2, 3]))
    folds = noise(rng, 1.7, float(rng.choice([0.4, 1.0, 2.5])))
    field = 0.5 * weave[:, None] * weave[None, :] + 0.5 * noise(rng, 0.5) + rng.uniform(0.3, 1.5) * folds
    picture = coloured(field, np.full(3, 0.85), rng.uniform(0.05, 0.13))
    if rng.random() < 0.35:
        period = int(rng.choice([4, 8, 16, 32]))
        for axis in rng.permutation(2)[: rng.integers(1, 3)]:
            wave = (np.arange(SIZE) * period // SIZE % 2).astype(np.float32)
            stripe = wave[:, None, None] if axis else wave[None, :, None]
            picture = picture * (1.0 - stripe * rng.uniform(0.05, 0.6, 3))
    return picture


def leather(rng: np.random.Generator) -> np.ndarray:
    """Creased leather, to be tinted."""
    crease = -np.maximum(1.0 - 3.0 * np.abs(noise(rng, 1.0)), 0.0)
    return coloured(0.6 * crease + 0.6 * noise(rng, 1.6), np.full(3, 0.9), rng.uniform(0.06, 0.15))


def sheeting(rng: np.random.Generator) -> np.ndarray:
    """White or clear plastic sheeting: folds, creases, bright ridges, and the mesh of its reinforcement."""
    lines = noise(rng, 1.3, float(rng.choice([0.2, 1.0, 4.0])))
    ridges = 1.0 - np.minimum(np.abs(lines) * 1.8, 1.0)
    field = 0.5 * lines + ridges * rng.uniform(0.3, 1.0)
    picture = coloured(
        field, np.full(3, rng.uniform(0.68, 0.85)) + rng.uniform(-0.02, 0.03, 3), rng.uniform(0.05, 0.16)
    )
    if rng.random() < 0.6:
        pitch = int(rng.choice([8, 16, 32]))
        picture[::pitch] *= rng.uniform(0.75, 0.92)
        picture[:, ::pitch] *= rng.uniform(0.75, 0.92)
    return picture
