# SPDX-License-Identifier: Apache-2.0
"""Doors and windows: positions and construction. Meters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Paint, Scene

THICKNESS = 0.14
"""Thickness of a wall, meters."""


class Wall(NamedTuple):
    """A wall's own frame: x along the wall from its corner, y into the room."""

    x: float
    y: float
    yaw: float
    length: float


class Opening(NamedTuple):
    """A hole in a wall from `start` along it, between heights `low` and `high`."""

    kind: str
    start: float
    width: float
    low: float
    high: float


def walls_of(scene: Scene) -> list[Wall]:
    w, d = scene.width, scene.length
    half = np.pi / 2
    return [Wall(0, 0, 0, w), Wall(w, 0, half, d), Wall(w, d, 2 * half, w), Wall(0, d, 3 * half, d)]


def in_front(wall: Wall, along: float, away: float) -> tuple[float, float]:
    c, s = np.cos(wall.yaw), np.sin(wall.yaw)
    return float(wall.x + c * along - s * away), float(wall.y + s * along + c * away)


def plan_openings(rng: np.random.Generator, scene: Scene, doors: int, windows: int) -> list[list[Opening]]:
    """Positions of doors and windows per wall, without overlaps."""
    walls = walls_of(scene)
    plan: list[list[Opening]] = [[] for _ in walls]

    def put(kind: str, width: float, low: float, high: float) -> None:
        for _ in range(8):
            index = int(rng.integers(4))
            room = walls[index].length - width - 0.4
            if room <= 0:
                continue
            start = 0.2 + rng.uniform(0, room)
            if all(start + width + 0.3 < o.start or o.start + o.width + 0.3 < start for o in plan[index]):
                plan[index].append(Opening(kind, float(start), width, low, high))
                return

    for _ in range(doors):
        wide = 1.6 if scene.width > 6 and rng.random() < 0.2 else float(rng.uniform(0.78, 0.98))
        put("doorway" if rng.random() < 0.4 else "door", wide, 0.0, float(rng.uniform(1.98, 2.1)))
    for _ in range(windows):
        low = float(rng.choice([0.1, 0.85, 0.95, 1.1], p=[0.15, 0.35, 0.35, 0.15]))
        high = float(min(scene.height - 0.15, rng.uniform(1.9, 2.4)))
        put("window", float(rng.uniform(0.7, 2.4)), low, high)
    return [sorted(openings, key=lambda o: o.start) for openings in plan]


def _frame(a, o: Opening, paint: Paint, wide: float, sill: bool) -> None:
    middle = o.start + o.width / 2
    deep = THICKNESS + 0.03
    for x in (o.start, o.start + o.width):
        a.box((x, -deep / 2 + 0.015, (o.low + o.high) / 2), (wide, deep, o.high - o.low), paint)
    a.box((middle, -deep / 2 + 0.015, o.high), (o.width + wide, deep, wide), paint)
    if sill:
        a.box((middle, 0.04, o.low), (o.width + 0.1, 0.22, 0.04), paint)


def window(
    scene: Scene, palette: Palette, wall: Wall, o: Opening, frame: Paint, outside: Paint, curtain
) -> None:
    rng = palette.rng
    a = scene.thing("window", wall.x, wall.y, wall.yaw)
    _frame(a, o, frame, 0.06, True)
    middle, center = o.start + o.width / 2, (o.low + o.high) / 2
    panes = max(1, round(o.width / 0.8))
    for k in range(1, panes):
        a.box((o.start + k * o.width / panes, -0.07, center), (0.05, 0.05, o.high - o.low), frame)
    if rng.random() < 0.3:
        a.box((middle, -0.07, center), (o.width, 0.04, 0.04), frame)
    if curtain is not None:
        for side in (-1, 1):
            for k in range(int(rng.integers(3, 7))):
                x = middle + side * (o.width / 2 + 0.12 - 0.075 * k)
                a.cylinder((x, 0.09, (o.high + 0.1) / 2 + 0.03), 0.045, o.high + 0.04, curtain)
        a.cylinder((middle, 0.09, o.high + 0.1), 0.012, o.width + 0.5, palette.metal(), "x")
    if o.low > 0.6 and rng.random() < 0.5:
        white = palette.plain("white")
        for x in np.arange(o.start + 0.06, o.start + o.width - 0.05, 0.11):
            a.box((x, 0.06, 0.38), (0.09, 0.08, 0.55), white)
    view = scene.thing("outside", wall.x, wall.y, wall.yaw)
    away = rng.uniform(5, 14)
    view.box((middle, -away, 4.5), (26.0, 0.1, 10.0), outside)
    for side in (-13, 13):
        view.box((middle + side, -away / 2 - 0.2, 4.5), (0.1, away, 10.0), outside)
    view.box(
        (middle, -away / 2 - 0.2, 9.5),
        (26.0, away, 0.1),
        outside._replace(texture=None, rgb=(0.8, 0.87, 0.95)),
    )
    grass = outside._replace(texture=("foliage", int(rng.integers(24))), fit=False, scale=2.0)
    view.box((middle, -away / 2 - 0.2, -0.5), (26.0, away, 0.1), grass)


def door(scene: Scene, palette: Palette, wall: Wall, o: Opening, frame: Paint) -> None:
    a = scene.thing("door", wall.x, wall.y, wall.yaw)
    paint = palette.body()
    _frame(a, o, frame, 0.08, False)
    middle, h = o.start + o.width / 2, o.high
    a.box((middle, -THICKNESS / 2, -0.024), (o.width, THICKNESS + 0.04, 0.05), frame)
    a.box((middle, -0.06, h / 2), (o.width - 0.02, 0.05, h - 0.01), paint)
    if palette.rng.random() < 0.6:
        for low, high in ((0.15, 0.45), (0.52, 0.92)):
            a.box((middle, -0.032, (low + high) * h / 2), (o.width - 0.32, 0.012, (high - low) * h), paint)
    side = palette.rng.choice([-1, 1]) * (o.width / 2 - 0.09)
    knob = palette.metal()
    a.box((middle + side, -0.03, 1.03), (0.04, 0.012, 0.2), knob)
    a.capsule((middle + 0.85 * side, 0.01, 1.05), 0.01, 0.1, knob, "x")
    scene.block(*in_front(wall, middle, 0.35), wall.yaw, o.width, 0.7)


def doorway(scene: Scene, palette: Palette, wall: Wall, o: Opening, frame: Paint) -> None:
    """An open door with a part of another room behind it."""
    rng = palette.rng
    a = scene.thing("open door", wall.x, wall.y, wall.yaw)
    _frame(a, o, frame, 0.08, False)
    middle, deep, wide = o.start + o.width / 2, rng.uniform(1.3, 6.0), rng.uniform(1.4, 4.0)
    if rng.random() < 0.5:
        turn = np.eye(3)
        a.box((o.start - 0.03, 0.42, o.high / 2), (0.045, 0.82, o.high - 0.02), palette.body(), turn)
    shift = rng.uniform(-0.4, 0.4) * (wide - o.width)
    space = scene.thing("next room", wall.x, wall.y, wall.yaw)
    paint, h = palette.wall("plaster"), scene.height
    start = -THICKNESS
    floor = palette.floor(str(rng.choice(["planks", "tile", "carpet"])))
    space.box((middle + shift, start - deep / 2, -0.056), (wide, deep + 0.28, 0.1), floor)
    space.box((middle + shift, start - deep / 2, h + 0.04), (wide, deep, 0.1), paint)
    space.box((middle + shift, start - deep - 0.05, h / 2), (wide, 0.1, h), paint)
    for side in (-1, 1):
        space.box((middle + shift + side * (wide / 2 + 0.05), start - deep / 2, h / 2), (0.1, deep, h), paint)
    if rng.random() < 0.6:
        body = palette.body()
        tall = rng.uniform(0.5, 2.0)
        space.box(
            (middle + shift + rng.uniform(-0.3, 0.3) * wide, start - deep + 0.25, tall / 2),
            (rng.uniform(0.4, 1.0), 0.4, tall),
            body,
        )
    scene.block(*in_front(wall, middle, 0.45), wall.yaw, o.width, 0.9)
