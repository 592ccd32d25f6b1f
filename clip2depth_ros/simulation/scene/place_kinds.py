# SPDX-License-Identifier: Apache-2.0
"""The kinds of places: frequency, size and furniture. Meters."""

from __future__ import annotations

from typing import NamedTuple


class PlaceKind(NamedTuple):
    """A kind of place: its frequency, ranges of size, surfaces, and likely pieces.

    Floors, walls and pieces are drawn one at a time: a name that is listed twice is drawn twice as often.
    """

    share: float
    width: tuple[float, float]
    length: tuple[float, float]
    height: tuple[float, float]
    floors: tuple[str, ...]
    walls: tuple[str, ...]
    first: tuple[str, ...]
    """Pieces that are always placed, if they fit."""
    more: tuple[str, ...]
    """Optional pieces."""
    density: float
    """Number of further pieces per square meter of floor."""
    windows: float
    """Probability that it has windows."""
    rows: tuple[str, float, float] | None = None
    """A piece that is placed in rows, with the free distance between rows across and along, meters."""


def _list(names: str) -> tuple[str, ...]:
    return tuple(names.split(", ")) if names else ()


PLACES = {
    "kitchen": PlaceKind(
        share=0.15,
        width=(2.6, 5.5),
        length=(3.0, 7.0),
        height=(2.4, 2.9),
        floors=_list("tile, laminate, carpet, planks"),
        walls=_list("plaster, plaster, plaster, tile"),
        first=_list("table, fridge"),
        more=_list("chair, bin, stool, shelf, box, table, cupboard, kitchen island, backpack"),
        density=0.18,
        windows=0.55,
    ),
    "dining room": PlaceKind(
        share=0.06,
        width=(3.2, 5.5),
        length=(3.6, 7.0),
        height=(2.4, 3.0),
        floors=_list("planks, laminate, carpet, tile"),
        walls=_list("plaster, plaster, plaster, plaster, wallpaper, brick"),
        first=_list("table, cupboard"),
        more=_list("table, chair, chest of drawers, plant, floor lamp, shelf, armchair"),
        density=0.2,
        windows=0.7,
    ),
    "living room": PlaceKind(
        share=0.08,
        width=(3.6, 6.5),
        length=(4.2, 8.5),
        height=(2.4, 3.0),
        floors=_list("planks, laminate, carpet, tile"),
        walls=_list("plaster, plaster, plaster, plaster, wallpaper, brick"),
        first=_list("sofa, coffee table, television"),
        more=_list(
            "armchair, shelf, plant, floor lamp, chest of drawers, stool, chair, table, box, backpack"
        ),
        density=0.28,
        windows=0.8,
    ),
    "bedroom": PlaceKind(
        share=0.06,
        width=(2.8, 4.8),
        length=(3.2, 5.5),
        height=(2.3, 2.8),
        floors=_list("planks, laminate, carpet"),
        walls=_list("plaster, plaster, plaster, plaster, wallpaper, brick"),
        first=_list("bed, cupboard"),
        more=_list("chest of drawers, desk, chair, plant, floor lamp, box, shelf, suitcase, bin"),
        density=0.3,
        windows=0.75,
    ),
    "office": PlaceKind(
        share=0.15,
        width=(2.8, 8.0),
        length=(3.6, 10.0),
        height=(2.5, 3.2),
        floors=_list("carpet, carpet, laminate, tile"),
        walls=_list("plaster, plaster, plaster, wallpaper"),
        first=_list("desk, desk, shelf"),
        more=_list(
            "desk, desk, desk, shelf, cupboard, plant, bin, box, chest of drawers, chair, printer, "
            "backpack, partition, whiteboard on wheels, plastic chair"
        ),
        density=0.34,
        windows=0.7,
    ),
    "meeting room": PlaceKind(
        share=0.04,
        width=(3.6, 6.5),
        length=(5.0, 9.0),
        height=(2.5, 3.2),
        floors=_list("carpet, laminate, planks"),
        walls=_list("plaster"),
        first=_list("table"),
        more=_list("table, plant, bin, chair, cupboard, chair, whiteboard on wheels, backpack"),
        density=0.2,
        windows=0.7,
        rows=("table", 1.6, 0.02),
    ),
    "classroom": PlaceKind(
        share=0.03,
        width=(5.5, 9.0),
        length=(7.0, 12.0),
        height=(2.8, 3.6),
        floors=_list("tile, laminate, concrete"),
        walls=_list("plaster"),
        first=_list("cupboard, desk"),
        more=_list("shelf, cupboard, bin, chair, plant, whiteboard on wheels, backpack, backpack"),
        density=0.08,
        windows=0.9,
        rows=("table", 1.0, 0.6),
    ),
    "corridor": PlaceKind(
        share=0.06,
        width=(1.4, 3.2),
        length=(7.0, 24.0),
        height=(2.3, 3.2),
        floors=_list("tile, carpet, laminate, concrete"),
        walls=_list("plaster, plaster, plaster, concrete, brick"),
        first=(),
        more=_list("bin, plant, box, cupboard, chair, shelf, suitcase, chest of drawers"),
        density=0.14,
        windows=0.25,
    ),
    "hall": PlaceKind(
        share=0.08,
        width=(7.0, 20.0),
        length=(9.0, 25.0),
        height=(2.8, 8.0),
        floors=_list("concrete, concrete, tile, planks, carpet"),
        walls=_list("concrete, brick, plaster, plaster"),
        first=_list("pillar, pole, table, partition"),
        more=_list(
            "pillar, pole, pole, table, chair, bin, box, pallet, partition, partition, staircase, "
            "ladder, cupboard, barrel, crate, tripod, tripod, plastic curtain frame, fence, fence, "
            "whiteboard on wheels, plastic chair, leaning boards, backpack"
        ),
        density=0.16,
        windows=0.5,
    ),
    "basement": PlaceKind(
        share=0.08,
        width=(3.5, 8.0),
        length=(4.5, 11.0),
        height=(2.1, 2.6),
        floors=_list("concrete, concrete, concrete, tile"),
        walls=_list("concrete, brick, brick, plaster, planks"),
        first=_list("rack, washing machine, boiler, pole"),
        more=_list(
            "rack, rack, shelf, box, box, crate, pole, workbench, cupboard, ladder, suitcase, bin, "
            "barrel, table, chair, plastic curtain frame, bicycle, washing machine, crate, "
            "pile of things, pile of things, leaning boards, plastic chair, trolley"
        ),
        density=0.65,
        windows=0.2,
    ),
    "workshop": PlaceKind(
        share=0.07,
        width=(4.0, 10.0),
        length=(5.0, 13.0),
        height=(2.7, 5.0),
        floors=_list("concrete, concrete, tile"),
        walls=_list("concrete, brick, plaster, plaster"),
        first=_list("workbench, rack, workbench"),
        more=_list(
            "workbench, rack, shelf, barrel, pallet, box, crate, ladder, pole, pillar, cupboard, stool, "
            "bin, trolley, tripod, leaning boards, pile of things, plastic curtain frame"
        ),
        density=0.42,
        windows=0.4,
    ),
    "warehouse": PlaceKind(
        share=0.03,
        width=(8.0, 18.0),
        length=(10.0, 25.0),
        height=(3.5, 8.0),
        floors=_list("concrete"),
        walls=_list("concrete, brick, plaster"),
        first=_list("pallet, trolley"),
        more=_list("pallet, box, crate, barrel, pillar, ladder, trolley, bin"),
        density=0.08,
        windows=0.3,
        rows=("rack", 2.2, 0.03),
    ),
    "storage room": PlaceKind(
        share=0.03,
        width=(1.4, 4.0),
        length=(1.8, 5.0),
        height=(2.2, 3.0),
        floors=_list("concrete, concrete, tile"),
        walls=_list("concrete, brick, plaster, plaster"),
        first=_list("shelf, rack"),
        more=_list("shelf, rack, box, box, crate, ladder, cupboard, bin, barrel, suitcase, pile of things"),
        density=0.7,
        windows=0.15,
    ),
    "bathroom": PlaceKind(
        share=0.025,
        width=(1.7, 3.2),
        length=(2.0, 3.8),
        height=(2.3, 2.7),
        floors=_list("tile"),
        walls=_list("tile, tile, plaster"),
        first=_list("toilet, washbasin, bathtub"),
        more=_list("bin, stool, shelf, washing machine"),
        density=0.25,
        windows=0.4,
    ),
    "yard": PlaceKind(
        share=0.035,
        width=(8.0, 20.0),
        length=(10.0, 28.0),
        height=(4.0, 11.0),
        floors=(),
        walls=(),
        first=(),
        more=_list("bin, barrel, pallet, box, crate, pole, ladder, bicycle, plant, table, plastic chair"),
        density=0.07,
        windows=1.0,
    ),
    "street": PlaceKind(
        share=0.02,
        width=(8.0, 15.0),
        length=(20.0, 36.0),
        height=(6.0, 14.0),
        floors=(),
        walls=(),
        first=(),
        more=_list("bin, pole, pole, bicycle, bicycle, box, plant, barrel, fence"),
        density=0.05,
        windows=1.0,
    ),
}

OUTDOORS = ("yard", "street")
"""Kinds under a sky, with house fronts as walls."""
