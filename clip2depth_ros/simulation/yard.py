# SPDX-License-Identifier: Apache-2.0
"""Yards and streets: ground, house fronts, fences, hedges, trees, cars, lamp posts. Meters."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.furniture.layout import Layout
from clip2depth_ros.simulation.rendering.sky import SKIES
from clip2depth_ros.simulation.scene.openings import Opening, Wall, walls_of
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, Scene, rectangle
from clip2depth_ros.simulation.walls.shell import lay_ground

_GLASS = Paint((0.10, 0.12, 0.15), specular=0.9, shininess=0.9)


def build_outdoors(layout: Layout) -> list[list[Opening]]:
    """Lay the ground, close the sides with house fronts, fences or hedges, add parked cars and trees.

    The returned plan of openings is empty: house fronts contain their own windows and doors.
    """
    scene, palette, rng = layout.scene, layout.palette, layout.rng
    scene.sky = int(rng.integers(SKIES))
    lay_ground(scene, palette.ground(), 12.0)  # pyright: ignore[reportAttributeAccessIssue]
    street = scene.kind == "street"
    for index, wall in enumerate(walls_of(scene)):
        long = wall.length >= scene.length - 0.01 if street else True
        roll = rng.random()
        if street and not long:
            if roll < 0.6:
                _front(scene, palette, wall, 8.0, rng.uniform(0, 3))
        elif roll < (0.85 if street else 0.6) or index == 0:
            _front(scene, palette, wall, scene.height * rng.uniform(0.7, 1.1), 0.0)
        elif roll < 0.78:
            _fence(scene, palette, wall)
        elif roll < 0.92:
            _hedge(scene, palette, wall)
        else:
            _front(scene, palette, wall, scene.height, rng.uniform(4, 10))
    if street:
        _kerbs(scene, palette)
    area = scene.width * scene.length
    for _ in range(int(rng.poisson(area / (45 if street else 90)))):
        _put(layout, car, "car", rng.uniform(3.9, 4.7), rng.uniform(1.68, 1.85), along=True)
    for _ in range(int(rng.poisson(area / 110))):
        _put(layout, tree, "tree", 0.5, 0.5)
    for _ in range(int(rng.poisson(area / 150))):
        _put(layout, lamp_post, "lamp post", 0.2, 0.2)
    if rng.random() < 0.35:
        for _ in range(int(rng.integers(2, 7))):
            _put(layout, bollard, "bollard", 0.15, 0.15)
    return [[] for _ in range(4)]


def _put(layout: Layout, make, name: str, width: float, depth: float, along: bool = False) -> None:
    """Place a thing on free ground; `along` the longer sides, like parked cars."""
    scene, rng = layout.scene, layout.rng
    for _ in range(10):
        x, y = rng.uniform(0.6, scene.width - 0.6), rng.uniform(0.6, scene.length - 0.6)
        yaw = rng.uniform(-np.pi, np.pi)
        if along:
            yaw = rng.choice([-0.5, 0.5]) * np.pi + rng.normal(0, 0.05 if scene.kind == "street" else 0.4)
            if scene.kind == "street":
                x = rng.choice([2.2, scene.width - 2.2])
        if layout.is_free(rectangle(x, y, yaw, width, depth), 0.4):
            make(scene.thing(name, x, y, yaw), layout.palette, width, depth)
            scene.block(x, y, yaw, width, depth)
            return


def _front(scene: Scene, palette: PlacePalette, wall: Wall, height: float, back: float) -> None:
    """A house front `back` meters behind the side, with windows in stories, doors and gates."""
    rng = palette.rng
    a = scene.thing("house front", wall.x, wall.y, wall.yaw)
    paint, frame, length = palette.facade(), palette.plain("white", "brown", "grey"), wall.length
    pieces = max(1, round((length + 0.6) / 3.0))
    for k in range(pieces):
        width = (length + 0.6) / pieces
        for low in np.arange(0.0, height, 3.0):
            high = min(low + 3.0, height)
            a.box((-0.3 + (k + 0.5) * width, -back - 0.15, (low + high) / 2), (width, 0.3, high - low), paint)
    if rng.random() < 0.5:
        a.box((length / 2, -back + 0.01, 0.25), (length, 0.04, 0.5), palette.wall("concrete"))
    storey, bay = rng.uniform(2.7, 3.2), rng.uniform(1.9, 3.4)
    wide, tall = rng.uniform(0.8, 1.3), rng.uniform(1.1, 1.6)
    for k in range(int((length - 0.4) / bay)):
        x = 0.2 + (k + 0.5) * bay
        for level in range(max(1, int(height / storey))):
            z = level * storey
            roll = rng.random()
            if level == 0 and roll < 0.3:
                gate = rng.random() < 0.3
                width, high = (min(2.4, bay - 0.3), 2.3) if gate else (0.95, 2.05)
                door = scene.thing("garage door" if gate else "door", wall.x, wall.y, wall.yaw)
                door.box((x, -back + 0.015, high / 2), (width + 0.14, 0.05, high + 0.07), frame)
                door.box((x, -back + 0.03, high / 2), (width, 0.05, high), palette.body())
            elif roll < 0.9 and z + 0.95 + tall < height:
                middle = z + 0.95 + tall / 2
                a.box((x, -back + 0.005, middle), (wide + 0.14, 0.05, tall + 0.14), frame)
                a.box((x, -back + 0.012, middle), (wide, 0.05, tall), _GLASS)
                a.box((x, -back + 0.02, middle), (0.05, 0.06, tall), frame)
                a.box((x, -back + 0.06, z + 0.9), (wide + 0.2, 0.18, 0.04), frame)


def _fence(scene: Scene, palette: PlacePalette, wall: Wall) -> None:
    a, rng = scene.thing("fence", wall.x, wall.y, wall.yaw), palette.rng
    height, paint = rng.uniform(1.0, 2.1), palette.wood() if rng.random() < 0.6 else palette.metal()
    if rng.random() < 0.4:
        solid = palette.wall(str(rng.choice(["brick", "concrete"])))
        a.box((wall.length / 2, -0.1, height / 2), (wall.length, 0.2, height), solid)
        return
    for x in np.arange(0.05, wall.length, 2.0):
        a.box((x, 0, height / 2), (0.09, 0.09, height), paint)
    if rng.random() < 0.5:
        for z in np.arange(0.15, height, 0.16):
            a.box((wall.length / 2, -0.05, z), (wall.length, 0.02, 0.13), paint)
    else:
        for z in (0.3, height - 0.2):
            a.box((wall.length / 2, -0.04, z), (wall.length, 0.04, 0.08), paint)
        for x in np.arange(0.1, wall.length, max(0.13, wall.length / 150)):
            a.box((x, 0.0, height / 2), (0.08, 0.02, height - 0.1), paint)


def _hedge(scene: Scene, palette: PlacePalette, wall: Wall) -> None:
    a, rng = scene.thing("hedge", wall.x, wall.y, wall.yaw), palette.rng
    height, x = rng.uniform(0.9, 2.2), 0.0
    while x < wall.length:
        wide, tall = rng.uniform(0.7, 1.4), height * rng.uniform(0.9, 1.1)
        a.ellipsoid((x, -0.2, 0.42 * tall), (1.7 * wide, 1.0, 1.25 * tall), palette.leaf())
        x += 0.55 * wide


def _kerbs(scene: Scene, palette: PlacePalette) -> None:
    """Sidewalks along both long sides, 12 cm above the road."""
    wide, stone = palette.rng.uniform(1.2, 2.0), palette.wall("concrete")
    a = scene.thing("pavement", 0, 0)
    for x in (wide / 2 - 0.5, scene.width - wide / 2 + 0.5):
        for y in np.arange(0, scene.length, 4.0):
            a.box((x, y + 2.0, 0.0), (wide, 4.0, 0.24), stone)


def car(a: Assembly, p: Palette, w: float, d: float) -> None:
    """A car of `w` meters length along x."""
    rng = p.rng
    paint = p.plain("white", "grey", "black", "dark grey", "red", "blue", gloss=0.8)
    rubber, van = Paint((0.05, 0.05, 0.05)), rng.random() < 0.2
    roof = rng.uniform(1.8, 2.0) if van else rng.uniform(1.40, 1.60)
    a.box((0, 0, 0.52), (w, d, 0.56), paint)
    a.box((0.48 * w, 0, 0.45), (0.06 * w, d - 0.1, 0.35), paint)
    cabin, middle = (0.72 * w, -0.12 * w) if van else (0.52 * w, -0.05 * w)
    a.box((middle, 0, (roof + 0.8) / 2), (cabin, d - 0.22, roof - 0.8), _GLASS)
    a.box((middle, 0, roof), (cabin - 0.2, d - 0.2, 0.07), paint)
    for side in (-1, 1):
        for place in (-0.5, 0.0, 0.5):
            a.box(
                (middle + place * cabin, side * (d / 2 - 0.11), (roof + 0.8) / 2),
                (0.1, 0.05, roof - 0.8),
                paint,
            )
        for place in (-0.31, 0.31):
            a.cylinder((place * w, side * (d / 2 - 0.09), 0.31), 0.31, 0.2, rubber, "y")
            a.cylinder((place * w, side * (d / 2 - 0.08), 0.31), 0.2, 0.2, p.metal(), "y")
        light = Paint((0.95, 0.93, 0.85), specular=0.8)
        a.box((w / 2 + 0.02, side * (d / 2 - 0.25), 0.62), (0.04, 0.3, 0.14), light)
        a.box((-w / 2, side * (d / 2 - 0.2), 0.68), (0.04, 0.25, 0.14), Paint((0.6, 0.05, 0.05)))


def tree(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng = p.rng
    trunk, crown = rng.uniform(1.6, 2.8), rng.uniform(1.6, 3.4)
    a.cylinder((0, 0, trunk / 2), rng.uniform(0.06, 0.18), trunk, Paint((0.28, 0.21, 0.15)))
    for _ in range(int(rng.integers(5, 11))):
        x, y, z = rng.normal(0, 0.25, 3) * crown
        size = crown * rng.uniform(0.35, 0.7)
        a.ellipsoid((x, y, trunk + 0.4 * crown + z), (size, size, 0.8 * size), p.leaf())


def lamp_post(a: Assembly, p: Palette, w: float, d: float) -> None:
    height, steel = p.rng.uniform(3.5, 6.0), p.metal()
    a.cylinder((0, 0, height / 2), 0.06, height, steel)
    a.cylinder((0, 0, 0.5), 0.09, 1.0, steel)
    a.box((0.4, 0, height), (0.9, 0.18, 0.1), steel)


def bollard(a: Assembly, p: Palette, w: float, d: float) -> None:
    a.cylinder((0, 0, 0.45), w / 2, 0.9, p.plain("grey", "black", "red", "white"))
