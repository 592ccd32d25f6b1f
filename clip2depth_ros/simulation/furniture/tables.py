# SPDX-License-Identifier: Apache-2.0
"""Tables of all kinds, with the things on them.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

from clip2depth_ros.simulation.scene.joinery import BLACK, legs
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly
from clip2depth_ros.simulation.small_things.clutter import on_desk, on_table


def table(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, top, under = p.rng, p.body(), p.body() if p.rng.random() < 0.6 else p.metal()
    h, t = rng.uniform(0.70, 0.78), rng.uniform(0.02, 0.05)
    if abs(w - d) < 0.15 and rng.random() < 0.4:
        a.cylinder((0, 0, h - t / 2), w / 2, t, top)
        a.cylinder((0, 0, (h - t) / 2), 0.05, h - t, under)
        a.cylinder((0, 0, 0.02), 0.25, 0.04, under)
        w = d = 0.6 * w
    else:
        a.box((0, 0, h - t / 2), (w, d, t), top)
        legs(a, w, d, h - t, rng.uniform(0.04, 0.08), under, rng.random() < 0.4)
        if rng.random() < 0.5:
            for y in (-d / 2 + 0.06, d / 2 - 0.06):
                a.box((0, y, h - t - 0.045), (w - 0.16, 0.02, 0.09), under)
    on_table(a, p, w, d, h)


def coffee_table(a: Assembly, p: Palette, w: float, d: float) -> None:
    h, paint = p.rng.uniform(0.35, 0.48), p.body()
    a.box((0, 0, h - 0.02), (w, d, 0.04), paint)
    legs(a, w, d, h - 0.04, 0.05, paint, False)
    if p.rng.random() < 0.5:
        a.box((0, 0, 0.14), (w - 0.12, d - 0.12, 0.02), paint)
    on_table(a, p, w, d, h)


def desk(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, top, side = p.rng, p.body(), p.body()
    h = rng.uniform(0.70, 0.76)
    a.box((0, 0, h - 0.015), (w, d, 0.03), top)
    if rng.random() < 0.5:
        legs(a, w, d, h - 0.03, 0.05, p.metal(), False)
    else:
        for x in (-w / 2 + 0.015, w / 2 - 0.015):
            a.box((x, 0, h / 2 - 0.015), (0.03, d, h - 0.03), side)
        a.box((0, -d / 2 + 0.02, 0.45 * h), (w - 0.06, 0.02, 0.5 * h), side)
    if rng.random() < 0.6:
        x = w / 2 - 0.25
        a.box((x, 0, 0.30), (0.40, d - 0.08, 0.55), side)
        for z in (0.13, 0.31, 0.48):
            a.box((x, d / 2 - 0.03, z), (0.37, 0.02, 0.14), top)
            a.box((x, d / 2 - 0.01, z), (0.12, 0.02, 0.02), BLACK)
    on_desk(a, p, w, d, h)


def workbench(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, top, steel = p.rng, p.wood(), p.metal()
    a.box((0, 0, 0.87), (w, d, 0.06), top)
    legs(a, w, d, 0.84, 0.08, steel, False)
    a.box((0, 0, 0.2), (w - 0.1, d - 0.1, 0.03), top)
    a.box((0, -d / 2 + 0.01, 1.35), (w, 0.02, 0.9), p.plain("grey", "brown", "blue"))
    for _ in range(int(rng.integers(3, 9))):
        x, z = rng.uniform(-0.45, 0.45) * w, rng.uniform(1.05, 1.7)
        a.box((x, -d / 2 + 0.04, z), (rng.uniform(0.03, 0.1), 0.03, rng.uniform(0.1, 0.35)), p.plain())
    for _ in range(int(rng.integers(0, 4))):
        a.box((rng.uniform(-0.4, 0.4) * w, 0, 0.32), (0.3, 0.35, 0.22), p.plain())
    on_table(a, p, w, d, 0.9)
