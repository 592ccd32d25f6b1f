# SPDX-License-Identifier: Apache-2.0
"""Numbered skies, from clear to overcast, as the six faces of a cube."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

SKY = 128
"""Width and height of a face, pixels."""
SKIES = 24


@lru_cache(maxsize=SKIES)
def sky_texture(number: int) -> np.ndarray:
    """Sky `number` below SKIES: faces right, left, up, down, front, back; (6 * SKY, SKY, 3) uint8 RGB."""
    rng = np.random.default_rng([47, number])
    overcast = rng.random() < 0.5
    zenith = np.array([0.78, 0.80, 0.83]) if overcast else np.array([0.30, 0.50, 0.85])
    horizon = np.array([0.93, 0.94, 0.95]) * rng.uniform(0.9, 1.05)
    zenith = zenith * rng.uniform(0.8, 1.1)
    ground = np.array([0.45, 0.45, 0.40])
    rows = np.linspace(1.0, -1.0, SKY)[:, None, None]
    side = np.where(rows > 0, horizon + (zenith - horizon) * np.clip(rows * 1.2, 0, 1) ** 0.7, ground)
    side = np.broadcast_to(side, (SKY, SKY, 3))
    faces = [side, side, np.broadcast_to(zenith, side.shape), np.broadcast_to(ground, side.shape), side, side]
    clouds = np.zeros((SKY, SKY), np.float32)
    for size in (4, 8, 16, 32):
        coarse = rng.standard_normal((size, size)).astype(np.float32)
        clouds += cv2.resize(coarse, (SKY, SKY), interpolation=cv2.INTER_CUBIC) * (4.0 / size)
    veil = (rng.uniform(0.1, 0.5) * np.clip(clouds - rng.uniform(-0.3, 0.6), 0, 1))[..., None]
    made = [face + (0.97 - face) * veil * (face[..., :1] > 0.46) for face in faces]
    return (np.clip(np.concatenate(made), 0.0, 1.0) * 255).astype(np.uint8)
