# SPDX-License-Identifier: Apache-2.0
"""The shell of a place: floor, ceiling with its fixtures, walls with niches and piers. Meters."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.furniture.layout import Layout
from clip2depth_ros.simulation.scene.openings import THICKNESS, Opening, door, doorway, walls_of, window
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Paint, Scene, rectangle, rectangles_overlap, yaw_matrix
from clip2depth_ros.simulation.walls.walls import build_wall

_FLOOR_WORDS = {
    "planks": "wooden floor",
    "laminate": "wooden floor",
    "tile": "tiled floor",
    "carpet": "carpet",
    "concrete": "concrete floor",
}


def build_floor(scene: Scene, palette: PlacePalette, kind: str) -> None:
    """Lay the floor inside the walls."""
    word = _FLOOR_WORDS[kind]
    scene.words.append(word)
    lay_ground(scene, palette.floor(kind), 0.0)


def lay_ground(scene: Scene, paint: Paint, margin: float) -> None:
    """Lay `paint` at z = 0 over the place and `margin` meters around it."""
    floor = scene.thing("floor", 0, 0)
    # Lighting is computed at vertices: patches of whole texture periods keep both light and pattern smooth.
    step = paint.scale * max(1, round(2.0 / paint.scale))
    for x in np.arange(-margin, scene.width + margin, step):
        for y in np.arange(-margin, scene.length + margin, step):
            floor.box((x + step / 2, y + step / 2, -0.05), (step, step, 0.1), paint)


def build_ceiling(scene: Scene, palette: PlacePalette) -> None:
    """Build the ceiling, with beams, ducts and pipes in places that have them."""
    rng, height = palette.rng, scene.height
    ceiling = scene.thing("ceiling", 0, 0)
    rough = scene.kind in ("basement", "workshop", "warehouse", "storage room")
    paint = palette.wall("concrete") if rough and rng.random() < 0.5 else palette.ceiling()
    step = paint.scale * max(1, round(2.5 / paint.scale))
    for x in np.arange(0, scene.width, step):
        for y in np.arange(0, scene.length, step):
            ceiling.box((x + step / 2, y + step / 2, height + 0.05), (step, step, 0.1), paint)
    if scene.kind == "basement" and rng.random() < 0.6:
        _beams(scene, palette, palette.wood(), 0.05, 0.2, rng.uniform(0.4, 0.62))
    elif rng.random() < (0.4 if rough else 0.12):
        beam = palette.wood() if rng.random() < 0.5 else palette.plain("white", "grey")
        _beams(scene, palette, beam, rng.uniform(0.1, 0.25), rng.uniform(0.12, 0.35), rng.uniform(1.2, 4.0))
    for _ in range(int(rng.integers(1, 6)) if rough else int(rng.random() < 0.15)):
        _pipe(scene, palette)


def _beams(
    scene: Scene, palette: PlacePalette, paint: Paint, thick: float, deep: float, apart: float
) -> None:
    ceiling = scene.thing("ceiling", 0, 0)
    middle = scene.height - deep / 2
    for y in np.arange(apart / 2, scene.length, max(apart, scene.length / 40)):
        ceiling.box((scene.width / 2, y, middle), (scene.width, thick, deep), paint)


def _pipe(scene: Scene, palette: PlacePalette) -> None:
    """A pipe or a duct along or across the whole ceiling."""
    rng = palette.rng
    radius = float(rng.choice([0.02, 0.03, 0.06, 0.12, 0.18]))
    along = rng.random() < 0.5
    length = scene.length if along else scene.width
    across = scene.width if along else scene.length
    z = scene.height - radius - rng.uniform(0.02, min(0.35, 0.12 * scene.height))
    place = rng.uniform(radius + 0.02, across - radius - 0.02)
    center = (place, length / 2, z) if along else (length / 2, place, z)
    a = scene.thing("pipe", 0, 0)
    paint = palette.metal() if rng.random() < 0.6 else palette.plain("white", "grey", "yellow", "red")
    if radius > 0.1 and rng.random() < 0.5:
        size = 2 * radius
        a.box(center, (1.5 * size, length, size) if along else (length, 1.5 * size, size), paint)
    else:
        a.cylinder(center, radius, length, paint, "y" if along else "x")


def build_walls_of_place(
    scene: Scene, palette: PlacePalette, plan: list[list[Opening]], kinds: tuple[str, ...], daylight: float
) -> Paint:
    """Build the four walls with their openings. Returns the paint of most of them.

    kinds: possible materials of the walls. daylight: 0..1, brightness outside.
    """
    rng = palette.rng
    main = palette.wall(str(rng.choice(kinds)))
    accent = palette.wall(str(rng.choice(kinds))) if rng.random() < 0.25 else main
    frame = palette.plain("white") if rng.random() < 0.6 else palette.body()
    skirting = palette.plain("white", "brown", "grey") if rng.random() < 0.6 else None
    curtain = palette.fabric() if scene.kind in _CURTAINED and rng.random() < 0.4 else None
    outside = palette.outside(daylight)
    accented = int(rng.integers(4))
    for index, wall in enumerate(walls_of(scene)):
        build_wall(scene, wall, plan[index], accent if index == accented else main, skirting)
        for opening in plan[index]:
            if opening.kind == "window":
                window(scene, palette, wall, opening, frame, outside, curtain)
            elif opening.kind == "door":
                door(scene, palette, wall, opening, frame)
            else:
                doorway(scene, palette, wall, opening, frame)
    return main


_CURTAINED = ("living room", "bedroom", "dining room", "office", "kitchen")


def build_piers(layout: Layout, count: int, paint: Paint) -> None:
    """Piers, chimney breasts, shafts and spur walls, because real rooms are not plain rectangles."""
    scene, rng = layout.scene, layout.rng
    for _ in range(count):
        wall = walls_of(scene)[int(rng.integers(4))]
        width, depth = rng.uniform(0.25, 1.6), rng.uniform(0.12, 0.6)
        if rng.random() < 0.3:
            width, depth = 0.12, rng.uniform(0.8, 0.45 * min(scene.width, scene.length) + 0.4)
        if wall.length < width + 1.0:
            continue
        corner = rng.random() < 0.5
        along = width / 2 if corner else rng.uniform(width / 2 + 0.3, wall.length - width / 2 - 0.3)
        x, y = yaw_matrix(wall.yaw)[:2, :2] @ (along, depth / 2) + (wall.x, wall.y)
        if any(rectangles_overlap(rectangle(x, y, wall.yaw, width, depth), f, 0.1) for f in scene.footprints):
            continue
        pier = scene.thing("wall", x, y, wall.yaw)
        low = scene.height if rng.random() < 0.8 else rng.uniform(0.9, 1.4)
        pier.box((0, -THICKNESS / 4, low / 2), (width, depth + THICKNESS / 2, low), paint)
        scene.block(x, y, wall.yaw, width, depth)
