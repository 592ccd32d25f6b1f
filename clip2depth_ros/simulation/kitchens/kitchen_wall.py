# SPDX-License-Identifier: Apache-2.0
"""Things on the wall above a worktop, and the tall cupboard beside it.

Everything is built in its wall's frame: x along the wall from its corner, y into the room. Meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.furniture.layout import Layout
from clip2depth_ros.simulation.kitchens.kitchen_runs import DEPTH
from clip2depth_ros.simulation.kitchens.kitchen_style import Style
from clip2depth_ros.simulation.scene.openings import Opening
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.plain_paints import WHITE
from clip2depth_ros.simulation.scene.scene import Assembly, rotation_about
from clip2depth_ros.simulation.small_things.dressing import dress, put_on


def tall_cupboard(a: Assembly, layout: Layout, style: Style, x0: float, x1: float) -> None:
    """A free-standing fridge, or a larder with the kitchen's fronts."""
    rng, x, w = layout.rng, (x0 + x1) / 2, x1 - x0
    high = min(rng.uniform(1.75, 2.2), layout.scene.height - 0.1)
    free = rng.random() < 0.5
    b = put_on(a, "fridge" if free else "cupboard", 0, 0, 0)
    paint = layout.palette.plain("white", "grey", "black", gloss=0.5) if free else style.front
    split = rng.choice([0.36, 0.64]) * high
    b.box((x, 0.30, high / 2), (w - 0.006, 0.56, high), paint)
    for low, top in ((0.06, split), (split, high)):
        b.box((x, DEPTH, (low + top) / 2), (w - 0.01, 0.03, top - low - 0.006), paint)
        if free or style.handles == "bar":
            b.box((x - w / 2 + 0.06, DEPTH + 0.04, (low + top) / 2), (0.018, 0.025, 0.35), style.handle)
    if free and rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 6))):
            at = (x + rng.uniform(-0.2, 0.2) * w, DEPTH + 0.017, rng.uniform(1.0, high - 0.2))
            b.box(at, (rng.uniform(0.05, 0.2), 0.002, rng.uniform(0.07, 0.28)), layout.palette.paper())  # pyright: ignore[reportAttributeAccessIssue]


def wall_cupboards(
    a: Assembly,
    layout: Layout,
    openings: list[Opening],
    style: Style,
    low: float,
    high: float,
    hob: float | None,
) -> None:
    """Wall cupboards or open boards beside the windows, with a hood above the hob at `hob` along the wall."""
    rng = layout.rng
    for x0, x1 in beside_windows(openings, low, high, 0.1):
        cover = style.uppers * (x1 - x0)
        if cover < 0.4:
            continue
        start = x0 if rng.random() < 0.5 else x1 - cover
        b = put_on(a, "kitchen cabinet", 0, 0, 0)
        count = max(1, round(cover / rng.uniform(0.4, 0.65)))
        wide, z = cover / count, (style.upper_low + style.upper_high) / 2
        tall = style.upper_high - style.upper_low
        shelves = rng.random() < 0.15
        for k in range(count):
            x = start + (k + 0.5) * wide
            if hob is not None and abs(x - hob) < 0.5 * wide and rng.random() < 0.8:
                _hood(b, style, x, min(wide, 0.6))
            elif shelves:
                for level in (style.upper_low, z):
                    b.box((x, 0.13, level), (wide, 0.24, 0.025), style.upper)
                    dress(
                        b,
                        layout.palette,
                        "kitchen",
                        (x - wide / 2, x + wide / 2, 0.02, 0.24),
                        level + 0.0125,
                        3,
                        0.3,
                    )
            else:
                b.box((x, 0.165, z), (wide, 0.33, tall), style.upper)
                b.box((x, 0.34, z), (wide - 0.006, 0.018, tall - 0.004), style.upper)
                if style.handles in ("bar", "knob"):
                    side = (wide / 2 - 0.05) * (1 if k % 2 == 0 else -1)
                    b.box((x + side, 0.36, style.upper_low + 0.1), (0.012, 0.02, 0.1), style.handle)


def _hood(b: Assembly, style: Style, x: float, w: float) -> None:
    top = style.upper_high
    b.box((x, 0.25, style.upper_low + 0.15), (w, 0.48, 0.06), style.steel)
    b.box(
        (x, 0.14, (style.upper_low + 0.18 + top) / 2), (0.26, 0.26, top - style.upper_low - 0.18), style.steel
    )


def lean_things(
    a: Assembly,
    p: PlacePalette,
    style: Style,
    low: float,
    high: float,
    taken: list[tuple[float, float, float]],
) -> None:
    """Boards, trays and framed papers that lean against the wall behind the worktop."""
    rng = p.rng
    for _ in range(int(rng.integers(1, 5))):
        w, h, lean = rng.uniform(0.15, 0.4), rng.uniform(0.2, 0.42), rng.uniform(0.08, 0.22)
        x = rng.uniform(low + w / 2, high - w / 2)
        if any(abs(x - tx) < w / 2 + tr and ty - tr < 0.16 for tx, ty, tr in taken):
            continue
        kind = rng.random()
        paint = (
            p.paper() if kind < 0.45 else p.print() if kind < 0.7 else p.wood() if kind < 0.85 else p.metal()
        )
        at = (x, 0.03 + 0.5 * h * np.sin(lean), style.height + 0.5 * h * np.cos(lean))
        put_on(a, "board", 0, 0, 0).box(at, (w, 0.01, h), paint, rotation_about("x", lean))
        taken.append((x, 0.06, w / 2))


def pin_things(
    a: Assembly, p: PlacePalette, openings: list[Opening], style: Style, low: float, high: float
) -> None:
    """Sheets, leaflets in holders, sockets and switches on the wall between worktop and wall cupboards."""
    rng = p.rng
    top = style.upper_low if style.uppers else style.height + 1.0
    b = put_on(a, "papers", 0, 0, 0)
    for x0, x1 in beside_windows(openings, low, high):
        x = x0 + rng.uniform(0.05, 0.5)
        while x < x1 - 0.3:
            tall = rng.choice([0.297, 0.297, 0.21, 0.15])
            z = style.height + rng.uniform(0.14, max(0.15, top - style.height - 0.06)) - 0.5 * tall
            wide = 0.71 * tall
            if z - tall / 2 > style.height + 0.02 and rng.random() < 0.6:
                holder = rng.random() < 0.3
                b.box(
                    (x + wide / 2, 0.03 if holder else 0.014, z),
                    (wide, 0.03 if holder else 0.002, tall),
                    p.paper(),
                )
            elif rng.random() < 0.4:
                b.box((x + 0.07, 0.018, style.height + 0.2), (0.14, 0.012, 0.075), WHITE)
            x += wide + rng.exponential(0.25) + 0.02


def beside_windows(
    openings: list[Opening], low: float, high: float, margin: float = 0.02
) -> list[tuple[float, float]]:
    """The stretches between low and high along the wall without windows."""
    pieces, x = [], low
    for o in sorted(openings, key=lambda o: o.start):
        if o.start + o.width <= low or o.start >= high:
            continue
        pieces.append((x, o.start - margin))
        x = o.start + o.width + margin
    pieces.append((x, high))
    return [(x0, x1) for x0, x1 in pieces if x1 - x0 > 0.1]
