# SPDX-License-Identifier: Apache-2.0
"""Places with many near things, hands and tools on tables, desks, shelves and benches. Meters."""

from __future__ import annotations

import math

import numpy as np

from clip2depth_ros.simulation.places import make_place
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.people import SKINS
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import BOX, CYLINDER, Assembly, Paint, Part, Scene, rotation_about
from clip2depth_ros.simulation.small_things.dressing import SMALL, THEMES
from clip2depth_ros.simulation.views.viewpoints import TOPS

KINDS = {
    "kitchen": 3,
    "office": 5,
    "dining room": 2,
    "living room": 2,
    "meeting room": 1,
    "classroom": 1,
    "bedroom": 1,
    "workshop": 4,
    "basement": 2,
    "storage room": 2,
}
"""Kinds of places with things at arm's length, and their frequencies."""
_LEVEL = 0.99
"""Smallest vertical component of the axis of a level surface."""


def make_near_scene(seed: int) -> Scene:
    """The crowded place of a seed: any non-negative integer; the same seed gives the same place."""
    rng = np.random.default_rng([47, seed])
    shares = np.array(list(KINDS.values()), float)
    kind = str(rng.choice(list(KINDS), p=shares / shares.sum()))
    scene = make_place(int(rng.integers(2**40)), kind)
    palette = PlacePalette(rng, kind)
    theme = {"kitchen": "kitchen", "workshop": "workshop", "basement": "store", "storage room": "store"}
    for thing in [t for t in scene.things if t.name in TOPS]:
        top = _top(scene.parts[thing.first : thing.last])
        if top is not None:
            themes = [theme.get(kind, "office"), str(rng.choice(list(THEMES)))]
            _crowd(scene, palette, top, themes)
    for _ in range(int(rng.poisson(1.5))):
        # A bin on the floor, as in bin picking.
        x, y = rng.uniform(0.5, scene.width - 0.5), rng.uniform(0.5, scene.length - 0.5)
        tote(scene.thing("box", x, y, rng.uniform(-math.pi, math.pi)), palette)
    scene.finish()
    return scene


def _top(parts: list[Part]) -> tuple[np.ndarray, float, float, float] | None:
    """The largest level surface: the middle (3,) of its upper side, its yaw, and its full lengths along and
    across."""
    level = []
    for part in parts:
        thin = int(np.argmin(part.size))
        if part.shape in (BOX, CYLINDER) and abs(part.rotation[2, thin if part.shape == BOX else 2]) > _LEVEL:
            a, b = [axis for axis in range(3) if axis != (thin if part.shape == BOX else 2)]
            level.append((4 * part.size[a] * part.size[b], a, b, part))
    if not level:
        return None
    area, a, b, part = max(level, key=lambda entry: entry[0])
    if area < 0.1:
        return None
    up = float(np.abs(part.rotation[2]) @ part.size)
    axis = part.rotation[:, a]
    shrink = 0.7 if part.shape == CYLINDER else 1.0
    middle = part.position + (0.0, 0.0, up)
    return middle, math.atan2(axis[1], axis[0]), 2 * shrink * part.size[a], 2 * shrink * part.size[b]


def _crowd(scene: Scene, p: Palette, top: tuple, themes: list[str]) -> None:
    """Add things to a top that already has some: they may touch and hide each other, as on a used table."""
    middle, yaw, width, depth = top
    rng = p.rng
    cos, sin = math.cos(yaw), math.sin(yaw)

    def at(reach: float) -> tuple[float, float]:
        u, v = rng.uniform(-reach, reach) * width / 2, rng.uniform(-reach, reach) * depth / 2
        return middle[0] + cos * u - sin * v, middle[1] + sin * u + cos * v

    for _ in range(int(rng.poisson(rng.choice([1.0, 4.0, 9.0]) * min(2.0, width * depth / 0.8)))):
        name = str(rng.choice(THEMES[themes[int(rng.random() < 0.3)]]))
        small = SMALL[name]
        if small.radius > 0.45 * min(width, depth):
            continue
        x, y = at(0.85)
        turn = rng.uniform(-math.pi, math.pi)
        small.make(scene.thing(name, x, y, turn, middle[2]), p)
    if rng.random() < 0.3 and min(width, depth) > 0.4:
        x, y = at(0.5)
        tote(scene.thing("box", x, y, rng.uniform(-math.pi, math.pi), middle[2]), p)
    if rng.random() < 0.35:
        x, y = at(0.7)
        hand(scene.thing("hand", x, y, rng.uniform(-math.pi, math.pi), middle[2]), p)
    if rng.random() < 0.2:
        x, y = at(0.7)
        gripper(scene.thing("gripper", x, y, rng.uniform(-math.pi, math.pi), middle[2]), p)


def tote(a: Assembly, p: Palette) -> None:
    """An open box, tote or tray with random contents."""
    rng = p.rng
    w, d, h = rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.42), rng.uniform(0.06, 0.32)
    cardboard = rng.random() < 0.35
    paint = (
        p.cardboard() if cardboard else p.plain("blue", "grey", "black", "red", "white", "green", gloss=0.3)
    )
    wall = 0.005 if cardboard else 0.008
    a.box((0, 0, wall), (w, d, 2 * wall), paint)
    for end in (-1, 1):
        a.box((end * (w - wall) / 2, 0, h / 2), (wall, d, h), paint)
        a.box((0, end * (d - wall) / 2, h / 2), (w, wall, h), paint)
    for _ in range(int(rng.integers(0, 14))):
        turn = rotation_about("z", rng.uniform(0, 6.3)) @ rotation_about(
            "x", rng.choice([0.0, math.pi / 2, rng.uniform(-0.6, 0.6)])
        )
        size = np.sort(np.exp(rng.uniform(math.log(0.025), math.log(0.22), 3)))[::-1]
        size = np.minimum(size, 0.7 * min(w, d))
        x = rng.uniform(-0.5, 0.5) * (w - size[0] - 0.02)
        y = rng.uniform(-0.5, 0.5) * (d - size[0] - 0.02)
        z = 0.02 + size[2] / 2 + rng.uniform(0.0, 0.7) * h
        look = (p.plain, p.cardboard, p.fabric, p.metal)[int(rng.choice(4, p=[0.6, 0.2, 0.12, 0.08]))]()
        shape = rng.random()
        if shape < 0.55:
            a.box((x, y, z), tuple(size), look, turn)
        elif shape < 0.8:
            a.cylinder((x, y, z), size[1] / 2, size[0], look, turn=turn @ rotation_about("y", math.pi / 2))
        else:
            a.ellipsoid((x, y, z), tuple(size), look, turn)


def hand(a: Assembly, p: Palette) -> None:
    """A hand and its forearm above a top along +x, empty or holding something."""
    rng = p.rng
    skin, sleeve = Paint(SKINS[int(rng.integers(len(SKINS)))]), p.fabric()
    lift, pitch = rng.uniform(0.03, 0.2), rng.uniform(-0.1, 0.5)
    turn = rotation_about("y", pitch)

    def put(*point: float) -> tuple[float, float, float]:
        x, y, z = turn @ np.array(point)
        return float(x), float(y), float(z + lift)

    along = turn @ rotation_about("y", math.pi / 2)
    a.capsule(put(-0.26, 0, 0), 0.036, 0.3, sleeve if rng.random() < 0.6 else skin, turn=along)
    a.ellipsoid(put(-0.03, 0, 0), (0.11, 0.085, 0.045), skin, turn)
    curl = rng.uniform(0.0, 1.1)
    for finger in range(4):
        y = -0.03 + 0.02 * finger
        a.capsule(put(0.035, y, -0.01 * curl), 0.009, 0.035, skin, turn=along)
        bent = turn @ rotation_about("y", math.pi / 2 + curl)
        a.capsule(put(0.07 - 0.015 * curl, y, -0.035 * curl), 0.008, 0.03, skin, turn=bent)
    side = rotation_about("z", 0.8) @ rotation_about("y", math.pi / 2)
    a.capsule(put(-0.01, -0.055, -0.01), 0.011, 0.04, skin, turn=turn @ side)
    if rng.random() < 0.6:
        held = p.plain()
        size = (rng.uniform(0.03, 0.09), rng.uniform(0.04, 0.2), rng.uniform(0.03, 0.16))
        if rng.random() < 0.5:
            a.box(put(0.05, 0.0, -0.03), size, held, turn)
        else:
            a.cylinder(
                put(0.05, 0.0, -0.03), size[0] / 2, size[1], held, turn=turn @ rotation_about("x", 1.57)
            )


def gripper(a: Assembly, p: Palette) -> None:
    """A parallel gripper on the last link of an arm, pointing down at a top."""
    rng = p.rng
    body, link = p.plain("black", "grey", "white", gloss=0.4), p.plain("white", "grey", "black", gloss=0.5)
    lift, opening, tilt = rng.uniform(0.0, 0.25), rng.uniform(0.01, 0.08), rng.normal(0, 0.25)
    turn = rotation_about("x", tilt)

    def put(*point: float) -> tuple[float, float, float]:
        x, y, z = turn @ np.array(point)
        return float(x), float(y), float(z + lift)

    for end in (-1, 1):
        a.box(put(end * (opening / 2 + 0.008), 0, 0.035), (0.014, 0.022, 0.07), body, turn)
    a.box(put(0, 0, 0.1), (0.16, 0.06, 0.06), body, turn)
    a.cylinder(put(0, 0, 0.2), 0.035, 0.14, link, turn=turn)
    a.capsule(put(0, 0, 0.5), 0.05, 0.4, link, turn=turn)
