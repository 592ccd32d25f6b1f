# SPDX-License-Identifier: Apache-2.0
"""Crates, bags, boards and heaps on the floor.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, the palette of a place, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly, rotation_about
from clip2depth_ros.simulation.small_things.dressing import dress, put_on


def crates(a: Assembly, p: Palette, w: float, d: float) -> None:
    """A stack of storage boxes with lids."""
    rng, z = p.rng, 0.0
    paint = p.plain("blue", "blue", "light blue", "grey", "black", "green", "red", gloss=0.4)
    for _ in range(int(rng.integers(1, 6))):
        h = rng.uniform(0.16, 0.34)
        turn = rotation_about("z", rng.normal(0, 0.06))
        a.box((0, 0, z + h / 2), (0.9 * w, 0.9 * d, h), paint, turn)
        lid = paint if rng.random() < 0.6 else p.plain("white", "grey", "black")
        a.box((0, 0, z + h - 0.015), (0.97 * w, 0.97 * d, 0.03), lid, turn)
        z += h
        if rng.random() < 0.3:
            paint = p.plain("blue", "light blue", "grey", "white", "red", gloss=0.4)


def backpack(a: Assembly, p: Palette, w: float, d: float) -> None:
    cloth, h = p.fabric(), p.rng.uniform(0.4, 0.55)
    a.box((0, 0, 0.42 * h), (w, 0.6 * d, 0.84 * h), cloth)
    a.ellipsoid((0, 0, 0.8 * h), (w, 0.62 * d, 0.4 * h), cloth)
    a.box((0, 0.36 * d, 0.3 * h), (0.75 * w, 0.2 * d, 0.45 * h), cloth)


def pile(a: Assembly, p: Palette, w: float, d: float) -> None:
    """A heap of cartons, crates, bags and boards."""
    rng = p.rng
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(-0.3, 0.3) * w, rng.uniform(-0.3, 0.3) * d
        at, h = put_on(a, "box", x, y, 0, rng.uniform(-0.4, 0.4)), rng.uniform(0.15, 0.45)
        size = (rng.uniform(0.25, 0.5) * w, rng.uniform(0.25, 0.5) * d, h)
        at.box((0, 0, h / 2), size, p.cardboard() if rng.random() < 0.6 else p.plain())
    if rng.random() < 0.6:
        a.ellipsoid(
            (0.2 * w, 0.2 * d, 0.17), (0.55, 0.45, 0.34), p.plain("black", "blue", "white", gloss=0.5)
        )
    dress(a, p, "workshop", (-w / 2, w / 2, -d / 2, d / 2), 0.0, 3)


def leaning_boards(a: Assembly, p: Palette, w: float, d: float) -> None:
    """Boards, doors and frames that lean against a wall."""
    rng = p.rng
    for k in range(int(rng.integers(1, 5))):
        h, wide, lean = rng.uniform(0.8, 2.0), rng.uniform(0.3, 1.0) * w, rng.uniform(0.08, 0.16)
        y = -d / 2 + 0.03 + 0.035 * k + 0.5 * h * np.sin(lean)
        at = (rng.uniform(-0.5, 0.5) * (w - wide), y, 0.5 * h * np.cos(lean) + 0.002)
        paint = (p.wood, p.cardboard, p.plain, p.metal)[int(rng.choice(4, p=[0.5, 0.15, 0.25, 0.1]))]()
        a.box(at, (wide, 0.018, h), paint, rotation_about("x", lean))
