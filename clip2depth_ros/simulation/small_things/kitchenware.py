# SPDX-License-Identifier: Apache-2.0
"""Things on worktops and dining tables, with realistic sizes.

A maker gets an Assembly whose origin is where the thing stands, with the front toward +y, and the palette of
the place. Meters.
"""

from __future__ import annotations

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, STEEL, WHITE
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, rotation_about


def mug(a: Assembly, p: Palette) -> None:
    h, r = p.rng.uniform(0.08, 0.11), p.rng.uniform(0.036, 0.045)
    paint = p.plain("white", "white", "blue", "red", "black", "green", "grey", gloss=0.6)
    a.cylinder((0, 0, h / 2), r, h, paint)
    a.cylinder((0, 0, h + 0.0005), 0.86 * r, 0.001, Paint((0.16, 0.09, 0.05)))
    a.box((r + 0.012, 0, h / 2), (0.025, 0.01, 0.05), paint)


def bottle(a: Assembly, p: Palette) -> None:
    h, r = p.rng.uniform(0.16, 0.25), p.rng.uniform(0.03, 0.045)
    paint = p.plain("green", "brown", "light blue", "white", "black", "blue", gloss=0.8)
    a.cylinder((0, 0, h / 2), r, h, paint)
    a.cylinder((0, 0, h + 0.03), 0.4 * r, 0.06, paint)
    if p.rng.random() < 0.6:
        a.cylinder((0, 0, 0.45 * h), 1.02 * r, 0.4 * h, p.cover())


def glass(a: Assembly, p: Palette) -> None:
    h = p.rng.uniform(0.09, 0.15)
    a.cylinder((0, 0, h / 2), 0.035, h, Paint((0.78, 0.82, 0.82), specular=0.9, shininess=0.9))


def jar(a: Assembly, p: Palette) -> None:
    h, r = p.rng.uniform(0.09, 0.2), p.rng.uniform(0.035, 0.065)
    a.cylinder((0, 0, h / 2), r, h, p.plain("white", "beige", "brown", "red", "grey", gloss=0.6))
    a.cylinder((0, 0, h + 0.01), 0.95 * r, 0.02, STEEL if p.rng.random() < 0.5 else BLACK)


def can(a: Assembly, p: Palette) -> None:
    h = p.rng.uniform(0.08, 0.17)
    a.cylinder((0, 0, h / 2), 0.034, h, p.cover())


def packet(a: Assembly, p: Palette) -> None:
    w, d, h = p.rng.uniform(0.06, 0.22), p.rng.uniform(0.05, 0.14), p.rng.uniform(0.08, 0.3)
    a.box((0, 0, h / 2), (w, d, h), p.cover())


def plate(a: Assembly, p: Palette) -> None:
    r, count = p.rng.uniform(0.09, 0.14), int(p.rng.choice([1, 1, 1, 4, 7]))
    paint = p.plain("white", "white", "light blue", "grey", gloss=0.6)
    for k in range(count):
        a.cylinder((0, 0, 0.008 + 0.012 * k), r, 0.012, paint)
    a.cylinder((0, 0, 0.004 + 0.012 * count), 0.65 * r, 0.002, paint._replace(rgb=(0.7, 0.7, 0.68)))


def bowl(a: Assembly, p: Palette) -> None:
    a.ellipsoid((0, 0, 0.045), (0.24, 0.24, 0.09), p.plain("white", "blue", "brown", "grey", gloss=0.5))
    for _ in range(int(p.rng.integers(2, 6))):
        dx, dy = p.rng.uniform(-0.06, 0.06, 2)
        a.sphere((dx, dy, 0.095), 0.037, p.plain("red", "green", "orange", "yellow", gloss=0.4))


def kettle(a: Assembly, p: Palette) -> None:
    paint = STEEL if p.rng.random() < 0.5 else p.plain("white", "black", "red", gloss=0.7)
    a.cylinder((0, 0, 0.012), 0.08, 0.024, BLACK)
    a.cylinder((0, 0, 0.115), 0.075, 0.18, paint)
    a.ellipsoid((0, 0, 0.205), (0.13, 0.13, 0.05), BLACK)
    a.box((0.115, 0, 0.13), (0.022, 0.02, 0.16), BLACK)
    a.box((0.09, 0, 0.2), (0.06, 0.02, 0.02), BLACK)
    a.box((-0.08, 0, 0.18), (0.05, 0.03, 0.03), paint, rotation_about("y", 0.6))


def toaster(a: Assembly, p: Palette) -> None:
    paint = STEEL if p.rng.random() < 0.6 else p.plain("white", "black", "red", gloss=0.6)
    a.box((0, 0, 0.10), (0.30, 0.17, 0.17), paint)
    for y in (-0.03, 0.03):
        a.box((0, y, 0.186), (0.2, 0.025, 0.002), BLACK)
    a.box((0, 0, 0.0075), (0.28, 0.15, 0.015), BLACK)


def microwave(a: Assembly, p: Palette) -> None:
    body = p.plain("white", "black", "grey", gloss=0.4)
    a.box((0, -0.02, 0.145), (0.49, 0.34, 0.27), body)
    a.box((0, 0, 0.005), (0.4, 0.3, 0.01), BLACK)
    a.box((-0.06, 0.155, 0.145), (0.34, 0.012, 0.25), BLACK._replace(specular=0.8, shininess=0.8))
    a.box((0.18, 0.155, 0.145), (0.1, 0.01, 0.25), body)
    a.box((0.18, 0.162, 0.23), (0.07, 0.004, 0.03), BLACK)


def coffee_machine(a: Assembly, p: Palette) -> None:
    body = p.plain("black", "black", "white", "red", "grey", gloss=0.6)
    a.box((0, -0.09, 0.17), (0.2, 0.14, 0.34), body)
    a.box((0, 0.06, 0.02), (0.2, 0.2, 0.04), body)
    a.box((0, 0.05, 0.29), (0.2, 0.2, 0.1), body)
    a.cylinder((0, 0.06, 0.12), 0.06, 0.15, Paint((0.15, 0.12, 0.1), specular=0.9, shininess=0.9))


def chopping_board(a: Assembly, p: Palette) -> None:
    w, d = p.rng.uniform(0.28, 0.45), p.rng.uniform(0.2, 0.3)
    a.box((0, 0, 0.011), (w, d, 0.022), p.wood() if p.rng.random() < 0.8 else p.plain("white", "green"))
    kind = p.rng.random()
    if kind < 0.4:
        a.ellipsoid((0, 0, 0.06), (0.24, 0.12, 0.08), Paint((0.66, 0.42, 0.2)))
    elif kind < 0.7:
        a.box((0.06, 0, 0.025), (0.2, 0.03, 0.004), STEEL)
        a.box((-0.1, 0, 0.03), (0.12, 0.025, 0.016), BLACK)


def knife_block(a: Assembly, p: Palette) -> None:
    a.box((0, 0, 0.12), (0.1, 0.14, 0.22), p.wood(), rotation_about("x", 0.15))
    for k in range(4):
        a.box((-0.03 + 0.02 * k, -0.02, 0.27), (0.014, 0.022, 0.09), BLACK, rotation_about("x", 0.15))


def pot(a: Assembly, p: Palette) -> None:
    r, h = p.rng.uniform(0.08, 0.13), p.rng.uniform(0.06, 0.18)
    paint = STEEL if p.rng.random() < 0.6 else p.plain("black", "red", "blue", gloss=0.6)
    a.cylinder((0, 0, h / 2), r, h, paint)
    a.cylinder((0, 0, h + 0.005), 1.02 * r, 0.01, paint)
    a.sphere((0, 0, h + 0.025), 0.018, BLACK)
    for side in (-1, 1):
        a.box((side * (r + 0.02), 0, 0.8 * h), (0.04, 0.03, 0.014), BLACK)


def dish_rack(a: Assembly, p: Palette) -> None:
    for z in (0.015, 0.09):
        for y in (-0.14, 0.14):
            a.box((0, y, z), (0.42, 0.006, 0.006), STEEL)
        for x in (-0.21, 0.21):
            a.box((x, 0, z), (0.006, 0.28, 0.006), STEEL)
    a.box((0, 0, 0.004), (0.43, 0.3, 0.008), p.plain("white", "grey", "black"))
    white = p.plain("white", "white", "light blue", gloss=0.6)
    for k in range(int(p.rng.integers(2, 8))):
        a.cylinder((-0.17 + 0.045 * k, 0, 0.125), 0.115, 0.01, white, "x")


def roll(a: Assembly, p: Palette) -> None:
    a.cylinder((0, 0, 0.006), 0.075, 0.012, STEEL)
    a.cylinder((0, 0, 0.125), 0.055, 0.225, WHITE)
