# SPDX-License-Identifier: Apache-2.0
"""Many small things on tables, desks, worktops, benches and shelf boards. Meters."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly
from clip2depth_ros.simulation.small_things.desk_things import (
    desk_lamp,
    keyboard,
    laptop,
    monitor,
    phone,
    plant_pot,
)
from clip2depth_ros.simulation.small_things.kitchenware import (
    bottle,
    bowl,
    can,
    chopping_board,
    coffee_machine,
    dish_rack,
    glass,
    jar,
    kettle,
    knife_block,
    microwave,
    mug,
    packet,
    plate,
    pot,
    roll,
    toaster,
)
from clip2depth_ros.simulation.small_things.paperwork import (
    books_pile,
    books_row,
    carton,
    leaflet,
    magazine,
    open_book,
    paper,
    paper_stack,
    pens,
    tray,
)
from clip2depth_ros.simulation.small_things.workshop_things import (
    bag,
    cable_coil,
    cloth,
    drill,
    lumber,
    paint_tin,
    toolbox,
)


def put_on(a: Assembly, name: str, x: float, y: float, z: float, yaw: float = 0.0) -> Assembly:
    """A separate thing at (x, y, z) in the frame of `a`, rotated by `yaw` radians relative to it."""
    east, north, up = a.origin + a.rotation @ np.array([x, y, z])
    turn = float(np.arctan2(a.rotation[1, 0], a.rotation[0, 0]))
    return a.scene.thing(name, float(east), float(north), turn + yaw, float(up))


class Small(NamedTuple):
    """A maker, its space (radius), and whether its front matters (otherwise its rotation is random)."""

    make: Callable[[Assembly, Palette], None]
    radius: float
    faces: bool = False


SMALL = {
    "mug": Small(mug, 0.07),
    "bottle": Small(bottle, 0.05),
    "glass": Small(glass, 0.045),
    "jar": Small(jar, 0.07),
    "can": Small(can, 0.045),
    "sheet of paper": Small(paper, 0.19),
    "stack of paper": Small(paper_stack, 0.17, True),
    "magazine": Small(magazine, 0.16),
    "leaflet": Small(leaflet, 0.11, True),
    "open book": Small(open_book, 0.19),
    "pile of books": Small(books_pile, 0.17),
    "row of books": Small(books_row, 0.18, True),
    "packet": Small(packet, 0.12),
    "small box": Small(carton, 0.2, True),
    "plate": Small(plate, 0.14),
    "fruit bowl": Small(bowl, 0.13),
    "kettle": Small(kettle, 0.13),
    "toaster": Small(toaster, 0.17, True),
    "microwave": Small(microwave, 0.27, True),
    "coffee machine": Small(coffee_machine, 0.17, True),
    "chopping board": Small(chopping_board, 0.22, True),
    "knife block": Small(knife_block, 0.1, True),
    "pot": Small(pot, 0.17),
    "dish rack": Small(dish_rack, 0.23, True),
    "kitchen roll": Small(roll, 0.08),
    "potted plant": Small(plant_pot, 0.13),
    "laptop": Small(laptop, 0.22, True),
    "monitor": Small(monitor, 0.35, True),
    "keyboard": Small(keyboard, 0.23, True),
    "phone": Small(phone, 0.14, True),
    "pens": Small(pens, 0.05),
    "letter tray": Small(tray, 0.21, True),
    "desk lamp": Small(desk_lamp, 0.2),
    "bag": Small(bag, 0.2, True),
    "cloth": Small(cloth, 0.16),
    "toolbox": Small(toolbox, 0.26, True),
    "drill": Small(drill, 0.19),
    "tin": Small(paint_tin, 0.11),
    "cable": Small(cable_coil, 0.18),
    "wood": Small(lumber, 0.29, True),
}
"""Things for a top, by their names in captions."""


_THEMES = {
    "kitchen": "mug mug bottle bottle jar jar jar can packet packet kettle toaster microwave knife_block pot "
    "coffee_machine chopping_board chopping_board dish_rack kitchen_roll plate fruit_bowl "
    "potted_plant leaflet leaflet small_box small_box row_of_books pile_of_books sheet_of_paper glass "
    "cloth",
    "table": "mug mug mug bottle glass glass plate plate fruit_bowl sheet_of_paper sheet_of_paper magazine "
    "magazine magazine open_book pile_of_books laptop packet bag potted_plant leaflet small_box cloth "
    "jar phone",
    "office": "mug mug bottle sheet_of_paper sheet_of_paper sheet_of_paper stack_of_paper stack_of_paper "
    "open_book pile_of_books row_of_books phone pens letter_tray small_box magazine potted_plant "
    "desk_lamp packet bag",
    "workshop": "toolbox toolbox drill drill tin tin tin can cable wood wood small_box jar bottle packet "
    "cloth sheet_of_paper mug",
    "store": "small_box small_box small_box packet packet jar bottle can tin pile_of_books row_of_books "
    "row_of_books pot bag cloth toolbox plate",
}
THEMES = {theme: tuple(word.replace("_", " ") for word in words.split()) for theme, words in _THEMES.items()}


def dress(
    a: Assembly,
    p: Palette,
    theme: str,
    area: tuple[float, float, float, float],
    z: float,
    count: int,
    clear: float = 10.0,
    taken: list[tuple[float, float, float]] | None = None,
) -> None:
    """Put up to `count` things of a theme on a level surface without overlaps.

    Args:
        theme: one of THEMES.
        area: x from, x to, y from, y to of the surface in the frame of `a`, meters.
        z: height of the surface, meters.
        clear: free height above it, meters: nothing taller is put there.
        taken: occupied circles (x, y, radius); new things are appended.
    """
    rng, taken = p.rng, [] if taken is None else taken
    x0, x1, y0, y1 = area
    for _ in range(count):
        name = str(rng.choice(THEMES[theme]))
        small = SMALL[name]
        r = small.radius
        yaw = rng.normal(0, 0.15) if small.faces else rng.uniform(-np.pi, np.pi)
        across, deep = x1 - x0 - 1.6 * r, y1 - y0 - 1.6 * r
        for _ in range(4):
            u, v = rng.random(2)
            if across <= 0 or deep < 0:
                continue
            x, y = x0 + 0.8 * r + u * across, (y0 + y1) / 2 + (v - 0.5) * deep
            if all((x - tx) ** 2 + (y - ty) ** 2 > (0.85 * (r + tr)) ** 2 for tx, ty, tr in taken):
                first = len(a.scene.parts)
                small.make(put_on(a, name, x, y, z, yaw), p)
                top = max(
                    q.position[2] + float(np.abs(q.rotation[2]) @ q.size) for q in a.scene.parts[first:]
                )
                if top > a.origin[2] + z + clear:
                    del a.scene.parts[first:]
                    a.scene.things.pop()
                else:
                    taken.append((x, y, r))
                break
