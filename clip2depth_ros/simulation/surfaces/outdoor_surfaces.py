# SPDX-License-Identifier: Apache-2.0
"""Outdoor surfaces: asphalt, paving, grass, leaves, house fronts.

A maker takes a random generator and returns an image (SIZE, SIZE, 3), about 0..1. All are tileable except the
house front and the view, which are used once.
"""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.simulation.surfaces.hard_surfaces import masonry, painted, worn
from clip2depth_ros.simulation.surfaces.noise import SIZE, coloured, noise


def asphalt(rng: np.random.Generator) -> np.ndarray:
    """Asphalt with stains."""
    field = noise(rng, 0.15) + 0.7 * noise(rng, 1.4)
    return worn(coloured(field, np.full(3, rng.uniform(0.3, 0.5)), rng.uniform(0.08, 0.16)), rng, 0.12)


def paving(rng: np.random.Generator) -> np.ndarray:
    """Paving stones in bond."""
    picture = coloured(0.6 * noise(rng, 0.2) + noise(rng, 1.2), np.full(3, rng.uniform(0.42, 0.65)), 0.1)
    rows = int(rng.choice([4, 8, 16]))
    h = SIZE // rows
    for row in range(rows):
        shift = h * (row % 2)
        for start in range(0, SIZE, 2 * h):
            xs = (np.arange(start, start + 2 * h) + shift) % SIZE
            picture[row * h : (row + 1) * h, xs] *= rng.uniform(0.85, 1.12)
            picture[row * h : (row + 1) * h, xs[0]] *= 0.5
        picture[row * h] *= 0.5
    return worn(picture, rng, 0.12)


def lawn(rng: np.random.Generator) -> np.ndarray:
    """Grass, worn down to the soil in places."""
    base = np.array([0.34, 0.44, 0.20]) * rng.uniform(0.7, 1.2)
    field = noise(rng, 0.2) + 0.8 * noise(rng, 1.2)
    picture = coloured(field, base, 0.22)
    bare = np.clip(noise(rng, 1.5) - 0.8, 0, 1)[..., None]
    return picture * (1 - bare) + np.array([0.42, 0.36, 0.27]) * bare


def leaves(rng: np.random.Generator) -> np.ndarray:
    """Dense leaves with gaps."""
    base = np.array([0.28, 0.42, 0.18]) * rng.uniform(0.6, 1.3)
    picture = coloured(0.8 * noise(rng, 0.5) + 0.6 * noise(rng, 1.2), base, 0.4)
    gaps = noise(rng, 0.7) < -1.0
    picture[gaps] *= 0.3
    return picture


def facade(rng: np.random.Generator) -> np.ndarray:
    """A house front with rows of windows, stretched once over one or several stories."""
    picture = (
        masonry(rng)
        if rng.random() < 0.4
        else painted(rng) * (rng.uniform(0.5, 0.95) + rng.uniform(-0.1, 0.1, 3))
    )
    picture = np.ascontiguousarray(picture, np.float32)
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    h, w = SIZE // rows, SIZE // columns
    tall, wide = int(h * rng.uniform(0.4, 0.65)), int(w * rng.uniform(0.3, 0.6))
    frame = tuple(float(v) for v in np.full(3, rng.choice([0.9, 0.9, 0.3])))
    for row in range(rows):
        for column in range(columns):
            x, y = column * w + (w - wide) // 2, row * h + (h - tall) // 2
            glass = np.array([0.16, 0.2, 0.25]) * rng.uniform(0.5, 2.5)
            cv2.rectangle(picture, (x - 3, y - 3), (x + wide + 3, y + tall + 3), frame, -1)
            cv2.rectangle(picture, (x, y), (x + wide, y + tall), tuple(float(v) for v in glass), -1)
            cv2.line(picture, (x + wide // 2, y), (x + wide // 2, y + tall), frame, 2)
            cv2.rectangle(picture, (x - 5, y + tall + 3), (x + wide + 5, y + tall + 7), (0.6, 0.6, 0.58), -1)
    return picture


def outside(rng: np.random.Generator) -> np.ndarray:
    """The view through a window: mostly an overexposed sky, treetops, a house."""
    sky = np.linspace(1.0, rng.uniform(0.85, 1.0), SIZE)[:, None, None] * np.array([0.93, 0.97, 1.0])
    picture = np.ascontiguousarray(np.broadcast_to(sky, (SIZE, SIZE, 3)), np.float32)
    edge = rng.uniform(0.35, 0.95) * SIZE + 22 * noise(rng, 1.4)[0]
    below = (np.arange(SIZE)[:, None] > edge[None, :])[..., None]
    green = np.array([0.30, 0.40, 0.20]) * rng.uniform(0.6, 1.5)
    picture = np.where(below, coloured(0.7 * noise(rng, 0.9) + 0.4 * noise(rng, 0.3), green, 0.35), picture)
    if rng.random() < 0.5:
        top, x, wide = int(rng.integers(30, 170)), int(rng.integers(0, 160)), int(rng.integers(60, 220))
        house = cv2.resize(facade(rng), (wide, SIZE - top), interpolation=cv2.INTER_AREA)
        picture[top:, x : x + wide] = house[:, : SIZE - x]
    # With the exposure for the room, the outside is pale.
    return 1.0 - (1.0 - picture) * rng.uniform(0.12, 0.75)
