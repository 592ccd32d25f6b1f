# SPDX-License-Identifier: Apache-2.0
"""The shell of a room: floor, ceiling, walls, and the things on them. Meters."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.openings import THICKNESS, Opening, Wall, door, doorway, walls_of, window
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Paint, Scene


def build_floor_and_ceiling(scene: Scene, palette: Palette, floor_kind: str) -> None:
    rng = palette.rng
    paint = palette.floor(floor_kind)
    scene.words.append(
        {"planks": "wooden floor", "tile": "tiled floor", "carpet": "carpet", "concrete": "concrete floor"}[
            floor_kind
        ]
    )
    floor = scene.thing("floor", 0, 0, words="")
    # Lighting is computed at vertices: patches of whole texture periods keep both light and pattern smooth.
    step = paint.scale * max(1, round(2.0 / paint.scale))
    for x in np.arange(0, scene.width, step):
        for y in np.arange(0, scene.length, step):
            floor.box((x + step / 2, y + step / 2, -0.05), (step, step, 0.1), paint)
    ceiling = scene.thing("ceiling", 0, 0)
    h = scene.height
    white = Paint((0.9, 0.9, 0.88), ("plaster", int(rng.integers(24))), scale=3.0)
    if rng.random() < 0.12:
        white = palette.wall("concrete")
    for x in np.arange(0, scene.width, 3.0):
        for y in np.arange(0, scene.length, 3.0):
            ceiling.box((x + 1.5, y + 1.5, h + 0.05), (3.0, 3.0, 0.1), white)
    if rng.random() < 0.2:
        beam = palette.wood() if rng.random() < 0.6 else palette.plain("white", "grey")
        for y in np.arange(0.6, scene.length, rng.uniform(0.9, 1.8)):
            ceiling.box((scene.width / 2, y, h - 0.08), (scene.width, 0.14, 0.16), beam)
    if scene.kind in ("workshop", "storage room", "corridor") and rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 4))):
            x = rng.uniform(0.1, 0.9) * scene.width
            ceiling.cylinder(
                (x, scene.length / 2, h - rng.uniform(0.1, 0.3)),
                rng.uniform(0.02, 0.12),
                scene.length,
                palette.metal(),
                "y",
            )


def build_walls(scene: Scene, palette: Palette, plan: list[list[Opening]], daylight: float) -> None:
    """Build the four walls with their openings. `daylight` 0..1 is the brightness outside."""
    rng = palette.rng
    kinds = {
        "bathroom": ("tile", "tile", "plaster"),
        "workshop": ("concrete", "brick", "plaster"),
        "storage room": ("concrete", "brick", "plaster"),
    }
    choice = kinds.get(scene.kind, ("plaster", "plaster", "plaster", "wallpaper", "brick", "planks"))
    main = palette.wall(str(rng.choice(choice)))
    accent = palette.wall(str(rng.choice(choice))) if rng.random() < 0.3 else main
    frame = palette.body() if rng.random() < 0.5 else palette.plain("white")
    skirting = palette.plain("white", "brown", "grey") if rng.random() < 0.6 else None
    curtain = palette.fabric() if rng.random() < 0.5 else None
    outside = Paint(
        (daylight, daylight, daylight), ("outdoors", int(rng.integers(24))), fit=True, emission=1.0
    )
    accented = int(rng.integers(4))
    for index, wall in enumerate(walls_of(scene)):
        paint = accent if index == accented else main
        build_wall(scene, wall, plan[index], paint, skirting)
        for opening in plan[index]:
            if opening.kind == "window":
                window(scene, palette, wall, opening, frame, outside, curtain)
            elif opening.kind == "door":
                door(scene, palette, wall, opening, frame)
            else:
                doorway(scene, palette, wall, opening, frame)


def build_wall(
    scene: Scene, wall: Wall, openings: list[Opening], paint: Paint, skirting: Paint | None
) -> None:
    """Build one wall around its openings, with a skirting board if a paint for it is given."""
    a = scene.thing("wall", wall.x, wall.y, wall.yaw)
    h, middle = scene.height, -THICKNESS / 2

    def panel(start: float, stop: float, low: float, high: float) -> None:
        if stop - start > 1e-3 and high - low > 1e-3:
            pieces = max(1, round((stop - start) / 3.0))
            width = (stop - start) / pieces
            for k in range(pieces):
                center = (start + (k + 0.5) * width, middle, (low + high) / 2)
                a.box(center, (width, THICKNESS, high - low), paint)

    x = -THICKNESS
    for o in openings:
        panel(x, o.start, 0.0, h)
        panel(o.start, o.start + o.width, 0.0, o.low)
        panel(o.start, o.start + o.width, o.high, h)
        if skirting and o.start - max(x, 0) > 0.05:
            a.box(((max(x, 0) + o.start) / 2, 0.008, 0.04), (o.start - max(x, 0), 0.016, 0.08), skirting)
        x = o.start + o.width
    panel(x, wall.length + THICKNESS, 0.0, h)
    if skirting:
        a.box(((max(x, 0) + wall.length) / 2, 0.008, 0.04), (wall.length - max(x, 0), 0.016, 0.08), skirting)


def decorate(scene: Scene, palette: Palette, plan: list[list[Opening]]) -> None:
    """Pictures, boards, clocks, switches on the free stretches of wall."""
    rng = palette.rng
    for index, wall in enumerate(walls_of(scene)):
        for _ in range(int(rng.integers(0, 2 + int(wall.length / 2)))):
            width, tall = rng.uniform(0.25, 1.1), rng.uniform(0.25, 0.8)
            if wall.length < width + 0.3:
                continue
            x, z = rng.uniform(0.15 + width / 2, wall.length - 0.15 - width / 2), rng.uniform(1.35, 1.75)
            if any(
                o.start - 0.1 < x + width / 2 and x - width / 2 < o.start + o.width + 0.1 for o in plan[index]
            ):
                continue
            style = rng.random()
            if style < 0.65:
                a = scene.thing("picture", wall.x, wall.y, wall.yaw)
                a.box((x, 0.012, z), (width, 0.024, tall), palette.body())
                a.box((x, 0.026, z), (width - 0.05, 0.006, tall - 0.05), palette.print())
            elif style < 0.8:
                a = scene.thing("clock", wall.x, wall.y, wall.yaw)
                a.cylinder((x, 0.02, z + 0.2), 0.15, 0.04, palette.plain("white", "black", "grey"), "y")
            elif style < 0.9:
                a = scene.thing("wall shelf", wall.x, wall.y, wall.yaw)
                a.box((x, 0.11, z), (width, 0.22, 0.025), palette.body())
                a.box((x, 0.1, z + 0.1), (0.4 * width, 0.12, 0.18), palette.cover())
            elif scene.kind in ("office", "meeting room", "classroom"):
                a = scene.thing("whiteboard", wall.x, wall.y, wall.yaw)
                a.box((x, 0.015, 1.5), (max(width, 0.8), 0.03, 0.9), Paint((0.92, 0.93, 0.94), specular=0.6))
