# SPDX-License-Identifier: Apache-2.0
"""Machines on the floor, and boards on wheels.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, the palette of a place, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, STEEL, WHITE
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, rotation_about
from clip2depth_ros.simulation.small_things.dressing import dress, put_on
from clip2depth_ros.simulation.small_things.paperwork import paper


def boiler(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    """A water heater on the floor with its pipes to the ceiling."""
    h, r = p.rng.uniform(1.2, 1.7), 0.5 * min(w, d)
    top = a.scene.height
    a.cylinder((0, 0, 0.05 + h / 2), r, h, p.plain("white", "white", "beige", "grey", gloss=0.3))
    a.cylinder((0, 0, 0.04), 0.9 * r, 0.08, BLACK)
    a.ellipsoid((0, 0, 0.05 + h), (2 * r, 2 * r, 0.14), p.plain("white", "grey"))
    for x, size in ((-0.5 * r, 0.014), (0.5 * r, 0.014), (0.0, 0.07)):
        a.cylinder((x, 0, (h + top) / 2 + 0.04), size, top - h - 0.08, STEEL)
    a.box((0, r + 0.005, 0.3), (0.16, 0.04, 0.2), BLACK)
    a.box((0, r, 0.9), (0.18, 0.012, 0.22), p.paper())
    a.cylinder((0.6 * r, -0.6 * r, 0.4 * h), 0.012, 0.8 * h, STEEL)


def washing_machine(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    rng, white = p.rng, p.plain("white", "white", "white", "grey", gloss=0.5)
    a.box((0, 0, 0.43), (w, d - 0.04, 0.84), white)
    a.box((0, 0, 0.005), (w - 0.06, d - 0.1, 0.01), BLACK)
    a.cylinder((0, d / 2 - 0.01, 0.42), 0.18, 0.03, STEEL, "y")
    a.cylinder((0, d / 2, 0.42), 0.145, 0.03, BLACK._replace(specular=0.9), "y")
    a.box((0, d / 2 - 0.015, 0.78), (w - 0.02, 0.02, 0.1), white)
    a.cylinder((0.1, d / 2, 0.78), 0.025, 0.03, STEEL, "y")
    a.box((-0.2, d / 2 - 0.003, 0.78), (0.14, 0.006, 0.07), BLACK if rng.random() < 0.4 else WHITE)
    dress(a, p, "store", (-w / 2, w / 2, -d / 2, d / 2), 0.85, int(rng.integers(0, 4)))


def printer(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    """An office printer on its cupboard."""
    rng, body = p.rng, p.plain("white", "dark grey", "black", "grey", gloss=0.3)
    h = rng.uniform(0.3, 0.75)
    a.box((0, 0, h / 2), (w, d, h), p.body() if rng.random() < 0.5 else body)
    a.box((0, 0, h + 0.17), (0.92 * w, 0.9 * d, 0.34), body)
    a.box((0, 0.02, h + 0.38), (0.9 * w, 0.8 * d, 0.08), p.plain("grey", "black", "white"))
    a.box((0, 0.45 * d + 0.002, h + 0.2), (0.6 * w, 0.006, 0.1), BLACK)
    a.box((0.25 * w, 0.42 * d, h + 0.44), (0.2, 0.08, 0.03), BLACK, rotation_about("x", 0.5))
    paper(put_on(a, "sheet of paper", -0.15 * w, 0, h + 0.42), p)


def board_on_wheels(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    white = Paint((0.93, 0.94, 0.95), specular=0.7, shininess=0.8)
    a.box((0, 0, 1.35), (w, 0.025, 1.0), white)
    for z in (0.84, 1.86):
        a.box((0, 0, z), (w, 0.035, 0.03), STEEL)
    for x in (-w / 2, w / 2):
        a.box((x, 0, 0.97), (0.035, 0.035, 1.8), STEEL)
        a.box((x, 0, 0.075), (0.04, d, 0.035), STEEL)
        for y in (-d / 2 + 0.03, d / 2 - 0.03):
            a.sphere((x, y, 0.03), 0.03, BLACK)
    for _ in range(int(p.rng.integers(0, 5))):
        at = (p.rng.uniform(-0.38, 0.38) * w, 0.015, p.rng.uniform(1.1, 1.65))
        a.box(at, (0.21, 0.002, 0.297), p.paper())
