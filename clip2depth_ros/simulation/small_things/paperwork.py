# SPDX-License-Identifier: Apache-2.0
"""Papers and books, with realistic sizes.

A maker gets an Assembly whose origin is where the thing stands, with the front toward +y, and the palette of
the place, which must have `paper()`. Meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.plain_paints import WHITE
from clip2depth_ros.simulation.scene.scene import Assembly, rotation_about


def paper(a: Assembly, p: PlacePalette) -> None:
    for k in range(int(p.rng.integers(1, 4))):
        dx, dy = p.rng.normal(0, 0.02, 2)
        turn = rotation_about("z", p.rng.normal(0, 0.25))
        a.box((dx, dy, 0.002 + 0.003 * k), (0.21, 0.297, 0.002), p.paper(), turn)


def paper_stack(a: Assembly, p: PlacePalette) -> None:
    h = p.rng.uniform(0.01, 0.08)
    a.box((0, 0, h / 2), (0.21, 0.297, h), WHITE)
    a.box((0, 0, h + 0.001), (0.21, 0.297, 0.001), p.paper(), rotation_about("z", p.rng.normal(0, 0.05)))


def magazine(a: Assembly, p: PlacePalette) -> None:
    for k in range(int(p.rng.integers(1, 4))):
        turn = rotation_about("z", p.rng.normal(0, 0.4))
        a.box((0, 0, 0.003 + 0.006 * k), (0.21, 0.28, 0.005), p.print(), turn)


def leaflet(a: Assembly, p: PlacePalette) -> None:
    """Folded paper that stands upright, as on counters."""
    h, lean = p.rng.uniform(0.15, 0.3), p.rng.uniform(0.1, 0.3)
    w = h * p.rng.uniform(0.5, 0.75)
    paint = p.paper() if p.rng.random() < 0.5 else p.print()
    for side in (-1, 1):
        at = (0, side * 0.5 * h * np.sin(lean), 0.5 * h * np.cos(lean))
        a.box(at, (w, 0.003, h), paint, rotation_about("x", side * lean))


def open_book(a: Assembly, p: PlacePalette) -> None:
    t, w, page = p.rng.uniform(0.008, 0.02), p.rng.uniform(0.14, 0.2), p.paper()
    for side in (-1, 1):
        turn = rotation_about("y", side * 0.06)
        a.box((side * w / 2, 0, 0.6 * t + 0.007), (w, 1.4 * w, t), page, turn)


def books_pile(a: Assembly, p: PlacePalette) -> None:
    z = 0.0
    for _ in range(int(p.rng.integers(1, 6))):
        t, w = p.rng.uniform(0.01, 0.045), p.rng.uniform(0.15, 0.24)
        turn = rotation_about("z", p.rng.normal(0, 0.25))
        a.box((0, 0, z + t / 2), (w, 1.38 * w, t), p.plain(gloss=0.3), turn)
        a.box((0, 0, z + t + 0.0005), (w, 1.38 * w, 0.001), p.print(), turn)
        z += t + 0.001


def books_row(a: Assembly, p: PlacePalette) -> None:
    x, end = -0.17, p.rng.uniform(-0.02, 0.17)
    while x < end:
        t, h = p.rng.uniform(0.012, 0.045), p.rng.uniform(0.18, 0.3)
        a.box((x + t / 2, 0, h / 2), (t - 0.001, 0.7 * h, h), p.plain(gloss=0.3))
        x += t


def pens(a: Assembly, p: PlacePalette) -> None:
    a.cylinder((0, 0, 0.05), 0.04, 0.1, p.plain())
    for _ in range(5):
        dx, dy = p.rng.uniform(-0.02, 0.02, 2)
        a.cylinder((dx, dy, 0.1), 0.004, 0.13, p.plain(), turn=rotation_about("x", 6 * dy))


def tray(a: Assembly, p: PlacePalette) -> None:
    paint = p.plain("black", "grey", "light blue", "white")
    for k in range(int(p.rng.integers(1, 4))):
        z = 0.07 * k
        a.box((0, 0, z + 0.004), (0.25, 0.34, 0.008), paint)
        for x in (-0.125, 0.125):
            a.box((x, 0, z + 0.035), (0.006, 0.34, 0.07), paint)
        a.box((0, 0, z + 0.02), (0.21, 0.297, 0.02), p.paper())


def carton(a: Assembly, p: PlacePalette) -> None:
    w, d, h = p.rng.uniform(0.16, 0.36), p.rng.uniform(0.14, 0.3), p.rng.uniform(0.08, 0.28)
    a.box(
        (0, 0, h / 2), (w, d, h), p.cardboard() if p.rng.random() < 0.6 else p.plain("white", "brown", "blue")
    )
    if p.rng.random() < 0.4:
        a.box((0, d / 2 + 0.001, 0.55 * h), (0.5 * w, 0.001, 0.4 * h), p.paper())
