# SPDX-License-Identifier: Apache-2.0
"""Printed and displayed images: pages, leaflets, cartons, screens.

A maker takes a random generator and returns an image (SIZE, SIZE, 3), about 0..1, used once over a part.
"""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.simulation.surfaces.hard_surfaces import worn
from clip2depth_ros.simulation.surfaces.noise import SIZE, coloured, noise


def _photo(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Similar to a photograph (height, width, 3): a few tones with soft transitions."""
    light = noise(rng, 1.6)[:height, :width]
    a, b = rng.uniform(0.05, 0.6, 3), rng.uniform(0.4, 1.0, 3)
    mix = np.clip(0.5 + 0.35 * light + 0.2 * noise(rng, 1.0)[:height, :width], 0, 1)[..., None]
    return a * (1 - mix) + b * mix


def _lines(picture: np.ndarray, rng: np.random.Generator, box: tuple, pitch: int, ink: tuple) -> None:
    """Lines of words in box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    for y in range(y0, y1 - pitch // 2, pitch):
        x, end = x0, x1 if rng.random() < 0.8 else x0 + int((x1 - x0) * rng.uniform(0.2, 0.9))
        while x < end - 4:
            word = int(min(rng.integers(2, 8) * pitch // 3, end - x))
            cv2.rectangle(picture, (x, y), (x + word, y + max(1, pitch // 2 - 1)), ink, -1)
            x += word + max(2, pitch // 3)


def page(rng: np.random.Generator) -> np.ndarray:
    """A printed sheet: white paper with headings, lines of text, an image or a table."""
    paper = np.full(3, rng.uniform(0.9, 1.0)) - (0, 0, rng.uniform(0, 0.06))
    picture = np.ascontiguousarray(np.broadcast_to(paper, (SIZE, SIZE, 3)), np.float32)
    ink = tuple(float(v) for v in rng.uniform(0.0, 0.35) + rng.uniform(0, 0.05, 3))
    edge, y = int(rng.integers(14, 34)), int(rng.integers(14, 40))
    if rng.random() < 0.5:
        color = tuple(float(v) for v in rng.uniform(0.0, 0.8, 3))
        _lines(picture, rng, (edge, y, SIZE - edge, y + 22), 22, color)
        y += 34
    pitch = int(rng.choice([6, 8, 10, 14]))
    if rng.random() < 0.35:
        tall = int(rng.integers(40, 110))
        picture[y : y + tall, edge : SIZE - edge] = _photo(rng, tall, SIZE - 2 * edge)[: SIZE - y]
        y += tall + 10
    while y < SIZE - edge - 20:
        tall = int(rng.integers(20, 90))
        if rng.random() < 0.15:
            for row in range(y, min(y + tall, SIZE - edge), 12):
                cv2.line(picture, (edge, row), (SIZE - edge, row), ink, 1)
        elif rng.random() < 0.85:
            _lines(picture, rng, (edge, y, SIZE - edge, min(y + tall, SIZE - edge)), pitch, ink)
        y += tall + pitch
    return picture


def brochure(rng: np.random.Generator) -> np.ndarray:
    """A cover, leaflet, packet or poster: an image or flat color with a title and blocks."""
    color = rng.uniform(0.05, 0.95, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.85, 0.98))
    picture = np.ascontiguousarray(np.broadcast_to(color, (SIZE, SIZE, 3)), np.float32)
    if rng.random() < 0.65:
        y0, y1 = sorted(int(v) for v in rng.integers(0, SIZE, 2))
        y1 = max(y1, min(SIZE, y0 + 60))
        x = int(rng.choice([0, 0, 20]))
        picture[y0:y1, x : SIZE - x] = _photo(rng, y1 - y0, SIZE - 2 * x)
    for _ in range(int(rng.integers(1, 5))):
        block = tuple(float(v) for v in rng.uniform(0.0, 1.0, 3))
        x, y = (int(v) for v in rng.integers(0, SIZE - 40, 2))
        w, h = int(rng.integers(20, 200)), int(rng.integers(8, 80))
        if rng.random() < 0.75:
            cv2.rectangle(picture, (x, y), (x + w, y + h), block, -1)
        else:
            cv2.circle(picture, (x, y), h // 2 + 6, block, -1, cv2.LINE_AA)
    ink = (0.97, 0.97, 0.97) if color.mean() < 0.5 else (0.08, 0.08, 0.1)
    y = int(rng.integers(10, 120))
    big = int(rng.choice([20, 28, 40]))
    _lines(picture, rng, (16, y, int(rng.integers(120, 240)), y + big * int(rng.integers(1, 3))), big, ink)
    if rng.random() < 0.6:
        _lines(picture, rng, (16, 170, int(rng.integers(100, 240)), 235), 9, ink)
    return picture


def desktop(rng: np.random.Generator) -> np.ndarray:
    """A lit screen: windows, text, bars on a bright or dark background."""
    ground = (
        _photo(rng, SIZE, SIZE) if rng.random() < 0.4 else np.ones((SIZE, SIZE, 3)) * rng.uniform(0, 0.7, 3)
    )
    picture = np.ascontiguousarray(ground, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        x, y = (int(v) for v in rng.integers(0, 110, 2))
        w, h = (int(v) for v in rng.integers(90, 250, 2))
        dark = rng.random() < 0.3
        paper = rng.uniform(0.03, 0.2) if dark else rng.uniform(0.88, 1.0)
        cv2.rectangle(picture, (x, y), (x + w, y + h), (paper, paper, paper), -1)
        cv2.rectangle(picture, (x, y), (x + w, y + 10), tuple(float(v) for v in rng.uniform(0.1, 0.8, 3)), -1)
        ink = tuple(float(v) for v in (rng.uniform(0.5, 0.9, 3) if dark else rng.uniform(0.0, 0.4, 3)))
        _lines(picture, rng, (x + 6, y + 18, min(x + w, SIZE) - 6, min(y + h, SIZE) - 6), 8, ink)
    cv2.rectangle(
        picture, (0, SIZE - 10), (SIZE, SIZE), tuple(float(v) for v in rng.uniform(0.05, 0.9, 3)), -1
    )
    return picture


def carton(rng: np.random.Generator) -> np.ndarray:
    """Cardboard with its flutes, tape and a printed mark."""
    base = np.array([0.70, 0.55, 0.38]) * rng.uniform(0.75, 1.15)
    flutes = np.sin(np.arange(SIZE) * 2 * np.pi / 8)[None, :]
    picture = coloured(0.3 * flutes + noise(rng, 1.2), base, rng.uniform(0.03, 0.07))
    picture = np.ascontiguousarray(picture, np.float32)
    if rng.random() < 0.7:
        at = SIZE // 2 + int(rng.integers(-30, 30))
        picture[:, at - 12 : at + 12] = 0.6 * picture[:, at - 12 : at + 12] + 0.4 * rng.choice([0.85, 0.6])
    if rng.random() < 0.5:
        x, y = (int(v) for v in rng.integers(10, 120, 2))
        _lines(picture, rng, (x, y, x + 110, y + 50), 14, (0.15, 0.13, 0.12))
    return worn(picture, rng, 0.06)
