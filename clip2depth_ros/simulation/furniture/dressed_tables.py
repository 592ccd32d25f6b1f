# SPDX-License-Identifier: Apache-2.0
"""Tables, desks, benches and other tops of places, with the things on them.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, the palette of a place, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

from clip2depth_ros.simulation.furniture.racks import stow
from clip2depth_ros.simulation.scene.joinery import legs
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, STEEL
from clip2depth_ros.simulation.scene.scene import Assembly
from clip2depth_ros.simulation.small_things.desk_things import keyboard, monitor, mouse
from clip2depth_ros.simulation.small_things.dressing import dress, put_on


def table(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    rng, top = p.rng, p.wood() if p.rng.random() < 0.65 else p.body()
    under = top if rng.random() < 0.6 else p.metal()
    h, t = rng.uniform(0.71, 0.77), rng.uniform(0.018, 0.05)
    if abs(w - d) < 0.2 and rng.random() < 0.5:
        a.cylinder((0, 0, h - t / 2), w / 2, t, top)
        a.cylinder((0, 0, (h - t) / 2), 0.05, h - t, under)
        a.cylinder((0, 0, 0.02), 0.28, 0.04, under)
        w = d = 0.62 * w
    else:
        a.box((0, 0, h - t / 2), (w, d, t), top)
        thick = rng.uniform(0.04, 0.1)
        legs(a, w, d, h - t, thick, under, rng.random() < 0.25, rng.choice([0.0, 0.03, 0.1]))
        if rng.random() < 0.6:
            for y in (-d / 2 + 0.1, d / 2 - 0.1):
                a.box((0, y, h - t - 0.045), (w - 0.24, 0.02, 0.09), under)
            for x in (-w / 2 + 0.1, w / 2 - 0.1):
                a.box((x, 0, h - t - 0.045), (0.02, d - 0.22, 0.09), under)
    theme = "office" if a.scene.kind in ("office", "meeting room", "classroom") else "table"
    dress(a, p, theme, (-w / 2, w / 2, -d / 2, d / 2), h, int(rng.poisson(rng.choice([1.0, 4.0, 9.0]))))


def coffee_table(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    h, paint = p.rng.uniform(0.36, 0.48), p.body()
    a.box((0, 0, h - 0.02), (w, d, 0.04), paint)
    legs(a, w, d, h - 0.04, 0.05, paint, False)
    if p.rng.random() < 0.6:
        a.box((0, 0, 0.14), (w - 0.12, d - 0.12, 0.02), paint)
        dress(a, p, "table", (-w / 2 + 0.08, w / 2 - 0.08, -d / 2 + 0.06, d / 2 - 0.06), 0.15, 3, h - 0.21)
    dress(a, p, "table", (-w / 2, w / 2, -d / 2, d / 2), h, int(p.rng.poisson(4)))


def desk(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    rng, top, side = p.rng, p.body(), p.body()
    h = rng.uniform(0.71, 0.76)
    a.box((0, 0, h - 0.0135), (w, d, 0.027), top)
    if rng.random() < 0.55:
        for x in (-w / 2 + 0.06, w / 2 - 0.06):
            a.box((x, 0, 0.015), (0.06, d - 0.06, 0.03), STEEL)
            a.box((x, -0.1, h / 2), (0.05, 0.08, h - 0.03), STEEL)
        a.box((0, -d / 2 + 0.1, h - 0.08), (w - 0.1, 0.03, 0.06), STEEL)
    else:
        for x in (-w / 2 + 0.013, w / 2 - 0.013):
            a.box((x, 0, h / 2 - 0.0135), (0.026, d, h - 0.027), side)
        a.box((0, -d / 2 + 0.1, 0.55 * h), (w - 0.06, 0.018, 0.5 * h), side)
    for end in (-1, 1):
        if rng.random() < 0.5:
            x, rows = end * (w / 2 - 0.27), int(rng.choice([2, 3, 3, 4]))
            a.box((x, 0.02, 0.30), (0.41, d - 0.1, 0.54), side)
            for k in range(rows):
                z, tall = 0.05 + (k + 0.5) * 0.52 / rows, 0.52 / rows - 0.01
                a.box((x, d / 2 - 0.02, z), (0.40, 0.018, tall), side)
                a.box((x, d / 2 + 0.005, z + 0.25 * tall), (0.13, 0.02, 0.012), STEEL)
    if rng.random() < 0.3:
        a.box((rng.choice([-0.5, 0.5]) * (w - 0.7), -0.02, 0.23), (0.19, 0.42, 0.44), BLACK)
    taken: list[tuple[float, float, float]] = []
    count, lit = int(rng.choice([0, 1, 1, 2, 2, 3] if w > 1.4 else [0, 1, 1, 2])), rng.random() < 0.8
    start = rng.uniform(-0.12, 0.12) * w
    for k in range(count):
        u = k - (count - 1) / 2
        x, y = start + 0.62 * u, -d / 2 + rng.uniform(0.14, 0.26)
        if abs(x) < w / 2 - 0.22:
            monitor(put_on(a, "monitor", x, y, h, -0.28 * u + rng.normal(0, 0.12)), p, lit)
            taken += [(x, y, 0.16), (x - 0.18, y, 0.12), (x + 0.18, y, 0.12)]
    if count:
        y = d / 2 - rng.uniform(0.14, 0.24)
        keyboard(put_on(a, "keyboard", start, y, h, rng.normal(0, 0.1)), p)
        mouse(put_on(a, "mouse", start + 0.31, y, h, rng.normal(0, 0.2)), p)
        taken += [(start - 0.12, y, 0.12), (start + 0.12, y, 0.12), (start + 0.31, y, 0.07)]
    many = int(rng.poisson(rng.choice([2.0, 5.0, 10.0])))
    dress(a, p, "office", (-w / 2, w / 2, -d / 2, d / 2), h, many, taken=taken)
    if rng.random() < 0.3:
        a.box((0, -d / 2 - 0.015, h + 0.12), (w, 0.03, 0.5), p.fabric())


def workbench(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    rng, top, steel = p.rng, p.wood(), p.metal()
    a.box((0, 0, 0.87), (w, d, 0.06), top)
    legs(a, w, d, 0.84, 0.08, steel if rng.random() < 0.5 else top, False)
    a.box((0, 0, 0.2), (w - 0.1, d - 0.1, 0.03), top)
    stow(a, p, w - 0.2, d - 0.15, 0.215, 0.5, 0.8)
    area = (-w / 2, w / 2, -d / 2, d / 2)
    dress(a, p, "workshop", area, 0.9, int(rng.poisson(rng.choice([3.0, 8.0, 14.0]) * w / 2)))
    if rng.random() < 0.3:
        a.box((-w / 2 + 0.15, d / 2 - 0.1, 0.97), (0.12, 0.3, 0.14), p.plain("blue", "green", "grey"))


def drawers(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    rng, paint = p.rng, p.body()
    h, rows, columns = rng.uniform(0.65, 1.2), int(rng.integers(2, 5)), 1 if w < 0.9 else 2
    a.box((0, 0, h / 2), (w, d, h), paint)
    for c in range(columns):
        for r in range(rows):
            x, z = -w / 2 + (c + 0.5) * w / columns, 0.06 + (r + 0.5) * (h - 0.08) / rows
            a.box((x, d / 2 + 0.008, z), (w / columns - 0.012, 0.018, (h - 0.08) / rows - 0.012), paint)
            a.box((x, d / 2 + 0.03, z), (0.14, 0.02, 0.015), STEEL)
    theme = "office" if a.scene.kind == "office" else "table"
    dress(a, p, theme, (-w / 2, w / 2, -d / 2, d / 2), h, int(rng.poisson(4)))


def island(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    """A free-standing kitchen counter."""
    front, top = p.front(), p.worktop()
    a.box((0, 0, 0.05), (w - 0.1, d - 0.12, 0.1), BLACK)
    a.box((0, 0, 0.48), (w, d, 0.76), front._replace(rgb=tuple(0.5 * c for c in front.rgb)))
    count = max(2, round(w / 0.55))
    for side in (-1, 1):
        for k in range(count):
            x = -w / 2 + (k + 0.5) * w / count
            a.box((x, side * (d / 2 + 0.01), 0.48), (w / count - 0.006, 0.018, 0.75), front)
        a.box((side * (w / 2 + 0.01), 0, 0.48), (0.018, d, 0.76), front)
    a.box((0, 0, 0.88), (w + 0.08, d + 0.1, 0.04), top)
    dress(a, p, "kitchen", (-w / 2, w / 2, -d / 2, d / 2), 0.9, int(p.rng.poisson(5)))
