# SPDX-License-Identifier: Apache-2.0
"""Tools, tins and bags, with realistic sizes.

A maker gets an Assembly whose origin is where the thing stands, with the front toward +y, and the palette of
the place. Meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, STEEL
from clip2depth_ros.simulation.scene.scene import Assembly, rotation_about


def bag(a: Assembly, p: Palette) -> None:
    w, h, cloth = p.rng.uniform(0.26, 0.4), p.rng.uniform(0.25, 0.42), p.fabric()
    a.box((0, 0, 0.4 * h), (w, 0.15, 0.8 * h), cloth)
    a.ellipsoid((0, 0, 0.8 * h), (w, 0.16, 0.3 * h), cloth)
    a.box((0, 0.085, 0.3 * h), (0.7 * w, 0.05, 0.4 * h), cloth)
    for side in (-0.5, 0.5):
        a.box((side * 0.5 * w, 0, h), (0.02, 0.012, 0.2 * h), cloth)


def cloth(a: Assembly, p: Palette) -> None:
    a.ellipsoid((0, 0, 0.03), (0.3, 0.22, 0.06), p.fabric())
    a.ellipsoid((0.06, 0.03, 0.045), (0.2, 0.14, 0.06), p.fabric())


def toolbox(a: Assembly, p: Palette) -> None:
    w, paint = p.rng.uniform(0.35, 0.5), p.plain("red", "blue", "black", "yellow", gloss=0.3)
    a.box((0, 0, 0.09), (w, 0.2, 0.18), paint)
    a.box((0, 0, 0.2), (w, 0.21, 0.035), BLACK)
    a.box((0, 0, 0.25), (0.5 * w, 0.025, 0.02), BLACK)
    for x in (-0.25, 0.25):
        a.box((x * w, 0, 0.23), (0.015, 0.025, 0.05), BLACK)


def drill(a: Assembly, p: Palette) -> None:
    paint = p.plain("blue", "yellow", "green", "red")
    a.box((0, 0, 0.03), (0.1, 0.07, 0.06), BLACK)
    a.box((0, 0, 0.11), (0.045, 0.04, 0.12), paint)
    a.cylinder((0.03, 0, 0.19), 0.03, 0.17, paint, "x")
    a.cylinder((0.16, 0, 0.19), 0.012, 0.1, STEEL, "x")


def paint_tin(a: Assembly, p: Palette) -> None:
    r = p.rng.uniform(0.05, 0.11)
    a.cylinder((0, 0, 1.1 * r), r, 2.2 * r, p.cover() if p.rng.random() < 0.5 else STEEL)
    a.cylinder((0, 0, 2.2 * r), 1.03 * r, 0.012, STEEL)


def cable_coil(a: Assembly, p: Palette) -> None:
    paint = p.plain("black", "orange", "white", "yellow", "red")
    r = p.rng.uniform(0.08, 0.16)
    for k in range(10):
        angle = 2 * np.pi * k / 10
        at = (r * np.cos(angle), r * np.sin(angle), 0.02)
        a.box(at, (0.65 * r, 0.035, 0.04), paint, rotation_about("z", angle + np.pi / 2))


def lumber(a: Assembly, p: Palette) -> None:
    for k in range(int(p.rng.integers(1, 4))):
        t = p.rng.uniform(0.015, 0.05)
        at = (p.rng.normal(0, 0.03), 0.07 * (k - 1), t / 2)
        a.box(at, (p.rng.uniform(0.3, 0.55), p.rng.uniform(0.03, 0.06), t), p.wood())
