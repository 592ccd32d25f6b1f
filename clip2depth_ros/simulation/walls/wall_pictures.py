# SPDX-License-Identifier: Apache-2.0
"""Papers, pictures, boards and shelves on walls.

A maker gets an Assembly in its wall's frame (x along the wall, y into the room), the palette of a place, the
thing's middle x, its width, and the height of its middle, meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, STEEL, WHITE
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, rotation_about
from clip2depth_ros.simulation.small_things.dressing import dress


def papers(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    """A loose group of pinned sheets, some tilted, some in a row."""
    rng, row = p.rng, p.rng.random() < 0.5
    at = x - w / 2
    while at < x + w / 2 - 0.1:
        tall = rng.choice([0.297, 0.297, 0.21, 0.42, 0.14])
        wide = tall * rng.choice([0.71, 0.71, 1.41])
        if at + wide > x + w / 2:
            break
        turn = rotation_about("y", 0.0 if row else rng.normal(0, 0.04))
        high = z if row else z + rng.normal(0, 0.12)
        paint = p.paper() if rng.random() < 0.75 else p.print()
        a.box((at + wide / 2, 0.004, high), (wide, 0.002, tall), paint, turn)
        at += wide + rng.uniform(0.01, 0.15)


def poster(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    tall = min(w, 0.8) * p.rng.choice([1.41, 0.71, 1.0])
    a.box((x, 0.004, z), (min(w, 0.8), 0.003, tall), p.print())


def picture(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    tall = w * p.rng.uniform(0.6, 1.2)
    a.box((x, 0.012, z), (w, 0.024, tall), p.body())
    a.box((x, 0.026, z), (w - 0.05, 0.004, tall - 0.05), p.print())


def calendar(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    a.box((x, 0.006, z + 0.16), (0.3, 0.008, 0.3), p.print())
    a.box((x, 0.006, z - 0.14), (0.3, 0.008, 0.28), p.paper())


def notice_board(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    rng, tall = p.rng, min(0.9, 0.7 * w)
    board = Paint((0.62, 0.45, 0.28)) if rng.random() < 0.6 else p.plain("blue", "green", "grey", "white")
    a.box((x, 0.012, z), (w, 0.024, tall), board)
    for _ in range(int(rng.integers(2, 10))):
        dx, dz = rng.uniform(-0.38, 0.38) * w, rng.uniform(-0.3, 0.3) * tall
        size = (rng.uniform(0.1, 0.22), 0.002, rng.uniform(0.1, 0.26))
        a.box((x + dx, 0.027, z + dz), size, p.paper(), rotation_about("y", rng.normal(0, 0.06)))


def whiteboard(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    a.box((x, 0.012, 1.5), (w, 0.024, 1.0), Paint((0.75, 0.76, 0.78), specular=0.5))
    a.box((x, 0.026, 1.5), (w - 0.04, 0.004, 0.96), Paint((0.93, 0.94, 0.95), specular=0.7, shininess=0.8))
    a.box((x, 0.06, 0.99), (0.5 * w, 0.08, 0.02), STEEL)
    for _ in range(int(p.rng.integers(0, 4))):
        dx, dz = p.rng.uniform(-0.35, 0.35) * w, p.rng.uniform(-0.3, 0.3)
        a.box((x + dx, 0.03, 1.5 + dz), (0.21, 0.002, 0.297), p.paper())


def wall_screen(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    wide = max(0.6, min(w, 1.4))
    tall = 0.5625 * wide
    a.box((x, 0.07, z + 0.1), (wide, 0.05, tall), BLACK)
    a.box((x, 0.03, z + 0.1), (0.3, 0.06, 0.3), BLACK)
    a.box((x, 0.096, z + 0.1), (wide - 0.03, 0.004, tall - 0.03), p.screen(p.rng.random() < 0.6))
    if p.rng.random() < 0.5:
        low = z + 0.1 - tall / 2
        a.box((x, 0.008, (low + 1.0) / 2), (0.04, 0.016, low - 1.0), WHITE)


def shelf_board(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    paint, levels = p.body(), int(p.rng.integers(1, 4))
    for k in range(levels):
        high = z - 0.2 + 0.36 * k
        a.box((x, 0.13, high), (w, 0.24, 0.025), paint)
        for side in (-0.4, 0.4):
            a.box((x + side * w, 0.1, high - 0.06), (0.02, 0.18, 0.1), STEEL)
        area = (x - w / 2, x + w / 2, 0.03, 0.24)
        dress(a, p, "store" if p.rng.random() < 0.6 else "kitchen", area, high + 0.0125, int(6 * w), 0.32)


def clock(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    a.cylinder((x, 0.02, 2.0), 0.15, 0.04, p.plain("white", "black", "grey"), "y")
    a.cylinder((x, 0.041, 2.0), 0.135, 0.004, WHITE, "y")
    for angle, length in ((p.rng.uniform(0, 6.3), 0.11), (p.rng.uniform(0, 6.3), 0.07)):
        at = (x + 0.5 * length * np.sin(angle), 0.045, 2.0 + 0.5 * length * np.cos(angle))
        a.box(at, (0.01, 0.003, length), BLACK, rotation_about("y", angle))


def hooks(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    a.box((x, 0.012, 1.65), (w, 0.024, 0.09), p.wood())
    for k in range(max(2, int(w / 0.18))):
        at = x - w / 2 + 0.09 + 0.18 * k
        a.box((at, 0.04, 1.63), (0.015, 0.06, 0.02), STEEL)
        if p.rng.random() < 0.5:
            long = p.rng.uniform(0.5, 1.1)
            a.ellipsoid((at, 0.1, 1.63 - long / 2), (0.34, 0.18, long), p.fabric())


def tools(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    """A board with tools, as above workbenches."""
    a.box((x, 0.01, 1.5), (w, 0.02, 0.9), p.plain("grey", "brown", "blue", "white"))
    for _ in range(int(8 * w)):
        at = (x + p.rng.uniform(-0.45, 0.45) * w, 0.035, 1.5 + p.rng.uniform(-0.25, 0.25))
        long = p.rng.uniform(0.12, 0.34)
        a.box(at, (p.rng.uniform(0.015, 0.04), 0.02, long), STEEL if p.rng.random() < 0.5 else p.plain())
