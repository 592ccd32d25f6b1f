# SPDX-License-Identifier: Apache-2.0
"""Small things on furniture: cups, bottles, books, screens. Meters."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, rotation_about

BLACK = Paint((0.06, 0.06, 0.07), specular=0.3)


def cup(a: Assembly, p: Palette, x: float, y: float, z: float) -> None:
    h, r, paint = p.rng.uniform(0.08, 0.11), p.rng.uniform(0.035, 0.045), p.plain(gloss=0.5)
    a.cylinder((x, y, z + h / 2), r, h, paint)
    a.box((x + r + 0.012, y, z + h / 2), (0.025, 0.01, 0.05), paint)


def bottle(a: Assembly, p: Palette, x: float, y: float, z: float) -> None:
    h, r, paint = p.rng.uniform(0.15, 0.24), p.rng.uniform(0.03, 0.045), p.plain(gloss=0.7)
    a.cylinder((x, y, z + h / 2), r, h, paint)
    a.cylinder((x, y, z + h + 0.03), 0.4 * r, 0.06, paint)
    if p.rng.random() < 0.5:
        a.cylinder((x, y, z + 0.45 * h), 1.02 * r, 0.4 * h, p.cover())


def plate(a: Assembly, p: Palette, x: float, y: float, z: float) -> None:
    a.cylinder(
        (x, y, z + 0.01),
        p.rng.uniform(0.09, 0.14),
        0.02,
        p.plain("white", "white", "blue", "grey", gloss=0.5),
    )


def bowl(a: Assembly, p: Palette, x: float, y: float, z: float) -> None:
    a.ellipsoid((x, y, z + 0.04), (0.24, 0.24, 0.1), p.plain(gloss=0.4))
    for _ in range(3):
        dx, dy = p.rng.uniform(-0.06, 0.06, 2)
        a.sphere((x + dx, y + dy, z + 0.1), 0.037, p.plain("red", "green", "orange", "yellow"))


def book_pile(a: Assembly, p: Palette, x: float, y: float, z: float) -> None:
    for _ in range(int(p.rng.integers(1, 5))):
        t = p.rng.uniform(0.012, 0.045)
        turn = rotation_about("z", p.rng.uniform(-0.5, 0.5))
        a.box((x, y, z + t / 2), (p.rng.uniform(0.18, 0.3), p.rng.uniform(0.13, 0.21), t), p.print(), turn)
        z += t


def packet(a: Assembly, p: Palette, x: float, y: float, z: float) -> None:
    w, d, h = p.rng.uniform(0.06, 0.22), p.rng.uniform(0.05, 0.14), p.rng.uniform(0.08, 0.3)
    a.box((x, y, z + h / 2), (w, d, h), p.cover(), rotation_about("z", p.rng.uniform(-0.6, 0.6)))


def vase(a: Assembly, p: Palette, x: float, y: float, z: float) -> None:
    a.ellipsoid((x, y, z + 0.1), (0.14, 0.14, 0.22), p.plain(gloss=0.5))
    for _ in range(5):
        dx, dy = p.rng.uniform(-0.1, 0.1, 2)
        a.ellipsoid((x + dx, y + dy, z + p.rng.uniform(0.24, 0.4)), (0.1, 0.06, 0.12), p.leaf())


def laptop(a: Assembly, p: Palette, x: float, y: float, z: float) -> None:
    gray = p.plain("grey", "black", "dark grey", gloss=0.4)
    a.box((x, y, z + 0.009), (0.34, 0.24, 0.018), gray)
    turn = rotation_about("x", -0.3)
    a.box((x, y - 0.145, z + 0.12), (0.34, 0.012, 0.23), gray, turn.T)
    a.box((x, y - 0.137, z + 0.122), (0.31, 0.004, 0.20), p.screen(p.rng.random() < 0.7), turn.T)


def desk_lamp(a: Assembly, p: Palette, x: float, y: float, z: float) -> None:
    paint = p.plain(gloss=0.4)
    a.cylinder((x, y, z + 0.01), 0.08, 0.02, paint)
    a.capsule((x, y + 0.04, z + 0.2), 0.01, 0.36, paint, turn=rotation_about("x", -0.2))
    a.ellipsoid((x, y + 0.16, z + 0.38), (0.16, 0.2, 0.12), paint)


_SMALL = (cup, bottle, plate, book_pile, packet, bowl, vase)
_WEIGHTS = np.array([0.22, 0.18, 0.12, 0.18, 0.18, 0.06, 0.06])


def on_table(a: Assembly, p: Palette, w: float, d: float, z: float) -> None:
    """Scatter a few things on a top of w by d meters at height z."""
    rng = p.rng
    count = int(rng.integers(0, 3 + int(6 * min(w * d, 1.5))))
    placed: list[tuple[float, float]] = []
    for _ in range(count):
        x, y = rng.uniform(-0.42, 0.42) * w, rng.uniform(-0.36, 0.36) * d
        if all((x - u) ** 2 + (y - v) ** 2 > 0.035 for u, v in placed):
            placed.append((x, y))
            if w > 0.6 and rng.random() < 0.08:
                laptop(a, p, x, y, z)
            else:
                _SMALL[int(rng.choice(len(_SMALL), p=_WEIGHTS))](a, p, x, y, z)


def on_desk(a: Assembly, p: Palette, w: float, d: float, z: float) -> None:
    """Screens, keyboard, mouse, lamp, paper."""
    rng = p.rng
    count = int(rng.integers(0, 3)) if w > 1.3 else int(rng.integers(0, 2))
    lit = rng.random() < 0.7
    for k in range(count):
        x = (k - (count - 1) / 2) * 0.62
        wide, tall = rng.uniform(0.48, 0.6), rng.uniform(0.28, 0.36)
        turn = rotation_about("z", -0.25 * (k - (count - 1) / 2))
        middle = z + 0.12 + tall / 2
        a.box((x, -d / 4, z + 0.008), (0.24, 0.18, 0.015), BLACK)
        a.box((x, -d / 4 - 0.03, z + 0.14), (0.05, 0.03, 0.28), BLACK)
        a.box((x, -d / 4, middle), (wide, 0.035, tall), BLACK, turn)
        a.box((x, -d / 4 + 0.02, middle), (wide - 0.02, 0.006, tall - 0.02), p.screen(lit), turn)
    if count:
        a.box((0, d / 6, z + 0.012), (0.44, 0.14, 0.022), BLACK)
        a.ellipsoid((0.32, d / 6, z + 0.015), (0.06, 0.1, 0.035), BLACK)
    elif rng.random() < 0.7:
        laptop(a, p, 0.0, 0.0, z)
    if rng.random() < 0.4:
        desk_lamp(a, p, -0.4 * w, -d / 4, z)
    for _ in range(int(rng.integers(0, 4))):
        small = _SMALL[int(rng.choice(5))]
        small(a, p, rng.choice([-1, 1]) * rng.uniform(0.32, 0.44) * w, rng.uniform(-0.2, 0.3) * d, z)


def books(a: Assembly, p: Palette, w: float, d: float, z: float, clear: float) -> None:
    """Fill one shelf board of `w` meters with books and a few boxes, or half of it."""
    rng = p.rng
    x = -w / 2
    end = w / 2 - rng.uniform(0, 0.6) * w
    if rng.random() < 0.15 or clear < 0.12:
        return
    while x < end - 0.08:
        style = rng.random()
        if style < 0.72:
            t, h = rng.uniform(0.02, 0.07), clear * rng.uniform(0.6, 0.95)
            deep = d * rng.uniform(0.55, 0.85)
            a.box((x + t / 2, d / 2 - 0.02 - deep / 2, z + h / 2), (t, deep, h), p.plain())
        elif style < 0.86:
            t, h = rng.uniform(0.12, 0.3), clear * rng.uniform(0.4, 0.9)
            t = min(t, end - x)
            a.box(
                (x + t / 2, 0, z + h / 2), (t, 0.7 * d, h), p.cardboard() if rng.random() < 0.4 else p.cover()
            )
        else:
            t = rng.uniform(0.05, 0.25)
        x += t + 0.004
