# SPDX-License-Identifier: Apache-2.0
"""Wood, tiles, masonry, plaster, concrete, stone and metal, with joints and wear.

A maker takes a random generator and returns a tileable image (SIZE, SIZE, 3), about 0..1.
"""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.simulation.surfaces.noise import SIZE, coloured, noise

_WOODS = np.array(
    [
        (0.78, 0.62, 0.42),
        (0.86, 0.73, 0.54),
        (0.64, 0.45, 0.28),
        (0.43, 0.28, 0.18),
        (0.27, 0.18, 0.13),
        (0.72, 0.50, 0.30),
        (0.66, 0.60, 0.53),
        (0.58, 0.33, 0.20),
    ]
)
"""Beech, birch, oak, walnut, wenge, pine, washed gray, cherry."""


def worn(picture: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Large soft stains and small spots of dirt."""
    stains = noise(rng, 1.7)
    picture = picture * (1.0 + amount * np.minimum(stains, 0.6))[..., None]
    spots = noise(rng, 0.8) > rng.uniform(2.0, 3.0)
    return picture * (1.0 - min(0.9, 2.5 * amount) * spots)[..., None]


def grain(rng: np.random.Generator) -> np.ndarray:
    """Plain wood along the rows: rings, fibers, pores."""
    base = _WOODS[int(rng.integers(len(_WOODS)))] * rng.uniform(0.85, 1.12)
    rows = np.arange(SIZE, dtype=np.float32)[:, None]
    rings = np.sin(
        2 * np.pi * (rows * rng.integers(2, 9) / SIZE + rng.uniform(0.3, 1.0) * noise(rng, 1.7, 0.25))
    )
    fibre = noise(rng, 0.7, 0.06)
    pores = -np.maximum(noise(rng, 0.35, 0.08) - 1.1, 0.0)
    field = (
        rng.uniform(0.2, 0.7) * rings
        + 0.6 * fibre
        + rng.uniform(0.2, 1.2) * pores
        + 0.5 * noise(rng, 1.5, 0.5)
    )
    picture = coloured(field, base, rng.uniform(0.05, 0.16))
    # Darker grain (late wood) is redder.
    return picture * (1.0 + 0.04 * field[..., None] * np.array([-0.5, 0.2, 0.8]))


def boards(rng: np.random.Generator) -> np.ndarray:
    """A floor or wall of boards, each with its own tone."""
    picture = worn(grain(rng), rng, rng.uniform(0.0, 0.08))
    count = int(rng.choice([4, 8, 8, 16]))
    height = SIZE // count
    seam, spread = rng.uniform(0.35, 0.8), rng.uniform(0.03, 0.2)
    for row in range(count):
        band = picture[row * height : (row + 1) * height]
        band[:] = np.roll(band, int(rng.integers(SIZE)), 1)
        joint = int(rng.integers(SIZE))
        half = np.roll(np.arange(SIZE) < SIZE // 2, joint)
        band[:, half] *= 1.0 + rng.uniform(-spread, spread)
        band[:, ~half] *= 1.0 + rng.uniform(-spread, spread)
        band[0] *= seam
        band[:, [joint, (joint + SIZE // 2) % SIZE]] *= seam
    return picture


def laminate(rng: np.random.Generator) -> np.ndarray:
    """Pale, uniform boards with little contrast between them."""
    picture = boards(rng)
    mean = picture.mean((0, 1))
    return mean + (picture - mean) * rng.uniform(0.3, 0.6) + rng.uniform(0.0, 0.15)


def weathered(rng: np.random.Generator) -> np.ndarray:
    """Raw, dark or stained timber and board, as in a cellar."""
    return worn(boards(rng) * rng.uniform(0.45, 0.95), rng, rng.uniform(0.04, 0.15))


def tiling(rng: np.random.Generator) -> np.ndarray:
    """Glazed or stone tiles with joints: from large floor tiles to small backsplash tiles."""
    base = rng.choice([0.9, 0.85, 0.7, 0.55, 0.4, 0.25]) * rng.uniform(0.9, 1.1) + rng.uniform(-0.05, 0.05, 3)
    stone = rng.random() < 0.5
    picture = coloured(noise(rng, 1.1), base, rng.uniform(0.04, 0.14) if stone else 0.015)
    rows = int(rng.choice([2, 4, 8, 16]))
    columns = rows if rng.random() < 0.7 else max(2, rows // 2)
    brickwise = rows != columns and rng.random() < 0.6
    spread = rng.uniform(0.01, 0.12)
    h, w = SIZE // rows, SIZE // columns
    grout, thick = base * rng.uniform(0.5, 0.95) if rng.random() < 0.7 else np.full(3, 0.85), max(1, h // 24)
    for row in range(rows):
        band = picture[row * h : (row + 1) * h]
        shift = w // 2 if brickwise and row % 2 else 0
        for column in range(columns):
            xs = (np.arange(column * w, (column + 1) * w) + shift) % SIZE
            band[:, xs] *= 1.0 + rng.uniform(-spread, spread)
            band[:, xs[:thick]] = grout
            # The rounded edge of a glazed tile reflects the light.
            band[:, xs[thick]] *= 1.06
        band[:thick] = grout
        band[thick] *= 1.06
    return worn(picture, rng, rng.uniform(0.0, 0.08))


def glazed(rng: np.random.Generator) -> np.ndarray:
    """Wall tiles: uniform, glossy, mostly white, with pale joints."""
    base = rng.choice([0.93, 0.93, 0.9, 0.75, 0.5]) * (1 + rng.uniform(-0.06, 0.06, 3))
    picture = coloured(noise(rng, 1.4), base, 0.012)
    rows = int(rng.choice([8, 8, 16, 32]))
    columns = rows if rng.random() < 0.6 else rows // 2
    h, w = SIZE // rows, SIZE // columns
    grout = np.clip(base * rng.uniform(0.7, 1.1), 0, 1)
    for row in range(rows):
        band = picture[row * h : (row + 1) * h]
        shift = w // 2 if rows != columns and row % 2 else 0
        for start in range(shift, SIZE + shift, w):
            xs = np.arange(start, start + w) % SIZE
            band[:, xs] *= 1.0 + rng.uniform(-0.02, 0.02)
            band[:, xs[0]] = grout
        band[0] = grout
    return worn(picture, rng, rng.uniform(0.0, 0.03))


def chequer(rng: np.random.Generator) -> np.ndarray:
    """Tiles in two tones, as on a chess board."""
    picture = tiling(rng)
    side = SIZE // int(rng.choice([2, 4, 8]))
    odd = (np.arange(SIZE) // side)[:, None] + (np.arange(SIZE) // side)[None, :]
    picture[odd % 2 == 1] *= rng.uniform(0.2, 0.7)
    return picture


def masonry(rng: np.random.Generator) -> np.ndarray:
    """Bricks or blocks in bond, each with its own tone, soot and rough joints."""
    base = np.array([(0.60, 0.33, 0.25), (0.72, 0.55, 0.42), (0.62, 0.60, 0.57), (0.82, 0.81, 0.78)])[
        int(rng.integers(4))
    ] * rng.uniform(0.75, 1.1)
    rows, columns = (16, 4) if rng.random() < 0.75 else (6, 3)
    edge_y, edge_x = np.linspace(0, SIZE, rows + 1).astype(int), np.linspace(0, SIZE, columns + 1).astype(int)
    picture = coloured(0.8 * noise(rng, 0.6) + 0.4 * noise(rng, 1.4), base, rng.uniform(0.06, 0.16))
    joint = np.zeros((SIZE, SIZE), np.float32)
    spread = rng.uniform(0.05, 0.25)
    for row in range(rows):
        ys = slice(edge_y[row], edge_y[row + 1])
        for column in range(columns):
            xs = np.arange(edge_x[column], edge_x[column + 1])
            xs = (xs + (row % 2) * SIZE // columns // 2) % SIZE
            picture[ys, xs] *= (1.0 + rng.uniform(-spread, spread)) * (1.0 + rng.uniform(-0.015, 0.015, 3))
            joint[ys, xs[0]] = joint[ys, xs[1]] = 1.0
        joint[edge_y[row] : edge_y[row] + 2] = 1.0
    joint = np.clip(cv2.GaussianBlur(joint, (0, 0), 0.8) * 1.5 + 0.25 * noise(rng, 0.5) * joint, 0, 1)[
        ..., None
    ]
    mortar = np.full(3, rng.uniform(0.35, 0.8)) * (1 + 0.1 * noise(rng, 0.8)[..., None])
    picture = picture * (1 - joint) + mortar * joint
    if rng.random() < 0.3:
        # Whitewashed: only the relief remains.
        picture = 0.8 + 0.3 * (picture - picture.mean((0, 1)))
    return worn(picture, rng, rng.uniform(0.0, 0.05))


def painted(rng: np.random.Generator) -> np.ndarray:
    """A painted wall: nearly uniform, with the relief of a roller and signs of wear."""
    field = noise(rng, rng.uniform(0.5, 1.0)) + rng.uniform(0.3, 1.5) * noise(rng, 1.8)
    picture = coloured(field, np.full(3, 0.95), rng.uniform(0.003, 0.014))
    return worn(picture, rng, rng.uniform(0.0, 0.02))


def woodchip(rng: np.random.Generator) -> np.ndarray:
    """White wallpaper with a fine relief."""
    field = np.maximum(noise(rng, 0.5), 0.5) - np.roll(np.maximum(noise(rng, 0.5), 0.5), 1, 0)
    return coloured(field, np.full(3, 0.93), rng.uniform(0.01, 0.05))


def panels(rng: np.random.Generator) -> np.ndarray:
    """Wall or ceiling panels with narrow joints, sometimes perforated."""
    picture = coloured(noise(rng, 0.9), np.full(3, 0.93), rng.uniform(0.004, 0.03))
    count = int(rng.choice([1, 2, 2]))
    if rng.random() < 0.4:
        holes = (np.arange(SIZE) % 4 < 2)[:, None] & (np.arange(SIZE) % 4 < 2)[None, :]
        picture[holes] *= rng.uniform(0.6, 0.9)
    elif rng.random() < 0.5:
        picture *= 1.0 - rng.uniform(0.08, 0.25) * (noise(rng, 0.2) > 1.9)[..., None]
    dark = rng.uniform(0.45, 0.85)
    for k in range(count):
        at = k * SIZE // count
        picture[:, at : at + 2] *= dark
        picture[at : at + 2] *= dark if rng.random() < 0.7 else 1.0
    return picture


def cast(rng: np.random.Generator) -> np.ndarray:
    """Concrete or screed: clouds, stains, pores, cracks, old paint."""
    tint = np.array([1.0, 0.88, 0.72]) if rng.random() < 0.3 else 1 + rng.uniform(-0.06, 0.06, 3)
    base = rng.uniform(0.24, 0.75) * tint
    field = noise(rng, 1.5) + 0.5 * noise(rng, 0.7) + 0.3 * noise(rng, 0.1)
    picture = worn(coloured(field, base, rng.uniform(0.04, 0.11)), rng, rng.uniform(0.01, 0.09))
    for _ in range(int(rng.integers(0, 4))):
        steps = rng.normal(0, 6, (40, 2)).cumsum(0) + rng.uniform(0, SIZE, 2)
        line = (steps + np.arange(40)[:, None] * rng.normal(0, 4, 2)).astype(np.int32)
        mask = np.zeros((SIZE, SIZE), np.uint8)
        cv2.polylines(mask, [line], False, 1, int(rng.integers(1, 3)), cv2.LINE_AA)
        picture[mask > 0] *= rng.uniform(0.5, 0.85)
    if rng.random() < 0.25:
        at, wide = int(rng.integers(SIZE - 20)), int(rng.integers(4, 12))
        paint = rng.choice([0.85, 0.75]) * np.array([1.0, rng.uniform(0.8, 1.0), rng.uniform(0.2, 1.0)])
        kept = (noise(rng, 0.9)[at : at + wide] > -1.2)[..., None]
        picture[at : at + wide] = np.where(
            kept, 0.85 * paint + 0.15 * picture[at : at + wide], picture[at : at + wide]
        )
    return picture


def granite(rng: np.random.Generator) -> np.ndarray:
    """A worktop of stone or imitation stone: speckles on black, gray or beige."""
    base = rng.choice([0.06, 0.1, 0.2, 0.5, 0.75]) + rng.uniform(-0.02, 0.04, 3)
    picture = coloured(noise(rng, 0.9), base, 0.15)
    for _ in range(3):
        specks = noise(rng, 0.25) > rng.uniform(1.4, 2.4)
        picture[specks] = 0.5 * picture[specks] + rng.uniform(0.0, 0.45, 3)
    return picture


def steel(rng: np.random.Generator) -> np.ndarray:
    """Brushed or painted sheet metal with scratches."""
    field = rng.uniform(0.3, 1.0) * noise(rng, 0.4, 0.03) + noise(rng, 1.5)
    picture = coloured(field, np.full(3, 0.9), rng.uniform(0.02, 0.09))
    return worn(picture, rng, rng.uniform(0.0, 0.1))
