# SPDX-License-Identifier: Apache-2.0
"""Fitted kitchens: cupboards along one, two or three walls under one worktop, with appliances and equipment.

Everything is built in its wall's frame: x along the wall from its corner, y into the room. Meters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clip2depth_ros.simulation.furniture.layout import Layout
from clip2depth_ros.simulation.kitchens.kitchen_base import body, hob_at, sink_at, splash, unit, worktop
from clip2depth_ros.simulation.kitchens.kitchen_runs import DEPTH, Run, choose_runs
from clip2depth_ros.simulation.kitchens.kitchen_style import Style, kitchen_style
from clip2depth_ros.simulation.kitchens.kitchen_wall import (
    beside_windows,
    lean_things,
    pin_things,
    tall_cupboard,
    wall_cupboards,
)
from clip2depth_ros.simulation.scene.openings import Opening, Wall, in_front, walls_of
from clip2depth_ros.simulation.small_things.dressing import dress


def fit_kitchen(layout: Layout, plan: list[list[Opening]]) -> bool:
    """Fit a kitchen into the room along walls that doors and low windows leave free.

    Args:
        layout: of the room; its palette must have `front()`, `worktop()` and `paper()`.
        plan: the openings of each wall.

    Returns whether the kitchen fits.
    """
    scene, palette, rng = layout.scene, layout.palette, layout.rng
    runs = choose_runs(layout, plan)
    if not runs:
        return False
    style = kitchen_style(palette)
    if style.upper_high > scene.height - 0.05:
        style = style._replace(upper_high=scene.height - 0.05)
    walls = walls_of(scene)
    wet, hot = rng.permutation(len(runs))[0], rng.permutation(len(runs))[0]
    for number, run in enumerate(runs):
        wall = walls[run.wall]
        middle, length = (run.start + run.stop) / 2, run.stop - run.start
        scene.block(*in_front(wall, middle, DEPTH / 2 + 0.02), wall.yaw, length, DEPTH + 0.04)
        _build(layout, wall, plan[run.wall], run, style, number == wet, number == hot)
    return True


class _Units(NamedTuple):
    """Division of one run: base cupboards of equal width, and an optional tall one at its open end."""

    first: float
    """Start of the first front; the last ends at first + width * len(kinds)."""
    width: float
    kinds: list[str]
    low: float
    """Start of body and worktop, including the part that a neighboring run hides."""
    high: float
    tall: tuple[float, float] | None
    sink: float | None
    """Middle of the sink along the wall."""
    hob: float | None


def _divide(rng: np.random.Generator, run: Run, wet: bool, hot: bool) -> _Units:
    """Divide a run. `wet`: with the sink and an optional machine beside it. `hot`: with the hob."""
    first = run.start + (DEPTH + 0.01 if run.corner_before else 0.0)
    last = run.stop - (DEPTH + 0.01 if run.corner_after else 0.0)
    low, high, tall = run.start, run.stop, None
    if last - first > 2.2 and rng.random() < 0.45:
        # A tall fridge or larder ends a run at its open end.
        if not run.corner_before and (run.corner_after or rng.random() < 0.5) and run.start != DEPTH:
            tall, first = (first, first + 0.6), first + 0.6
            low = first
        elif not run.corner_after:
            tall, last = (last - 0.6, last), last - 0.6
            high = last
    count = max(1, round((last - first) / rng.uniform(0.45, 0.65)))
    width = (last - first) / count
    kinds = [str(rng.choice(["door", "door", "drawers", "pair"])) for _ in range(count)]
    spots = list(rng.permutation(count))
    sink = int(spots.pop()) if wet and count > 1 else None
    hob = int(spots.pop()) if hot and spots else None
    if sink is not None:
        kinds[sink] = "door"
    if hob is not None and rng.random() < 0.75:
        kinds[hob] = "oven"
    if wet and spots and rng.random() < 0.6:
        kinds[int(spots.pop())] = str(rng.choice(["dishwasher", "washing machine", "dishwasher"]))
    middle = [first + (k + 0.5) * width for k in range(count)]
    return _Units(
        first,
        width,
        kinds,
        low,
        high,
        tall,
        None if sink is None else middle[sink],
        None if hob is None else middle[hob],
    )


def _build(
    layout: Layout, wall: Wall, openings: list[Opening], run: Run, style: Style, wet: bool, hot: bool
) -> None:
    """Build one run with everything on and above it."""
    scene, palette, rng = layout.scene, layout.palette, layout.rng
    a = scene.thing("kitchen counter", wall.x, wall.y, wall.yaw, words=style.front.words)
    units = _divide(rng, run, wet, hot)
    low, high, top = units.low, units.high, style.height - style.slab
    basin = None if units.sink is None else (units.sink, min(0.5, units.width - 0.05), 0.38)
    body(a, style, low, high, top, basin)
    for k, kind in enumerate(units.kinds):
        unit(a, style, kind, units.first + (k + 0.5) * units.width, units.width, top)
    worktop(a, style, low, high, basin, wall.length)
    if style.splash is not None:
        splash(a, style, beside_windows(openings, low, high), scene.height)
    taken: list[tuple[float, float, float]] = []
    if basin:
        sink_at(a, style, *basin)
        taken.append((basin[0], 0.3, 0.26))
    if units.hob is not None:
        hob_at(a, palette, units.hob, style)
        taken.append((units.hob, 0.3, 0.27))
    if units.tall:
        tall_cupboard(a, layout, style, *units.tall)
    wall_cupboards(a, layout, openings, style, low, high, units.hob)
    count = int(rng.poisson(rng.choice([1.0, 3.5, 7.0]) * (high - low)))
    clear = style.upper_low - style.height if style.uppers else 2.0
    dress(a, palette, "kitchen", (low + 0.05, high - 0.05, 0.05, 0.55), style.height, count, clear, taken)
    if rng.random() < 0.6:
        lean_things(a, palette, style, low, high, taken)
    if rng.random() < 0.6:
        pin_things(a, palette, openings, style, low, high)
