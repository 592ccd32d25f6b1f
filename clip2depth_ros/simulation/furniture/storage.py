# SPDX-License-Identifier: Apache-2.0
"""Storage furniture: shelves, cupboards, kitchens.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.joinery import BLACK, fronts
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly
from clip2depth_ros.simulation.small_things.clutter import books, on_table


def shelf(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, paint = p.rng, p.body() if p.rng.random() < 0.8 else p.metal()
    h, t = rng.uniform(0.8, 2.1), 0.025
    for x in (-w / 2 + t / 2, w / 2 - t / 2):
        a.box((x, 0, h / 2), (t, d, h), paint)
    if rng.random() < 0.7:
        a.box((0, -d / 2 + 0.005, h / 2), (w, 0.01, h), paint)
    count = max(2, int(h / rng.uniform(0.28, 0.42)))
    for level, z in enumerate(np.linspace(0.06, h - t / 2, count + 1)):
        a.box((0, 0, z), (w - 2 * t, d, t), paint)
        if level < count:
            books(a, p, w - 2 * t - 0.02, d, z + t / 2, (h - 0.06) / count - t - 0.03)


def cupboard(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, paint = p.rng, p.body()
    h = rng.uniform(1.7, 2.2)
    a.box((0, 0, h / 2), (w, d, h), paint)
    fronts(a, p, w, d, 0.08, h, max(1, round(w / 0.5)), 1, paint if rng.random() < 0.6 else p.body())
    if rng.random() < 0.3:
        a.box((rng.uniform(-0.2, 0.2) * w, 0, h + 0.15), (0.4, 0.35, 0.3), p.cardboard())


def drawers(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, paint = p.rng, p.body()
    h = rng.uniform(0.65, 1.1)
    a.box((0, 0, h / 2), (w, d, h), paint)
    fronts(a, p, w, d, 0.06, h - 0.02, 1 if w < 0.9 else 2, int(rng.integers(2, 5)), paint)
    on_table(a, p, w, d, h)


def kitchen_run(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, front, top = p.rng, p.body(), p.body()
    columns = max(1, round(w / 0.6))
    a.box((0, 0.0, 0.05), (w, d - 0.08, 0.1), BLACK)
    a.box((0, 0, 0.48), (w, d - 0.02, 0.78), front)
    fronts(a, p, w, d - 0.02, 0.1, 0.86, columns, 1, front)
    a.box((0, 0, 0.89), (w + 0.01, d + 0.03, 0.04), top)
    if rng.random() < 0.8:
        low, high = 1.42, rng.uniform(1.95, 2.15)
        wide = w * rng.uniform(0.5, 1.0)
        a.box((-(w - wide) / 2, -d / 2 + 0.17, (low + high) / 2), (wide, 0.34, high - low), front)
        count = max(1, round(wide / 0.5))
        for k in range(count):
            x = -w / 2 + (k + 0.5) * wide / count
            a.box(
                (x, -d / 2 + 0.35, (low + high) / 2), (wide / count - 0.012, 0.018, high - low - 0.01), front
            )
    x = rng.uniform(-0.3, 0.3) * w
    a.box((x, 0.02, 0.913), (0.55, 0.42, 0.006), p.metal())
    a.cylinder((x, -0.2, 1.03), 0.012, 0.24, p.metal())
    a.capsule((x, -0.12, 1.15), 0.012, 0.16, p.metal(), "y")
    hob = x + 0.7 if x + 1.05 < w / 2 else x - 0.94
    for k in range(4 if hob - 0.1 > -w / 2 else 0):
        a.cylinder((hob + 0.24 * (k % 2), -0.1 + 0.24 * (k // 2), 0.914), 0.085, 0.008, BLACK)
    on_table(a, p, w, d, 0.91)


def fridge(a: Assembly, p: Palette, w: float, d: float) -> None:
    h, paint = p.rng.uniform(1.5, 2.0), p.plain("white", "grey", "black", gloss=0.5)
    a.box((0, 0, h / 2), (w, d - 0.05, h), paint)
    for low, high in ((0.05, 0.36 * h), (0.37 * h, h)):
        a.box((0, d / 2 - 0.02, (low + high) / 2), (w - 0.005, 0.05, high - low), paint)
        a.box((-w / 2 + 0.06, d / 2 + 0.025, (low + high) / 2), (0.025, 0.03, 0.3), p.metal())


def television(a: Assembly, p: Palette, w: float, d: float) -> None:
    body = p.body()
    a.box((0, 0, 0.26), (w, d, 0.44), body)
    fronts(a, p, w, d, 0.06, 0.46, max(2, round(w / 0.6)), 1, body)
    wide = p.rng.uniform(0.75, 1.0) * w
    tall = 0.56 * wide
    a.box((0, 0, 0.5), (0.4, 0.2, 0.03), BLACK)
    a.box((0, 0, 0.54 + tall / 2), (wide, 0.05, tall), BLACK)
    a.box((0, 0.028, 0.54 + tall / 2), (wide - 0.03, 0.006, tall - 0.03), p.screen(p.rng.random() < 0.4))
