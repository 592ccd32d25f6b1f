# SPDX-License-Identifier: Apache-2.0
"""Base cupboards, worktop, sink and hob of a fitted kitchen.

Everything is built in its wall's frame: x along the wall from its corner, y into the room. Meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.kitchens.kitchen_runs import DEPTH
from clip2depth_ros.simulation.kitchens.kitchen_style import Style
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, STEEL, WHITE
from clip2depth_ros.simulation.scene.scene import Assembly, Paint
from clip2depth_ros.simulation.small_things.dressing import put_on
from clip2depth_ros.simulation.small_things.kitchenware import pot

Basin = tuple[float, float, float]
"""Middle of the sink along the wall, its width, and its depth into the room."""


def body(a: Assembly, style: Style, low: float, high: float, top: float, basin: Basin | None) -> None:
    """Plinth, body and end panels from `low` to `high` along the wall, with space for the sink."""
    a.box(((low + high) / 2, 0.27, 0.05), (high - low, 0.50, 0.1), style.plinth)
    left, right = low + 0.005, high - 0.005
    sink, half = (basin[0], basin[1] / 2 + 0.01) if basin else (left, 0.0)
    for x0, x1, gap in ((left, sink - half, 0.0), (sink - half, sink + half, 0.2), (sink + half, right, 0.0)):
        if x1 - x0 > 0.01:
            tall = top - gap - 0.1
            a.box(((x0 + x1) / 2, 0.29, 0.1 + tall / 2), (x1 - x0, 0.56, tall), style.inside)
    for x in (low + 0.009, high - 0.009):
        a.box((x, 0.30, (0.1 + top) / 2), (0.018, 0.59, top - 0.1), style.front)


def splash(a: Assembly, style: Style, stretches: list[tuple[float, float]], ceiling: float) -> None:
    """Tiles, glass or a slab on the wall above the worktop."""
    top = min(style.height + style.splash_height, ceiling)
    for x0, x1 in stretches:
        middle = ((x0 + x1) / 2, 0.006, (style.height + top) / 2)
        a.box(middle, (x1 - x0, 0.012, top - style.height), style.splash)


def unit(a: Assembly, style: Style, kind: str, x: float, w: float, high: float) -> None:
    """The front of one base cupboard, 2 cm thick, on the run's body."""
    y, low = DEPTH - 0.02, 0.105
    tall = high - low - 0.005

    def panel(cx: float, cz: float, pw: float, ph: float, paint: Paint) -> None:
        a.box((cx, y, cz), (pw - 0.005, 0.02, ph - 0.005), paint)

    if kind == "oven":
        b = put_on(a, "oven", 0, 0, 0)
        wide = min(w, 0.595)
        b.box((x, y, high - 0.06), (wide, 0.022, 0.11), style.steel)
        b.box((x, y, high - 0.35), (wide, 0.022, 0.45), BLACK._replace(specular=0.9, shininess=0.8))
        b.box((x, y + 0.04, high - 0.16), (0.8 * wide, 0.02, 0.02), STEEL)
        for k in range(5):
            b.cylinder((x + (k - 2) * 0.09, y + 0.02, high - 0.06), 0.018, 0.025, BLACK, "y")
        panel(x, (low + high - 0.58) / 2, w, high - 0.58 - low, style.front)
        return
    if kind in ("dishwasher", "washing machine"):
        b = put_on(a, kind, 0, 0, 0)
        b.box((x, y, (low + high) / 2), (w - 0.006, 0.024, tall), style.steel)
        b.box((x, y + 0.004, high - 0.06), (w - 0.01, 0.022, 0.1), BLACK if kind == "dishwasher" else WHITE)
        if kind == "washing machine":
            radius = min(0.19, 0.42 * w)
            b.cylinder((x, y + 0.02, 0.42), radius, 0.03, STEEL, "y")
            b.cylinder((x, y + 0.03, 0.42), 0.8 * radius, 0.03, BLACK._replace(specular=0.9), "y")
        return
    if kind == "drawers":
        rows = [(low, 0.36 * tall), (low + 0.36 * tall, 0.36 * tall), (low + 0.72 * tall, 0.28 * tall)]
        fields = [(x, z + h / 2, w, h) for z, h in rows]
    elif kind == "pair":
        fields = [(x + side * w / 4, (low + high) / 2, w / 2, tall) for side in (-1, 1)]
    else:
        fields = [(x, (low + high) / 2, w, tall)]
    for n, (cx, cz, pw, ph) in enumerate(fields):
        panel(cx, cz, pw, ph, style.front)
        _handle(a, style, cx, cz, pw, ph, y + 0.01, kind == "drawers", n % 2 == 0)


def _handle(
    a: Assembly, style: Style, x: float, z: float, w: float, h: float, y: float, level: bool, right: bool
) -> None:
    side = x + (w / 2 - 0.05) * (1 if right else -1)
    top = z + h / 2 - 0.05
    if style.handles == "strip":
        a.box((x, y + 0.008, z + h / 2 - 0.012), (w - 0.01, 0.02, 0.018), style.handle)
    elif style.handles == "knob":
        a.sphere((x if level else side, y + 0.014, top), 0.014, style.handle)
    elif style.handles == "bar" and level:
        a.box((x, y + 0.028, top), (min(0.35, 0.6 * w), 0.012, 0.012), style.handle)
    elif style.handles == "bar":
        a.box((side, y + 0.028, top - 0.06), (0.012, 0.012, 0.16), style.handle)


def worktop(a: Assembly, style: Style, low: float, high: float, basin: Basin | None, length: float) -> None:
    """The slab in pieces of at most 1.5 m (light is computed at vertices), with a hole for the sink."""
    z, edge = style.height - style.slab / 2, DEPTH + 0.03

    def slab(x0: float, x1: float, y0: float, y1: float) -> None:
        count = max(1, int(np.ceil((x1 - x0) / 1.5)))
        step = (x1 - x0) / count
        for k in range(count):
            a.box((x0 + (k + 0.5) * step, (y0 + y1) / 2, z), (step, y1 - y0, style.slab), style.top)

    # The neighboring slab fills the corner.
    if abs(low - DEPTH) < 1e-6:
        low = edge
    if abs(length - high - DEPTH) < 1e-6:
        high = length - edge
    if not basin:
        slab(low, high, 0.0, edge)
        return
    x, w, d = basin
    slab(low, x - w / 2, 0.0, edge)
    slab(x + w / 2, high, 0.0, edge)
    slab(x - w / 2, x + w / 2, 0.0, 0.31 - d / 2)
    slab(x - w / 2, x + w / 2, 0.31 + d / 2, edge)


def sink_at(a: Assembly, style: Style, x: float, w: float, d: float) -> None:
    """A steel basin in the worktop's hole, w by d meters, with its tap."""
    b = put_on(a, "sink", 0, 0, 0)
    z, deep = style.height, 0.16
    b.box((x, 0.31, z - deep), (w, d, 0.01), STEEL._replace(rgb=(0.42, 0.43, 0.45)))
    for side in (-1, 1):
        b.box((x + side * w / 2, 0.31, z - deep / 2 + 0.002), (0.012, d, deep), STEEL)
        b.box((x, 0.31 + side * d / 2, z - deep / 2 + 0.002), (w + 0.012, 0.012, deep), STEEL)
    b.cylinder((x, 0.08, z + 0.12), 0.014, 0.24, STEEL)
    b.capsule((x, 0.16, z + 0.24), 0.012, 0.16, STEEL, "y")
    b.cylinder((x, 0.24, z + 0.22), 0.011, 0.05, STEEL)
    b.box((x + 0.04, 0.08, z + 0.06), (0.06, 0.014, 0.014), STEEL)


def hob_at(a: Assembly, p: Palette, x: float, style: Style) -> None:
    """Four plates on the worktop, of glass or iron, and sometimes a pot."""
    b = put_on(a, "hob", 0, 0, 0)
    z = style.height
    glass = p.rng.random() < 0.6
    b.box(
        (x, 0.31, z + 0.004),
        (0.57, 0.50, 0.008),
        BLACK._replace(specular=0.9, shininess=0.9) if glass else STEEL,
    )
    for dx in (-0.13, 0.13):
        for dy in (-0.11, 0.11):
            at = (x + dx, 0.31 + dy, z + (0.0085 if glass else 0.016))
            b.cylinder(at, 0.085, 0.001 if glass else 0.016, Paint((0.16, 0.16, 0.17)) if glass else BLACK)
    if p.rng.random() < 0.5:
        pot(
            put_on(a, "pot", x + 0.13 * p.rng.choice([-1, 1]), 0.31 + 0.11 * p.rng.choice([-1, 1]), z + 0.02),
            p,
        )
