# SPDX-License-Identifier: Apache-2.0
"""Fixtures and free-standing things: bathroom, columns, stairs, lamps, plants.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, rotation_about


def toilet(a: Assembly, p: Palette, w: float, d: float) -> None:
    white = Paint((0.93, 0.93, 0.93), specular=0.6, shininess=0.7)
    a.cylinder((0, 0.05, 0.19), 0.13, 0.38, white)
    a.ellipsoid((0, 0.08, 0.38), (0.38, 0.48, 0.16), white)
    a.ellipsoid((0, 0.08, 0.44), (0.38, 0.46, 0.05), white)
    a.box((0, -d / 2 + 0.09, 0.62), (0.38, 0.18, 0.36), white)


def washbasin(a: Assembly, p: Palette, w: float, d: float) -> None:
    white = Paint((0.93, 0.93, 0.93), specular=0.6, shininess=0.7)
    a.cylinder((0, -0.05, 0.38), 0.09, 0.76, white)
    a.box((0, 0, 0.82), (w, d, 0.14), white)
    a.ellipsoid((0, 0.03, 0.885), (0.7 * w, 0.6 * d, 0.02), Paint((0.6, 0.62, 0.63)))
    a.capsule((0, -d / 2 + 0.12, 0.97), 0.015, 0.1, p.metal())
    a.box((0, -d / 2 + 0.01, 1.55), (w, 0.02, 0.7), Paint((0.65, 0.70, 0.74), specular=0.9, shininess=0.9))


def bathtub(a: Assembly, p: Palette, w: float, d: float) -> None:
    white = Paint((0.93, 0.93, 0.93), specular=0.5, shininess=0.7)
    for y in (-d / 2 + 0.04, d / 2 - 0.04):
        a.box((0, y, 0.28), (w, 0.08, 0.56), white)
    for x in (-w / 2 + 0.04, w / 2 - 0.04):
        a.box((x, 0, 0.28), (0.08, d, 0.56), white)
    a.box((0, 0, 0.1), (w, d, 0.2), white)


def pole(a: Assembly, p: Palette, w: float, d: float) -> None:
    h = a.scene.height
    a.cylinder((0, 0, h / 2), w / 2, h, p.plain("grey", "white", "dark grey", "yellow"))


def pillar(a: Assembly, p: Palette, w: float, d: float) -> None:
    h = a.scene.height
    a.box((0, 0, h / 2), (w, w, h), p.plain("white", "grey", "beige"))


def stairs(a: Assembly, p: Palette, w: float, d: float) -> None:
    paint, count = p.body(), int(d / 0.28)
    for k in range(count):
        h = 0.18 * (k + 1)
        a.box((0, d / 2 - 0.28 * (k + 0.5), h / 2), (w, 0.28, h), paint)


def screen_wall(a: Assembly, p: Palette, w: float, d: float) -> None:
    paint, frame = p.fabric(), p.metal()
    h = p.rng.uniform(1.2, 1.8)
    a.box((0, 0, h / 2 + 0.05), (w, 0.05, h), paint)
    for x in (-w / 2, w / 2):
        a.box((x, 0, h / 2 + 0.05), (0.04, 0.06, h + 0.1), frame)
        a.box((x, 0, 0.015), (0.05, d, 0.03), frame)


def floor_lamp(a: Assembly, p: Palette, w: float, d: float) -> None:
    h, paint = p.rng.uniform(1.4, 1.8), p.metal()
    a.cylinder((0, 0, 0.015), 0.14, 0.03, paint)
    a.cylinder((0, 0, h / 2), 0.014, h, paint)
    shade = Paint((0.95, 0.9, 0.78), emission=0.6 if p.rng.random() < 0.5 else 0.1)
    a.cylinder((0, 0, h), p.rng.uniform(0.13, 0.22), 0.28, shade)


def plant(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, h = p.rng, p.rng.uniform(0.5, 1.8)
    pot = rng.uniform(0.22, 0.4)
    a.cylinder((0, 0, pot / 2), 0.4 * w, pot, p.plain("white", "brown", "grey", "orange", "black"))
    a.cylinder((0, 0, (pot + h) / 2), 0.02, h - pot, Paint((0.35, 0.25, 0.15)))
    for _ in range(int(rng.integers(8, 18))):
        angle, lift = rng.uniform(0, 2 * np.pi), rng.uniform(pot, h)
        reach = rng.uniform(0.05, 0.32) * (0.5 + w)
        turn = rotation_about("z", angle) @ rotation_about("y", rng.uniform(-0.9, 0.6))
        a.ellipsoid((reach * np.cos(angle), reach * np.sin(angle), lift), (0.34, 0.14, 0.03), p.leaf(), turn)
