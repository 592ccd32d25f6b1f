# SPDX-License-Identifier: Apache-2.0
"""Whole rooms from a seed: kind, size, furniture. Meters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clip2depth_ros.simulation.furniture.layout import Layout
from clip2depth_ros.simulation.scene.lighting import light_up
from clip2depth_ros.simulation.scene.openings import plan_openings
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.people import Body, add_person
from clip2depth_ros.simulation.scene.scene import Scene, rectangle
from clip2depth_ros.simulation.walls.walls import build_floor_and_ceiling, build_walls, decorate


class RoomKind(NamedTuple):
    """A kind of room: ranges of width, length and height, frequency, floors, and likely pieces."""

    share: float
    width: tuple[float, float]
    length: tuple[float, float]
    height: tuple[float, float]
    floors: tuple[str, ...]
    first: tuple[str, ...]
    """Pieces that are always placed, if they fit."""
    more: tuple[str, ...]
    """Optional pieces."""
    density: float
    """Number of further pieces per square meter of floor."""


_LIVING = (
    "armchair",
    "shelf",
    "plant",
    "floor lamp",
    "chest of drawers",
    "stool",
    "chair",
    "table",
    "cupboard",
)
_OFFICE = (
    "desk",
    "desk",
    "shelf",
    "cupboard",
    "plant",
    "bin",
    "box",
    "chest of drawers",
    "partition",
    "chair",
)
_STORE = ("shelf", "box", "box", "ladder", "cupboard", "bin", "barrel", "suitcase", "stool", "pallet")
_SHOP = (
    "workbench",
    "shelf",
    "barrel",
    "pallet",
    "box",
    "ladder",
    "pole",
    "pillar",
    "cupboard",
    "stool",
    "bin",
)
_HALL = (
    "pillar",
    "pole",
    "plant",
    "table",
    "chair",
    "bin",
    "box",
    "pallet",
    "partition",
    "staircase",
    "ladder",
    "suitcase",
    "cupboard",
)

ROOMS = {
    "living room": RoomKind(
        0.16,
        (3.6, 7.0),
        (4.0, 8.0),
        (2.4, 3.0),
        ("planks", "planks", "carpet", "tile"),
        ("sofa", "coffee table", "television"),
        _LIVING,
        0.22,
    ),
    "dining room": RoomKind(
        0.08, (3.2, 5.5), (3.5, 6.5), (2.4, 3.0), ("planks", "tile"), ("table",), _LIVING, 0.18
    ),
    "bedroom": RoomKind(
        0.12,
        (2.8, 5.0),
        (3.0, 5.5),
        (2.3, 2.8),
        ("planks", "carpet"),
        ("bed", "cupboard"),
        ("chest of drawers", "desk", "chair", "plant", "floor lamp", "box", "shelf", "suitcase"),
        0.2,
    ),
    "kitchen": RoomKind(
        0.12,
        (2.3, 5.0),
        (2.8, 6.0),
        (2.4, 2.8),
        ("tile", "tile", "planks"),
        ("kitchen counter", "fridge", "table"),
        ("kitchen counter", "chair", "bin", "shelf", "stool"),
        0.25,
    ),
    "office": RoomKind(
        0.16,
        (2.8, 8.0),
        (3.5, 9.5),
        (2.5, 3.2),
        ("carpet", "carpet", "tile", "planks"),
        ("desk", "shelf"),
        _OFFICE,
        0.25,
    ),
    "meeting room": RoomKind(
        0.05,
        (4.0, 7.0),
        (5.0, 9.0),
        (2.6, 3.2),
        ("carpet", "planks"),
        ("table", "table"),
        ("table", "plant", "bin", "chair", "cupboard"),
        0.15,
    ),
    "workshop": RoomKind(
        0.08,
        (4.0, 9.5),
        (5.0, 10.0),
        (2.8, 5.0),
        ("concrete", "concrete", "tile"),
        ("workbench", "shelf"),
        _SHOP,
        0.25,
    ),
    "corridor": RoomKind(
        0.07,
        (1.3, 2.4),
        (5.0, 10.0),
        (2.3, 2.9),
        ("tile", "carpet", "planks", "concrete"),
        (),
        ("bin", "plant", "box", "cupboard", "chair", "shelf", "suitcase"),
        0.2,
    ),
    "hall": RoomKind(
        0.07,
        (6.5, 10.0),
        (7.0, 10.0),
        (2.8, 6.0),
        ("tile", "concrete", "planks"),
        ("pillar", "table"),
        _HALL,
        0.16,
    ),
    "bathroom": RoomKind(
        0.04,
        (1.8, 3.2),
        (2.0, 3.6),
        (2.3, 2.6),
        ("tile",),
        ("toilet", "washbasin", "bathtub"),
        ("bin", "stool", "shelf"),
        0.2,
    ),
    "storage room": RoomKind(
        0.05, (2.0, 5.0), (2.5, 6.0), (2.3, 3.2), ("concrete", "tile"), ("shelf", "shelf"), _STORE, 0.45
    ),
}


def _size(rng: np.random.Generator, low: float, high: float) -> float:
    """Length of a side of a room, with a bias toward larger ones."""
    return float(low + (high - low) * rng.random() ** 0.7)


def make_room(seed: int, kind: str | None = None, people: int | None = None) -> Scene:
    """Build the room of a seed.

    Args:
        seed: any non-negative integer; the same seed gives the same room.
        kind: one of ROOMS, or None to choose by the seed.
        people: number of standing people; None to choose by the seed.
    """
    rng = np.random.default_rng([11, seed])
    shares = np.array([room.share for room in ROOMS.values()])
    chosen = str(rng.choice(list(ROOMS), p=shares / shares.sum()))
    kind = kind or chosen
    room = ROOMS[kind]
    scene = Scene(kind, *(_size(rng, *span) for span in (room.width, room.length, room.height)))
    palette = Palette(rng)
    daylight = float(rng.choice([0.05, 0.5, 0.8, 1.0]))
    area = scene.width * scene.length
    windows = (
        0
        if kind in ("corridor", "storage room") and rng.random() < 0.7
        else int(rng.integers(0, 2 + int(area / 14)))
    )
    plan = plan_openings(rng, scene, doors=int(rng.integers(1, 3 + int(area / 30))), windows=windows)
    build_floor_and_ceiling(scene, palette, str(rng.choice(room.floors)))
    build_walls(scene, palette, plan, daylight)
    layout = Layout(scene, palette)
    for name in room.first:
        layout.put(name, tries=30)
    for _ in range(int(rng.poisson(room.density * area))):
        if len(scene.parts) > 700:
            break
        layout.put(str(rng.choice(room.more)))
    if rng.random() < 0.15:
        layout.rug(
            scene.width * rng.uniform(0.3, 0.7), scene.length * rng.uniform(0.3, 0.7), rng.uniform(0, 3)
        )
    decorate(scene, palette, plan)
    count = int(rng.choice([0, 1, 2, 3], p=[0.62, 0.22, 0.1, 0.06])) if people is None else people
    for _ in range(count):
        for _ in range(10):
            x, y = rng.uniform(0.4, scene.width - 0.4), rng.uniform(0.4, scene.length - 0.4)
            yaw = rng.uniform(0, 2 * np.pi)
            if layout.is_free(rectangle(x, y, yaw, 0.4, 0.4), 0.05):
                add_person(scene, Body.random(palette), x, y, yaw, rng.uniform(0, 6.3), rng.uniform(0, 0.5))
                scene.block(x, y, yaw, 0.45, 0.5)
                break
    light_up(scene, palette, plan, daylight)
    scene.finish()
    return scene
