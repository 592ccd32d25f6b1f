# SPDX-License-Identifier: Apache-2.0
"""All furniture with realistic ranges of size. Meters."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from clip2depth_ros.simulation.furniture.fixtures import (
    bathtub,
    floor_lamp,
    pillar,
    plant,
    pole,
    screen_wall,
    stairs,
    toilet,
    washbasin,
)
from clip2depth_ros.simulation.furniture.seats import bed, chair, office_chair, sofa, stool
from clip2depth_ros.simulation.furniture.storage import (
    cupboard,
    drawers,
    fridge,
    kitchen_run,
    shelf,
    television,
)
from clip2depth_ros.simulation.furniture.tables import coffee_table, desk, table, workbench
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly
from clip2depth_ros.simulation.small_things.goods import barrel, bin_, carton, ladder, pallet, suitcase


class Piece(NamedTuple):
    """A maker with its ranges of width and depth, and whether it stands against a wall."""

    make: Callable[[Assembly, Palette, float, float], None]
    width: tuple[float, float]
    depth: tuple[float, float]
    wall: bool


CATALOGUE = {
    "table": Piece(table, (0.8, 1.9), (0.75, 1.0), False),
    "coffee table": Piece(coffee_table, (0.7, 1.2), (0.5, 0.7), False),
    "chair": Piece(chair, (0.40, 0.48), (0.42, 0.50), False),
    "office chair": Piece(office_chair, (0.50, 0.58), (0.50, 0.58), False),
    "stool": Piece(stool, (0.32, 0.40), (0.32, 0.40), False),
    "desk": Piece(desk, (1.1, 1.8), (0.6, 0.8), True),
    "shelf": Piece(shelf, (0.6, 1.6), (0.26, 0.40), True),
    "cupboard": Piece(cupboard, (0.8, 2.0), (0.40, 0.62), True),
    "chest of drawers": Piece(drawers, (0.6, 1.4), (0.38, 0.50), True),
    "sofa": Piece(sofa, (1.5, 2.3), (0.80, 0.98), True),
    "armchair": Piece(sofa, (0.80, 1.0), (0.80, 0.9), False),
    "bed": Piece(bed, (0.9, 1.8), (1.95, 2.1), True),
    "kitchen counter": Piece(kitchen_run, (1.8, 3.6), (0.60, 0.64), True),
    "fridge": Piece(fridge, (0.58, 0.75), (0.60, 0.70), True),
    "box": Piece(carton, (0.30, 0.6), (0.25, 0.5), False),
    "plant": Piece(plant, (0.30, 0.5), (0.30, 0.5), False),
    "floor lamp": Piece(floor_lamp, (0.30, 0.34), (0.30, 0.34), False),
    "pole": Piece(pole, (0.05, 0.2), (0.05, 0.2), False),
    "pillar": Piece(pillar, (0.3, 0.5), (0.3, 0.5), False),
    "bin": Piece(bin_, (0.22, 0.4), (0.22, 0.4), False),
    "television": Piece(television, (1.2, 1.8), (0.38, 0.45), True),
    "toilet": Piece(toilet, (0.40, 0.42), (0.65, 0.70), True),
    "washbasin": Piece(washbasin, (0.5, 0.7), (0.42, 0.5), True),
    "bathtub": Piece(bathtub, (1.6, 1.8), (0.72, 0.8), True),
    "workbench": Piece(workbench, (1.4, 2.2), (0.6, 0.8), True),
    "ladder": Piece(ladder, (0.42, 0.5), (0.9, 1.0), False),
    "barrel": Piece(barrel, (0.55, 0.60), (0.55, 0.6), False),
    "pallet": Piece(pallet, (1.15, 1.2), (0.8, 0.82), False),
    "suitcase": Piece(suitcase, (0.40, 0.48), (0.24, 0.28), False),
    "partition": Piece(screen_wall, (1.2, 1.8), (0.4, 0.45), False),
    "staircase": Piece(stairs, (0.9, 1.2), (2.2, 3.0), True),
}
