# SPDX-License-Identifier: Apache-2.0
"""Furniture of places, with more detail and variation than the first catalogue, with its sizes. Meters."""

from __future__ import annotations

from clip2depth_ros.simulation.furniture.catalogue import Piece
from clip2depth_ros.simulation.furniture.chairs import chair, shell_chair
from clip2depth_ros.simulation.furniture.dressed_tables import (
    coffee_table,
    desk,
    drawers,
    island,
    table,
    workbench,
)
from clip2depth_ros.simulation.furniture.heaps import backpack, crates, leaning_boards, pile
from clip2depth_ros.simulation.furniture.machines import board_on_wheels, boiler, printer, washing_machine
from clip2depth_ros.simulation.furniture.racks import rack, shelf, trolley
from clip2depth_ros.simulation.furniture.thin_things import bicycle, fence, plastic_curtain, pole, tripod

PIECES = {
    "table": Piece(table, (0.8, 2.0), (0.75, 1.0), False),
    "coffee table": Piece(coffee_table, (0.7, 1.2), (0.5, 0.7), False),
    "chair": Piece(chair, (0.40, 0.48), (0.42, 0.50), False),
    "plastic chair": Piece(shell_chair, (0.42, 0.46), (0.42, 0.46), False),
    "desk": Piece(desk, (1.1, 1.9), (0.65, 0.85), True),
    "shelf": Piece(shelf, (0.5, 1.7), (0.26, 0.42), True),
    "chest of drawers": Piece(drawers, (0.6, 1.5), (0.38, 0.50), True),
    "workbench": Piece(workbench, (1.4, 2.4), (0.6, 0.8), True),
    "rack": Piece(rack, (1.0, 2.7), (0.4, 1.0), True),
    "crate": Piece(crates, (0.38, 0.6), (0.32, 0.42), False),
    "tripod": Piece(tripod, (0.7, 1.0), (0.7, 1.0), False),
    "pole": Piece(pole, (0.06, 0.22), (0.06, 0.22), False),
    "boiler": Piece(boiler, (0.45, 0.62), (0.45, 0.62), True),
    "washing machine": Piece(washing_machine, (0.59, 0.62), (0.56, 0.65), True),
    "printer": Piece(printer, (0.5, 0.75), (0.5, 0.65), True),
    "trolley": Piece(trolley, (0.6, 0.9), (0.4, 0.5), False),
    "whiteboard on wheels": Piece(board_on_wheels, (1.2, 1.8), (0.5, 0.6), False),
    "plastic curtain frame": Piece(plastic_curtain, (0.8, 1.8), (0.4, 0.6), True),
    "fence": Piece(fence, (2.0, 5.0), (0.5, 0.6), False),
    "bicycle": Piece(bicycle, (1.7, 1.75), (0.5, 0.56), False),
    "kitchen island": Piece(island, (1.2, 2.4), (0.6, 0.95), False),
    "backpack": Piece(backpack, (0.28, 0.36), (0.2, 0.26), False),
    "pile of things": Piece(pile, (0.8, 1.6), (0.6, 1.2), False),
    "leaning boards": Piece(leaning_boards, (0.6, 1.4), (0.35, 0.45), True),
}
"""Pieces that replace those of the same name in CATALOGUE, or add to them."""
