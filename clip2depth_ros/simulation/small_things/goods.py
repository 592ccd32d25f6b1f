# SPDX-License-Identifier: Apache-2.0
"""Boxes, bins, barrels and similar things.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.joinery import BLACK
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly, rotation_about


def carton(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, z = p.rng, 0.0
    for _ in range(int(rng.integers(1, 4))):
        h = rng.uniform(0.2, 0.5)
        turn = rotation_about("z", rng.uniform(-0.2, 0.2))
        paint = p.cardboard() if rng.random() < 0.7 else p.plain()
        a.box((0, 0, z + h / 2), (w * rng.uniform(0.75, 1), d * rng.uniform(0.75, 1), h), paint, turn)
        z += h


def bin_(a: Assembly, p: Palette, w: float, d: float) -> None:
    h = p.rng.uniform(0.3, 0.7)
    a.cylinder((0, 0, h / 2), w / 2, h, p.plain(gloss=0.3))
    a.cylinder((0, 0, h + 0.01), 0.52 * w, 0.03, BLACK)


def ladder(a: Assembly, p: Palette, w: float, d: float) -> None:
    h, paint, lean = p.rng.uniform(1.5, 2.2), p.metal(), 0.22
    for sign in (-1, 1):
        turn = rotation_about("x", sign * lean)
        offset = sign * 0.5 * h * np.tan(lean)
        for x in (-w / 2, w / 2):
            a.box((x, -offset * -1, h / 2), (0.06, 0.025, h / np.cos(lean)), paint, turn)
    for z in np.arange(0.25, h - 0.1, 0.27):
        a.box((0, -(h - z) * np.tan(lean), z), (w, 0.08, 0.03), paint)


def barrel(a: Assembly, p: Palette, w: float, d: float) -> None:
    paint = p.plain("blue", "red", "green", "grey", "black")
    a.cylinder((0, 0, 0.43), w / 2, 0.86, paint)
    for z in (0.03, 0.3, 0.58, 0.85):
        a.cylinder((0, 0, z), 0.52 * w, 0.03, paint)


def pallet(a: Assembly, p: Palette, w: float, d: float) -> None:
    paint = p.wood()
    for y in (-d / 2 + 0.05, 0, d / 2 - 0.05):
        a.box((0, y, 0.05), (w, 0.1, 0.09), paint)
    for x in np.linspace(-w / 2 + 0.05, w / 2 - 0.05, 6):
        a.box((x, 0, 0.11), (0.11, d, 0.022), paint)
    for _ in range(int(p.rng.integers(0, 5))):
        x, y = p.rng.uniform(-0.3, 0.3) * w, p.rng.uniform(-0.3, 0.3) * d
        h = p.rng.uniform(0.2, 0.6)
        a.box((x, y, 0.12 + h / 2), (0.4 * w, 0.4 * d, h), p.cardboard())


def suitcase(a: Assembly, p: Palette, w: float, d: float) -> None:
    paint = p.plain(gloss=0.3)
    a.box((0, 0, 0.36), (w, d, 0.62), paint)
    for x in (-0.1, 0.1):
        a.cylinder((x, 0, 0.78), 0.008, 0.26, p.metal())
    a.box((0, 0, 0.91), (0.24, 0.03, 0.03), BLACK)
