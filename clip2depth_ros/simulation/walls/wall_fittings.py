# SPDX-License-Identifier: Apache-2.0
"""Fixed things on walls: pipes, radiators, sockets, cables, boxes.

A maker gets an Assembly in its wall's frame (x along the wall, y into the room), the palette of a place, the
thing's middle x, its width, and the height of its middle, meters.
"""

from __future__ import annotations

from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, STEEL, WHITE
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, rotation_about

RED = Paint((0.72, 0.06, 0.05), specular=0.5, shininess=0.6)


def extinguisher(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    a.cylinder((x, 0.10, 0.75), 0.08, 0.44, RED)
    a.ellipsoid((x, 0.10, 0.97), (0.16, 0.16, 0.1), RED)
    a.box((x, 0.10, 1.04), (0.05, 0.12, 0.04), BLACK)
    a.cylinder((x + 0.07, 0.13, 0.85), 0.012, 0.36, BLACK)
    a.box((x, 0.013, 0.8), (0.06, 0.026, 0.3), STEEL)
    a.box((x, 0.004, 1.5), (0.2, 0.004, 0.2), RED)


def fuse_box(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    h = p.rng.uniform(0.3, 0.7)
    a.box((x, 0.06, 1.5), (0.6 * h, 0.12, h), p.plain("grey", "white", "light blue"))
    a.cylinder((x, 0.03, (1.5 + h / 2 + a.scene.height) / 2), 0.015, a.scene.height - 1.5 - h / 2, WHITE)


def radiator(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    high = p.rng.uniform(0.4, 0.7)
    white = p.plain("white", "white", "beige", gloss=0.3)
    a.box((x, 0.07, 0.12 + high / 2), (w, 0.05, high), white)
    for k in range(int(w / 0.08)):
        a.box((x - w / 2 + 0.04 + 0.08 * k, 0.10, 0.12 + high / 2), (0.05, 0.02, high - 0.04), white)
    a.cylinder((x + w / 2 + 0.03, 0.07, 0.12), 0.01, 0.24, STEEL)
    a.sphere((x + w / 2 + 0.04, 0.09, 0.12 + high - 0.05), 0.03, WHITE)


def pipes(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    """Vertical pipes on the wall, with a branch along it."""
    paint = p.plain("white", "grey", "beige", "brown") if p.rng.random() < 0.6 else p.metal()
    for k in range(int(p.rng.integers(1, 4))):
        r = p.rng.choice([0.011, 0.02, 0.05])
        at, high = x - w / 2 + 0.09 * k, a.scene.height
        a.cylinder((at, 0.02 + r, high / 2), r, high, paint)
        if p.rng.random() < 0.4:
            level = p.rng.uniform(0.15, high - 0.2)
            a.cylinder(((at + x + w / 2) / 2, 0.02 + r, level), r, x + w / 2 - at, paint, "x")


def cable_duct(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    level = p.rng.choice([1.05, 1.1, 1.15])
    a.box((x, 0.02, level), (w, 0.04, 0.08), WHITE)
    for k in range(int(w / 0.4)):
        a.box((x - w / 2 + 0.2 + 0.4 * k, 0.042, level), (0.08, 0.006, 0.06), p.plain("white", "grey", "red"))


def cable(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    paint = BLACK if p.rng.random() < 0.5 else WHITE
    top = p.rng.uniform(0.8, 2.0)
    a.cylinder((x, 0.008, (0.3 + top) / 2), 0.005, top - 0.3, paint)
    a.box((x, 0.012, 0.3), (0.085, 0.024, 0.085), WHITE)
    a.box((x, 0.03, 0.3), (0.045, 0.035, 0.045), paint)


def socket(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    level = p.rng.choice([0.3, 0.3, 1.1, 1.15])
    for k in range(min(int(p.rng.integers(1, 4)), int(w / 0.075))):
        at = x - w / 2 + 0.036 + 0.075 * k
        a.box((at, 0.006, level), (0.072, 0.012, 0.072), WHITE)
        a.cylinder((at, 0.0125, level), 0.02, 0.001, Paint((0.5, 0.5, 0.5)), "y")


def curtain(a: Assembly, p: PlacePalette, x: float, w: float, z: float) -> None:
    """Plastic sheeting or cloth that hangs in folds."""
    cloth = p.plastic_sheet() if p.rng.random() < 0.6 else p.fabric()
    high = min(a.scene.height - 0.05, p.rng.uniform(1.9, 2.6))
    a.cylinder((x, 0.1, high), 0.012, w, STEEL, "x")
    count = max(3, int(w / 0.22))
    for k in range(count):
        fold = 0.03 * (-1) ** k
        at = (x - w / 2 + (k + 0.5) * w / count, 0.1, high / 2 + 0.01)
        a.box(at, (w / count + 0.01, 0.012, high - 0.03), cloth, rotation_about("z", 6 * fold))
