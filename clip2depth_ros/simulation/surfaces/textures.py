# SPDX-License-Identifier: Apache-2.0
"""Procedural surfaces: a fixed, numbered library of images of wood, tile, brick, plaster, print.

Texture (kind, number) is the same image in every scene, so that a scene is reproducible from its seed alone
and a process may cache textures.
"""

from __future__ import annotations

from functools import lru_cache
from zlib import crc32

import cv2
import numpy as np

from clip2depth_ros.simulation.surfaces.noise import SIZE, coloured, noise
from clip2depth_ros.simulation.surfaces.surfaces import MAKERS as SURFACES

CUBE_SIZE = 64
"""Width and height of one face of a cube texture, pixels."""
VARIANTS = 24
"""Number of images of each kind."""


def _wood(rng: np.random.Generator) -> np.ndarray:
    base = np.array([0.80, 0.62, 0.42]) * rng.uniform(0.45, 1.1) + rng.uniform(-0.05, 0.05, 3)
    warp = 6.0 * noise(rng, 1.6, 0.25)
    rows = np.arange(SIZE, dtype=np.float32)[:, None]
    rings = np.sin(2 * np.pi * (rows * rng.integers(3, 12) / SIZE + 0.12 * warp))
    grain = noise(rng, 0.7, 0.12)
    return coloured(0.5 * rings + 0.7 * grain, base, rng.uniform(0.05, 0.16))


def _planks(rng: np.random.Generator) -> np.ndarray:
    picture = _wood(rng)
    count = int(rng.choice([4, 8]))
    height = SIZE // count
    for row in range(count):
        band = slice(row * height, (row + 1) * height)
        shift = int(rng.integers(SIZE))
        picture[band] = np.roll(picture[band], shift, 1) * rng.uniform(0.85, 1.12)
        picture[row * height] *= 0.55
        joint = int(rng.integers(SIZE))
        picture[band, joint] *= 0.55
    return picture


def _tile(rng: np.random.Generator) -> np.ndarray:
    base = rng.uniform(0.35, 0.9) + rng.uniform(-0.07, 0.07, 3)
    picture = coloured(noise(rng, 1.2), base, rng.uniform(0.02, 0.09))
    count = int(rng.choice([2, 4, 8]))
    side = SIZE // count
    checker = rng.random() < 0.25
    grout = rng.uniform(0.3, 0.9)
    for row in range(count):
        for column in range(count):
            block = picture[row * side : (row + 1) * side, column * side : (column + 1) * side]
            block *= rng.uniform(0.92, 1.08)
            if checker and (row + column) % 2:
                block *= 0.45
    width = max(1, side // 28)
    for line in range(count):
        picture[line * side : line * side + width] = grout
        picture[:, line * side : line * side + width] = grout
    return picture


def _brick(rng: np.random.Generator) -> np.ndarray:
    base = np.array([0.62, 0.34, 0.25]) * rng.uniform(0.7, 1.2) + rng.uniform(-0.06, 0.06, 3)
    if rng.random() < 0.35:
        base = np.full(3, rng.uniform(0.55, 0.85)) + rng.uniform(-0.03, 0.03, 3)
    picture = coloured(noise(rng, 0.9), base, 0.10)
    rows, columns = 16, 4
    height, width = SIZE // rows, SIZE // columns
    mortar = np.full(3, rng.uniform(0.5, 0.8))
    for row in range(rows):
        offset = (row % 2) * width // 2
        for column in range(columns):
            xs = (np.arange(column * width, (column + 1) * width) + offset) % SIZE
            picture[row * height : (row + 1) * height, xs] *= rng.uniform(0.75, 1.2)
            picture[row * height : (row + 1) * height, xs[:2]] = mortar
        picture[row * height : row * height + 2] = mortar
    return picture


def _plaster(rng: np.random.Generator) -> np.ndarray:
    return coloured(noise(rng, rng.uniform(0.6, 1.2)), np.full(3, 0.92), rng.uniform(0.005, 0.03))


def _concrete(rng: np.random.Generator) -> np.ndarray:
    base = np.full(3, rng.uniform(0.4, 0.75)) + rng.uniform(-0.03, 0.03, 3)
    return coloured(noise(rng, 1.3) + 0.4 * noise(rng, 0.4), base, rng.uniform(0.06, 0.14))


def _carpet(rng: np.random.Generator) -> np.ndarray:
    base = rng.uniform(0.2, 0.75) + rng.uniform(-0.15, 0.15, 3)
    field = 0.8 * noise(rng, 0.2) + 0.5 * noise(rng, 1.2)
    picture = coloured(field, base, rng.uniform(0.08, 0.18))
    if rng.random() < 0.3:
        stripes = np.sign(np.sin(2 * np.pi * np.arange(SIZE) * rng.integers(2, 9) / SIZE))
        picture *= 1.0 + 0.2 * stripes[:, None, None]
    return picture


def _fabric(rng: np.random.Generator) -> np.ndarray:
    weave = np.sin(np.arange(SIZE) * np.pi / 2)
    field = 0.5 * (weave[:, None] * weave[None, :]) + 0.6 * noise(rng, 1.1)
    picture = coloured(field, np.full(3, 0.85), rng.uniform(0.05, 0.12))
    if rng.random() < 0.3:
        period = int(rng.choice([4, 8, 16]))
        for axis in rng.permutation(2)[: rng.integers(1, 3)]:
            wave = (np.arange(SIZE) * period // SIZE % 2).astype(np.float32)
            picture *= 1.0 - 0.3 * (wave[:, None, None] if axis else wave[None, :, None])
    return picture


def _wallpaper(rng: np.random.Generator) -> np.ndarray:
    picture = coloured(noise(rng, 1.0), np.full(3, 0.88), 0.03)
    count = int(rng.choice([4, 8]))
    side = SIZE // count
    motif = np.zeros((side, side), np.float32)
    for _ in range(int(rng.integers(2, 6))):
        center = tuple(int(v) for v in rng.integers(side, size=2))
        axes = tuple(int(v) for v in rng.integers(2, max(3, side // 4), size=2))
        cv2.ellipse(motif, center, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.3, 1)), -1)
    if rng.random() < 0.4:
        motif = np.zeros_like(motif)
        motif[:, : side // 2] = 0.7
    tint = rng.uniform(-0.25, 0.1, 3)
    return picture + np.tile(motif, (count, count))[..., None] * tint


def _print(rng: np.random.Generator) -> np.ndarray:
    """A poster, cover or label: blocks, shapes, a few lines of text-like marks."""
    picture = np.ones((SIZE, SIZE, 3), np.float32) * rng.uniform(0.2, 0.95, 3)
    if rng.random() < 0.5:
        ramp = np.linspace(0, 1, SIZE)[:, None, None]
        picture = picture * (1 - ramp) + rng.uniform(0.1, 0.9, 3) * ramp
        picture = picture * (1 + 0.25 * noise(rng, 1.5)[..., None])
    picture = np.ascontiguousarray(picture, np.float32)
    for _ in range(int(rng.integers(2, 9))):
        color = tuple(float(v) for v in rng.uniform(0.05, 0.95, 3))
        p, q = (tuple(int(v) for v in rng.integers(SIZE, size=2)) for _ in range(2))
        shape = rng.integers(3)
        if shape == 0:
            cv2.rectangle(picture, p, q, color, -1)
        elif shape == 1:
            cv2.circle(picture, p, int(rng.integers(8, 70)), color, -1)
        else:
            cv2.line(picture, p, q, color, int(rng.integers(2, 14)))
    ink = tuple(float(v) for v in (rng.uniform(0, 0.2, 3) if rng.random() < 0.6 else rng.uniform(0.8, 1, 3)))
    left, top = (int(v) for v in rng.integers(8, 90, size=2))
    for line in range(int(rng.integers(2, 12))):
        y = top + 13 * line
        x = left
        while x < SIZE - 40 and y < SIZE - 8:
            word = int(rng.integers(5, 30))
            cv2.rectangle(picture, (x, y), (x + word, y + 5), ink, -1)
            x += word + 6
    return picture


def _screen(rng: np.random.Generator) -> np.ndarray:
    picture = np.ones((SIZE, SIZE, 3), np.float32) * rng.choice([0.08, 0.15, 0.9]) + rng.uniform(0, 0.08, 3)
    picture = np.ascontiguousarray(picture, np.float32)
    for _ in range(int(rng.integers(2, 5))):
        x, y = (int(v) for v in rng.integers(0, 160, size=2))
        w, h = (int(v) for v in rng.integers(50, 150, size=2))
        paper = rng.uniform(0.1, 0.95)
        cv2.rectangle(picture, (x, y), (x + w, y + h), (paper, paper, min(1.0, paper * 1.1)), -1)
        cv2.rectangle(picture, (x, y), (x + w, y + 8), tuple(float(v) for v in rng.uniform(0.2, 0.8, 3)), -1)
        for line in range(y + 14, y + h - 6, 8):
            length = int(rng.uniform(0.2, 0.9) * w)
            ink = abs(paper - 0.6)
            cv2.line(picture, (x + 6, line), (x + 6 + length, line), (ink, ink, ink), 2)
    return picture


def _outdoors(rng: np.random.Generator) -> np.ndarray:
    """The view outside a window: sky, then trees or house fronts."""
    horizon = int(rng.uniform(0.3, 0.8) * SIZE)
    sky = np.linspace(0.75, 1.0, SIZE)[:, None, None] * np.array([0.85, 0.93, 1.0])
    picture = np.broadcast_to(sky, (SIZE, SIZE, 3)) * (1 + 0.06 * noise(rng, 1.6)[..., None])
    edge = horizon + 18 * noise(rng, 1.5)[0]
    below = np.arange(SIZE)[:, None] > edge[None, :]
    green = np.array([0.30, 0.42, 0.20]) * rng.uniform(0.6, 1.4)
    picture = np.where(below[..., None], coloured(noise(rng, 0.8), green, 0.35), picture)
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture, np.float32)
        x = int(rng.integers(0, 60))
        while x < SIZE:
            width, top = int(rng.integers(40, 110)), int(rng.integers(30, 170))
            wall = rng.uniform(0.35, 0.8) + rng.uniform(-0.08, 0.08, 3)
            cv2.rectangle(picture, (x, top), (x + width, SIZE), tuple(float(v) for v in wall), -1)
            for wy in range(top + 10, SIZE, 26):
                for wx in range(x + 8, x + width - 10, 20):
                    cv2.rectangle(picture, (wx, wy), (wx + 9, wy + 14), (0.2, 0.24, 0.28), -1)
            x += width + int(rng.integers(0, 50))
    return picture


def _cardboard(rng: np.random.Generator) -> np.ndarray:
    base = np.array([0.72, 0.56, 0.38]) * rng.uniform(0.8, 1.15)
    picture = coloured(noise(rng, 1.0), base, 0.05)
    if rng.random() < 0.7:
        picture[:, SIZE // 2 - 14 : SIZE // 2 + 14] *= 1.18
    return picture


def _foliage(rng: np.random.Generator) -> np.ndarray:
    base = np.array([0.30, 0.48, 0.22]) * rng.uniform(0.7, 1.3)
    return coloured(noise(rng, 0.6), base, 0.35)


_MAKERS = {
    "wood": _wood,
    "planks": _planks,
    "tile": _tile,
    "brick": _brick,
    "plaster": _plaster,
    "concrete": _concrete,
    "carpet": _carpet,
    "fabric": _fabric,
    "wallpaper": _wallpaper,
    "print": _print,
    "screen": _screen,
    "outdoors": _outdoors,
    "cardboard": _cardboard,
    "foliage": _foliage,
}
KINDS = tuple(_MAKERS)


@lru_cache(maxsize=320)
def flat_texture(kind: str, number: int) -> np.ndarray:
    """Image `number` (0 to VARIANTS - 1) of `kind`: (SIZE, SIZE, 3) uint8 RGB."""
    rng = np.random.default_rng([crc32(kind.encode()), number])
    return (np.clip((_MAKERS.get(kind) or SURFACES[kind])(rng), 0.0, 1.0) * 255).astype(np.uint8)


@lru_cache(maxsize=320)
def cube_texture(kind: str, number: int) -> np.ndarray:
    """The same surface for the six faces of a box or round body: (6 * CUBE_SIZE, CUBE_SIZE, 3) uint8 RGB."""
    flat = cv2.resize(
        flat_texture(kind, number), (2 * CUBE_SIZE, 2 * CUBE_SIZE), interpolation=cv2.INTER_AREA
    )
    offsets = ((0, 0), (0, 1), (1, 0), (1, 1), (0, 0), (1, 1))
    s = CUBE_SIZE
    return np.concatenate([flat[r * s : (r + 1) * s, c * s : (c + 1) * s] for r, c in offsets])
