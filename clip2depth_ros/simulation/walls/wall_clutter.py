# SPDX-License-Identifier: Apache-2.0
"""Things on the walls of real places. Meters."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from clip2depth_ros.simulation.scene.openings import Opening, Wall, in_front, walls_of
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Assembly, Scene
from clip2depth_ros.simulation.walls.wall_fittings import (
    cable,
    cable_duct,
    curtain,
    extinguisher,
    fuse_box,
    pipes,
    radiator,
    socket,
)
from clip2depth_ros.simulation.walls.wall_pictures import (
    calendar,
    clock,
    hooks,
    notice_board,
    papers,
    picture,
    poster,
    shelf_board,
    tools,
    wall_screen,
    whiteboard,
)


class Hung(NamedTuple):
    """A maker, its range of width, its heights on the wall, and its depth."""

    make: Callable[[Assembly, PlacePalette, float, float, float], None]
    width: tuple[float, float]
    low: float
    high: float
    deep: float = 0.05


HUNG = {
    "papers": Hung(papers, (0.6, 1.9), 1.05, 2.0),
    "poster": Hung(poster, (0.4, 0.85), 0.9, 2.1),
    "picture": Hung(picture, (0.25, 1.0), 1.0, 2.1),
    "calendar": Hung(calendar, (0.3, 0.32), 1.1, 1.9),
    "notice board": Hung(notice_board, (0.6, 1.6), 1.0, 2.0),
    "whiteboard": Hung(whiteboard, (1.0, 2.6), 0.95, 2.05, 0.1),
    "screen": Hung(wall_screen, (0.6, 1.4), 1.0, 2.1, 0.1),
    "wall shelf": Hung(shelf_board, (0.5, 1.5), 1.15, 2.4, 0.26),
    "clock": Hung(clock, (0.3, 0.3), 1.8, 2.2),
    "coats": Hung(hooks, (0.5, 1.2), 0.5, 1.75, 0.2),
    "tools": Hung(tools, (0.8, 2.0), 1.0, 2.0),
    "fire extinguisher": Hung(extinguisher, (0.25, 0.25), 0.4, 1.7, 0.2),
    "fuse box": Hung(fuse_box, (0.3, 0.45), 1.1, 9.0, 0.12),
    "radiator": Hung(radiator, (0.6, 1.8), 0.0, 0.85, 0.14),
    "pipes": Hung(pipes, (0.4, 2.0), 0.0, 9.0, 0.14),
    "cable duct": Hung(cable_duct, (0.8, 3.0), 1.0, 1.2),
    "cable": Hung(cable, (0.1, 0.1), 0.2, 2.0),
    "socket": Hung(socket, (0.1, 0.3), 0.25, 1.2),
    "curtain": Hung(curtain, (0.8, 3.0), 0.0, 2.6, 0.16),
}


_EVERYWHERE = "socket socket cable radiator cable_duct"


_BY_KIND = {
    "kitchen": "papers papers papers papers poster poster calendar clock notice_board notice_board "
    "wall_shelf wall_shelf picture screen screen extinguisher",
    "office": "papers papers whiteboard notice_board poster calendar wall_shelf clock picture coats "
    "cable_duct",
    "meeting room": "whiteboard screen poster clock papers cable_duct",
    "classroom": "whiteboard poster poster papers notice_board clock screen",
    "corridor": "poster notice_board papers extinguisher fuse_box pipes coats picture",
    "hall": "extinguisher pipes fuse_box papers poster curtain notice_board",
    "basement": "pipes pipes pipes fuse_box tools wall_shelf cable curtain coats",
    "workshop": "tools tools pipes fuse_box papers calendar wall_shelf extinguisher",
    "warehouse": "pipes fuse_box papers extinguisher curtain",
    "storage room": "pipes fuse_box wall_shelf tools coats cable",
    "bathroom": "pipes coats wall_shelf",
    "yard": "pipes pipes cable fuse_box poster",
    "street": "pipes pipes poster papers fuse_box",
}
_HOMELY = "picture picture picture poster calendar wall_shelf clock screen coats"


def dress_walls(scene: Scene, palette: PlacePalette, plan: list[list[Opening]]) -> None:
    """Hang typical things of this kind of place on the walls, clear of openings, of each other, of furniture.

    Args:
        scene: with its furniture; its `footprints` are the positions in front of walls that are occupied.
        palette: must have `paper()` and `plastic_sheet()`.
        plan: the openings of each wall.
    """
    rng = palette.rng
    words = _BY_KIND.get(scene.kind, _HOMELY)
    if scene.kind not in ("yard", "street"):
        words += " " + _EVERYWHERE
    names = [word.replace("_", " ").replace("extinguisher", "fire extinguisher") for word in words.split()]
    density = float(rng.choice([0.3, 0.8, 1.5]))
    for index, wall in enumerate(walls_of(scene)):
        taken: list[tuple[float, float, float, float]] = [
            (o.start - 0.08, o.start + o.width + 0.08, o.low, o.high + 0.1) for o in plan[index]
        ]
        taken += _standing(scene, wall)
        for _ in range(int(rng.poisson(density * wall.length))):
            if len(scene.parts) > 1200:
                return
            name = str(rng.choice(names))
            hung = HUNG[name]
            if name == "radiator" and rng.random() < 0.5:
                continue
            _hang(scene, palette, wall, name, hung, taken)


def _hang(scene: Scene, palette: PlacePalette, wall: Wall, name: str, hung: Hung, taken: list) -> None:
    rng = palette.rng
    w = rng.uniform(*hung.width)
    if wall.length < w + 0.2 or hung.low > scene.height - 0.4:
        return
    for _ in range(3):
        x = rng.uniform(w / 2 + 0.08, wall.length - w / 2 - 0.08)
        free = all(
            x + w / 2 < x0 or x - w / 2 > x1 or hung.high < low or hung.low > high
            for x0, x1, low, high in taken
        )
        if free:
            z = rng.uniform(1.4, 1.65)
            hung.make(scene.thing(name, wall.x, wall.y, wall.yaw), palette, x, w, z)
            taken.append((x - w / 2 - 0.05, x + w / 2 + 0.05, hung.low, hung.high))
            if hung.deep > 0.09 and hung.low < 0.5:
                scene.block(*in_front(wall, x, hung.deep / 2), wall.yaw, w, hung.deep)
            return


def _standing(scene: Scene, wall: Wall) -> list[tuple[float, float, float, float]]:
    """Stretches (from, to, low, high) of a wall with parts nearer than 0.3 m in front."""
    c, s = np.cos(wall.yaw), np.sin(wall.yaw)
    spans = []
    for thing in scene.things:
        if thing.name in (
            "wall",
            "floor",
            "ceiling",
            "outside",
            "next room",
            "lamp",
            "rug",
            "door",
            "open door",
        ):
            continue
        for part in scene.parts[thing.first : thing.last]:
            reach = np.abs(part.rotation) @ np.asarray(part.size)
            dx, dy = part.position[0] - wall.x, part.position[1] - wall.y
            along, away = c * dx + s * dy, -s * dx + c * dy
            half = abs(c) * reach[0] + abs(s) * reach[1]
            deep = abs(s) * reach[0] + abs(c) * reach[1]
            if -0.1 < away - deep < 0.25:
                spans.append(
                    (along - half, along + half, part.position[2] - reach[2], part.position[2] + reach[2])
                )
    return spans
