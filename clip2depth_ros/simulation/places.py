# SPDX-License-Identifier: Apache-2.0
"""Whole places from a seed, similar to recorded ones: kinds, realistic sizes, furniture. Meters.

Separate from the rooms in rooms.py, on which demo, tests and benchmarks depend and which never change.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.simulation.furniture.catalogue import CATALOGUE
from clip2depth_ros.simulation.furniture.furnishings import PIECES
from clip2depth_ros.simulation.furniture.layout import Layout
from clip2depth_ros.simulation.kitchens.fitted_kitchen import fit_kitchen
from clip2depth_ros.simulation.scene.openings import plan_openings
from clip2depth_ros.simulation.scene.people import Body, add_person
from clip2depth_ros.simulation.scene.place_kinds import OUTDOORS, PLACES, PlaceKind
from clip2depth_ros.simulation.scene.place_light import light_place
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Paint, Scene, rectangle
from clip2depth_ros.simulation.walls.shell import (
    build_ceiling,
    build_floor,
    build_piers,
    build_walls_of_place,
)
from clip2depth_ros.simulation.walls.wall_clutter import dress_walls
from clip2depth_ros.simulation.yard import build_outdoors

TEXTURES = (44, 16)
PARTS = 1250
"""Number of parts from which a place gets no more furniture."""


class PlaceLayout(Layout):
    """Places the pieces of places: those of the rooms, and newer ones."""

    catalogue = CATALOGUE | PIECES

    def _shade(self, x: float, y: float, yaw: float, width: float, depth: float) -> None:
        """Darken the floor under a piece, softly, because the views themselves darken corners."""
        for grow, height in ((0.05, 0.0015), (-0.08, 0.003)):
            dark = Paint((0.0, 0.0, 0.0), specular=0.0, alpha=0.6 * self.shade)
            a = self.scene.thing("floor", x, y, yaw)
            a.box((0, 0, height), (max(width + grow, 0.02), max(depth + grow, 0.02), 0.001), dark)


def make_place(seed: int, kind: str | None = None) -> Scene:
    """Build the place of a seed.

    Args:
        seed: any non-negative integer; the same seed gives the same place.
        kind: one of PLACES, or None to choose by the seed.

    Raises Clip2DepthError for an unknown kind.
    """
    rng = np.random.default_rng([41, seed])
    shares = np.array([place.share for place in PLACES.values()])
    chosen = str(rng.choice(list(PLACES), p=shares / shares.sum()))
    kind = kind or chosen
    if kind not in PLACES:
        raise Clip2DepthError(f"There is no place of kind {kind!r}; there are {', '.join(PLACES)}.")
    place = PLACES[kind]
    scene = Scene(kind, *(float(rng.uniform(*span)) for span in (place.width, place.length, place.height)))
    scene.texture_slots = TEXTURES
    palette = PlacePalette(rng, kind)
    layout = PlaceLayout(scene, palette)
    plan = build_outdoors(layout) if kind in OUTDOORS else _build_indoors(layout, place)
    _furnish(layout, place)
    dress_walls(scene, palette, plan)
    _people(layout)
    light_place(scene, palette, plan)
    scene.finish()
    return scene


def _build_indoors(layout: PlaceLayout, place: PlaceKind) -> list:
    scene, palette, rng = layout.scene, layout.palette, layout.rng
    area = scene.width * scene.length
    daylight = float(rng.choice([0.05, 0.6, 0.9, 1.0, 1.0]))
    windows = int(rng.integers(1, 2 + int(area / 14))) if rng.random() < place.windows else 0
    doors = int(rng.integers(1, 3 + int(area / 40)))
    plan = plan_openings(rng, scene, doors=min(doors, 6), windows=min(windows, 6))
    build_floor(scene, palette, str(rng.choice(place.floors)))
    build_ceiling(scene, palette)
    paint = build_walls_of_place(scene, palette, plan, place.walls, daylight)
    build_piers(layout, int(rng.choice([0, 1, 2, 3], p=[0.4, 0.3, 0.2, 0.1])), paint)
    if scene.kind == "kitchen" or (scene.kind in ("office", "dining room") and rng.random() < 0.15):
        fit_kitchen(layout, plan)
    return plan


def _furnish(layout: PlaceLayout, place: PlaceKind) -> None:
    scene, rng = layout.scene, layout.rng
    for name in place.first:
        layout.put(name, tries=30)
    if place.rows is not None:
        _rows(layout, *place.rows)
    for _ in range(min(int(rng.poisson(place.density * scene.width * scene.length)), 60)):
        if len(scene.parts) > PARTS:
            break
        layout.put(str(rng.choice(place.more)))
    if scene.kind in ("living room", "bedroom", "dining room") and rng.random() < 0.25:
        layout.rug(
            scene.width * rng.uniform(0.3, 0.7), scene.length * rng.uniform(0.3, 0.7), rng.uniform(0, 3)
        )


def _rows(layout: PlaceLayout, name: str, across: float, along: float) -> None:
    """Fill the middle of the floor with rows of a piece, `across` meters between rows, `along` in a row."""
    scene, rng = layout.scene, layout.rng
    piece = layout.catalogue[name]
    width, depth = rng.uniform(*piece.width), rng.uniform(*piece.depth)
    margin = rng.uniform(1.0, 1.8)
    # Along the longer side, as racks usually stand and aisles are viewed.
    turn = np.pi / 2 if rng.random() < 0.8 else 0.0
    long, wide = (scene.length, scene.width) if turn else (scene.width, scene.length)
    for row in np.arange(margin + depth / 2, wide - margin - depth / 2 + 0.01, depth + across):
        for step in np.arange(margin + width / 2, long - margin - width / 2 + 0.01, width + along):
            if len(scene.parts) > PARTS or rng.random() < 0.06:
                continue
            x, y = (row, step) if turn else (step, row)
            if layout.is_free(rectangle(x, y, turn, width, depth), 0.0 if along < 0.1 else 0.2):
                layout.place(name, x, y, turn, width, depth)


def _people(layout: PlaceLayout) -> None:
    scene, rng = layout.scene, layout.rng
    count = int(rng.choice([0, 1, 2, 3], p=[0.78, 0.13, 0.06, 0.03]))
    for _ in range(min(count, int(scene.width * scene.length / 8))):
        for _ in range(10):
            x, y = rng.uniform(0.4, scene.width - 0.4), rng.uniform(0.4, scene.length - 0.4)
            yaw = rng.uniform(0, 2 * np.pi)
            if layout.is_free(rectangle(x, y, yaw, 0.4, 0.4), 0.05):
                body = Body.random(layout.palette)
                add_person(scene, body, x, y, yaw, rng.uniform(0, 6.3), rng.uniform(0, 0.5))
                scene.block(x, y, yaw, 0.45, 0.5)
                break
