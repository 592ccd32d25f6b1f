# SPDX-License-Identifier: Apache-2.0
"""Screens and other things on desks, with realistic sizes.

A maker gets an Assembly whose origin is where the thing stands, with the front toward +y, and the palette of
the place. Meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, WHITE
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, rotation_about


def laptop(a: Assembly, p: Palette) -> None:
    gray, lean = p.plain("grey", "black", "dark grey", "white", gloss=0.4), p.rng.uniform(0.1, 0.5)
    a.box((0, 0, 0.009), (0.34, 0.24, 0.018), gray)
    a.box((0, 0.02, 0.0185), (0.29, 0.11, 0.001), BLACK)
    turn = rotation_about("x", lean)
    up, back = np.cos(lean), np.sin(lean)
    at = np.array([0.0, -0.12 - 0.115 * back, 0.018 + 0.115 * up])
    a.box(tuple(at), (0.34, 0.01, 0.23), gray, turn)
    a.box(
        tuple(at + 0.006 * np.array([0, up, back])),
        (0.32, 0.003, 0.205),
        p.screen(p.rng.random() < 0.7),
        turn,
    )


def monitor(a: Assembly, p: Palette, lit: bool | None = None) -> None:
    """A screen on its foot, 19 to 32 inches."""
    wide = p.rng.uniform(0.42, 0.70)
    tall = wide * p.rng.choice([0.5625, 0.5625, 0.625])
    low, lean = p.rng.uniform(0.07, 0.18), p.rng.uniform(0.0, 0.12)
    frame = BLACK if p.rng.random() < 0.8 else p.plain("white", "grey")
    a.box((0, -0.03, 0.008), (0.24, 0.2, 0.016), frame)
    a.box((0, -0.06, (low + 0.5 * tall) / 2), (0.06, 0.03, low + 0.5 * tall), frame)
    turn = rotation_about("x", lean)
    normal = np.array([0, np.cos(lean), np.sin(lean)])
    at = np.array([0, -0.015, low + tall / 2])
    a.box(tuple(at), (wide, 0.035, tall), frame, turn)
    lit = p.rng.random() < 0.7 if lit is None else lit
    a.box(tuple(at + 0.019 * normal), (wide - 0.02, 0.004, tall - 0.025), p.screen(lit), turn)


def keyboard(a: Assembly, p: Palette) -> None:
    paint = BLACK if p.rng.random() < 0.7 else p.plain("white", "grey")
    a.box((0, 0, 0.011), (0.44, 0.14, 0.022), paint)
    a.box((-0.05, 0, 0.0225), (0.3, 0.11, 0.002), paint._replace(rgb=tuple(0.8 * c + 0.1 for c in paint.rgb)))


def mouse(a: Assembly, p: Palette) -> None:
    a.ellipsoid((0, 0, 0.016), (0.062, 0.11, 0.036), BLACK if p.rng.random() < 0.7 else WHITE)


def phone(a: Assembly, p: Palette) -> None:
    a.box((0, 0, 0.03), (0.18, 0.2, 0.04), BLACK, rotation_about("x", -0.1))
    a.box((-0.06, 0, 0.07), (0.045, 0.19, 0.03), BLACK, rotation_about("x", -0.1))
    a.box((0.04, -0.04, 0.06), (0.07, 0.04, 0.01), Paint((0.45, 0.5, 0.45)))


def desk_lamp(a: Assembly, p: Palette) -> None:
    paint = p.plain("black", "white", "red", "grey", gloss=0.5)
    a.cylinder((0, 0, 0.01), 0.08, 0.02, paint)
    a.capsule((0, 0.04, 0.2), 0.01, 0.36, paint, turn=rotation_about("x", -0.2))
    a.ellipsoid((0, 0.14, 0.38), (0.16, 0.2, 0.12), paint)


def plant_pot(a: Assembly, p: Palette) -> None:
    h = p.rng.uniform(0.09, 0.16)
    a.cylinder((0, 0, h / 2), 0.5 * h, h, p.plain("white", "brown", "orange", "grey"))
    for _ in range(7):
        dx, dy = p.rng.uniform(-0.08, 0.08, 2)
        turn = rotation_about("z", p.rng.uniform(0, 6)) @ rotation_about("y", p.rng.uniform(-0.9, 0.9))
        a.ellipsoid((dx, dy, h + p.rng.uniform(0.02, 0.16)), (0.14, 0.06, 0.012), p.leaf(), turn)
