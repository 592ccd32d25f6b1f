# SPDX-License-Identifier: Apache-2.0
"""Shelves and racks with their contents.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, the palette of a place, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, STEEL, WHITE
from clip2depth_ros.simulation.scene.scene import Assembly, rotation_about
from clip2depth_ros.simulation.small_things.dressing import dress


def shelf(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    """Shelves of all heights, from nearly empty to full."""
    rng, paint = p.rng, p.body() if p.rng.random() < 0.8 else p.metal()
    h, t = rng.uniform(0.75, 2.2), 0.022
    for x in (-w / 2 + t / 2, w / 2 - t / 2):
        a.box((x, 0, h / 2), (t, d, h), paint)
    if rng.random() < 0.7:
        a.box((0, -d / 2 + 0.005, h / 2), (w, 0.01, h), paint)
    levels = max(2, int(h / rng.uniform(0.28, 0.42)))
    office = a.scene.kind in ("office", "living room", "bedroom", "classroom", "meeting room")
    full = rng.choice([2.0, 5.0, 8.0])
    heights = np.linspace(0.06, h - t / 2, levels + 1)
    for level, z in enumerate(heights):
        a.box((0, 0, z), (w - 2 * t, d, t), paint)
        clear = heights[level + 1] - z - t - 0.02 if level < levels else 0.6
        if level < levels and office and rng.random() < 0.6:
            _books(a, p, w - 2 * t - 0.02, d, z + t / 2, clear)
        elif level < levels or rng.random() < 0.5:
            area = (-w / 2 + t, w / 2 - t, -d / 2 + 0.02, d / 2)
            dress(a, p, "store", area, z + t / 2, int(rng.poisson(full * w)), clear)


def _books(a: Assembly, p: PlacePalette, w: float, d: float, z: float, clear: float) -> None:
    """A row of books or folders on a board, in groups of one format."""
    rng, x, end = p.rng, -w / 2, w / 2 - p.rng.choice([0.0, 0.1, 0.4]) * w
    folders = rng.random() < 0.3
    tall, deep = clear * rng.uniform(0.7, 0.98), rng.uniform(0.6, 0.9) * d
    while x < end - 0.03:
        t = 0.075 if folders else rng.uniform(0.012, 0.05)
        if rng.random() < 0.06:
            x += rng.uniform(0.04, 0.2)
            tall, deep = clear * rng.uniform(0.6, 0.98), rng.uniform(0.55, 0.9) * d
            continue
        high = min(0.32, tall if folders else tall * rng.uniform(0.85, 1.0))
        if x + t > w / 2:
            break
        paint = p.plain("black", "grey", "blue", "red", "white", gloss=0.2) if folders else p.plain(gloss=0.2)
        a.box((x + t / 2, d / 2 - 0.02 - deep / 2, z + high / 2), (t - 0.001, deep, high), paint)
        if folders:
            a.box((x + t / 2, d / 2 - 0.0195, z + 0.6 * high), (0.05, 0.001, 0.45 * high), WHITE)
        x += t
        if len(a.scene.parts) > 1150:
            return


def rack(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    """An open rack with crates, cartons and tools, sometimes wrapped in plastic."""
    rng = p.rng
    h = min(rng.uniform(1.7, 2.5), a.scene.height - 0.1)
    post = p.plain("blue", "grey", "orange", "white", "black") if rng.random() < 0.6 else p.metal()
    board = p.wood() if rng.random() < 0.5 else STEEL
    for x in (-w / 2 + 0.02, w / 2 - 0.02):
        for y in (-d / 2 + 0.02, d / 2 - 0.02):
            a.box((x, y, h / 2), (0.04, 0.04, h), post)
    levels = int(rng.integers(3, 6))
    heights = np.linspace(rng.uniform(0.08, 0.3), h - 0.05, levels)
    for k, z in enumerate(heights):
        a.box((0, 0, z), (w - 0.02, d - 0.02, 0.025), board)
        for y in (-d / 2 + 0.01, d / 2 - 0.01):
            a.box((0, y, z - 0.02), (w, 0.015, 0.05), post)
        clear = (heights[k + 1] - z - 0.08) if k + 1 < levels else min(0.5, a.scene.height - z - 0.1)
        stow(a, p, w - 0.1, d - 0.06, z + 0.0125, clear, rng.uniform(0.2, 1.0))
    if rng.random() < 0.2:
        sheet = p.plastic_sheet()
        a.box((0, d / 2 + 0.03, 0.55 * h), (w + 0.05, 0.006, 0.9 * h), sheet)


def stow(a: Assembly, p: PlacePalette, w: float, d: float, z: float, clear: float, full: float) -> None:
    """Fill one deep board from left to right with cartons, crates and small things."""
    rng, x = p.rng, -w / 2
    while x < w / 2 - 0.15 and len(a.scene.parts) < 1150:
        t = min(rng.uniform(0.2, 0.55), w / 2 - x)
        kind, high = rng.random(), min(clear, rng.uniform(0.12, 0.45))
        if kind > full or high < 0.08:
            x += t
            continue
        y, deep = rng.uniform(-0.1, 0.1) * d, d * rng.uniform(0.5, 0.8)
        if kind < 0.5 * full:
            turn = rotation_about("z", rng.normal(0, 0.05))
            a.box((x + t / 2, y, z + high / 2), (0.92 * t, deep, high), p.cardboard(), turn)
        elif kind < 0.75 * full:
            paint = p.plain("blue", "grey", "black", "red", "green", "white", "light blue", gloss=0.3)
            a.box((x + t / 2, y, z + high / 2), (0.88 * t, 0.95 * deep, high), paint)
            a.box((x + t / 2, y, z + high - 0.02), (0.94 * t, deep, 0.035), paint)
        else:
            theme = "workshop" if rng.random() < 0.5 else "store"
            dress(a, p, theme, (x, x + t, -d / 2, d / 2), z, 3, clear)
        x += t


def trolley(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    steel = p.metal()
    for z in (0.25, 0.85):
        a.box((0, 0, z), (w, d, 0.03), steel)
        theme = str(p.rng.choice(["store", "workshop", "kitchen"]))
        dress(a, p, theme, (-w / 2, w / 2, -d / 2, d / 2), z + 0.015, int(p.rng.poisson(3)), 0.5)
    for x in (-w / 2 + 0.02, w / 2 - 0.02):
        for y in (-d / 2 + 0.02, d / 2 - 0.02):
            a.cylinder((x, y, 0.52), 0.014, 0.86, steel)
            a.sphere((x, y, 0.05), 0.05, BLACK)
    a.cylinder((-w / 2 + 0.02, 0, 0.95), 0.014, d, steel, "y")
