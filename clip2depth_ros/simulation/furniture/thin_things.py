# SPDX-License-Identifier: Apache-2.0
"""Things made of bars and sheets: tripods, columns, frames with plastic sheeting, fences, bicycles.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, the palette of a place, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.plain_paints import BLACK, STEEL, WHITE
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, rotation_about
from clip2depth_ros.simulation.small_things.dressing import put_on
from clip2depth_ros.simulation.small_things.paperwork import carton


def tripod(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    rng, h, paint = p.rng, p.rng.uniform(1.1, 1.7), BLACK if p.rng.random() < 0.7 else STEEL
    spread, hub = 0.48 * min(w, d), 0.75 * h
    start = rng.uniform(0, 2)
    for k in range(3):
        angle = start + 2 * np.pi * k / 3
        foot = np.array([spread * np.cos(angle), spread * np.sin(angle), 0.0])
        _strut(a, foot, np.array([0.0, 0.0, hub]), 0.013, paint)
    a.cylinder((0, 0, (hub + h) / 2), 0.014, h - hub, paint)
    a.sphere((0, 0, hub), 0.04, paint)
    if rng.random() < 0.7:
        a.box((0, 0, h + 0.04), (0.14, 0.12, 0.09), BLACK)
        a.cylinder((0, 0.09, h + 0.04), 0.035, 0.08, BLACK, "y")
    else:
        a.box((0, 0, h + 0.12), (0.35, 0.06, 0.25), Paint((0.95, 0.93, 0.85), emission=0.3))


def _strut(a: Assembly, start: np.ndarray, stop: np.ndarray, radius: float, paint: Paint) -> None:
    """A round bar between two points (3,)."""
    along = stop - start
    length = float(np.linalg.norm(along))
    z = along / length
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(z, x), z], axis=1)
    a.cylinder(tuple((start + stop) / 2), radius, length, paint, turn=turn)


def pole(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    """A column up to the ceiling: bare, with a foot plate, or wrapped."""
    rng, h, r = p.rng, a.scene.height, w / 2
    paint = p.plain("grey", "dark grey", "light blue", "white", "blue", "yellow", "brown", gloss=0.3)
    a.cylinder((0, 0, h / 2), r, h, paint)
    if rng.random() < 0.5:
        a.box((0, 0, 0.01), (3 * r, 3 * r, 0.02), paint)
    if rng.random() < 0.3:
        a.cylinder((0, 0, 0.5), r + 0.004, 1.0, p.plain("yellow", "red", "black", "white"))


def plastic_curtain(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    """A frame with plastic sheeting, or a cloth wardrobe: pale, with little texture."""
    rng, h = p.rng, min(p.rng.uniform(1.6, 2.2), a.scene.height - 0.15)
    sheet, post = p.plastic_sheet(), STEEL if rng.random() < 0.6 else WHITE
    for x in (-w / 2 + 0.015, w / 2 - 0.015):
        for y in (-d / 2 + 0.015, d / 2 - 0.015):
            a.cylinder((x, y, h / 2), 0.012, h, post)
    for y in (-d / 2 + 0.015, d / 2 - 0.015):
        a.cylinder((0, y, h), 0.012, w, post, "x")
    split = rng.choice([0.0, 0.45, 1.0]) * h
    for low, high in ((0.05, split), (split, h)):
        if high - low > 0.1:
            paint = sheet if low > 0.06 or rng.random() < 0.5 else WHITE
            a.box((0, d / 2, (low + high) / 2), (w, 0.008, high - low), paint)
            for x in (-w / 2, w / 2):
                a.box((x, 0, (low + high) / 2), (0.008, d, high - low), paint)
    a.box((0, 0, h + 0.02), (w + 0.02, d + 0.02, 0.015), WHITE)
    if rng.random() < 0.5:
        carton(put_on(a, "small box", rng.uniform(-0.3, 0.3) * (w - 0.4), 0, h + 0.0275), p)


def fence(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    """A construction fence: wire and posts on concrete feet, mostly covered with sheeting."""
    rng, h = p.rng, 2.0
    for x in np.linspace(-w / 2 + 0.11, w / 2 - 0.11, max(2, 1 + round(w / 2.4))):
        a.cylinder((x, 0, h / 2 + 0.05), 0.02, h, STEEL)
        a.box((x, 0, 0.06), (0.22, d, 0.12), p.plain("grey", "dark grey"))
    for z in (0.2, 1.1, h):
        a.cylinder((0, 0, z), 0.012, w, STEEL, "x")
    for x in np.arange(-w / 2 + 0.15, w / 2, 0.18):
        a.cylinder((x, 0.008, h / 2 + 0.1), 0.004, h - 0.2, STEEL)
    if rng.random() < 0.75:
        count = max(1, round(w / 1.2))
        for k in range(count):
            x = -w / 2 + (k + 0.5) * w / count
            a.box((x, -0.03, h / 2 + 0.1), (w / count, 0.006, h - 0.1), p.plastic_sheet())


def bicycle(a: Assembly, p: PlacePalette, w: float, d: float) -> None:
    frame, r = p.plain(gloss=0.6), 0.34
    hubs = (np.array([-0.52, 0, r + 0.015]), np.array([0.52, 0, r + 0.015]))
    for hub in hubs:
        for k in range(12):
            angle = 2 * np.pi * (k + 0.5) / 12
            at = (hub[0] + 0.97 * r * np.cos(angle), 0, hub[2] + 0.97 * r * np.sin(angle))
            a.box(at, (0.03, 0.035, 0.19), BLACK, rotation_about("y", -angle))
        a.cylinder(tuple(hub), 0.03, 0.08, STEEL, "y")
        for k in range(3):
            a.cylinder(tuple(hub), 0.003, 1.9 * r, STEEL, turn=rotation_about("y", k * np.pi / 3))
    crank, seat, head = np.array([-0.08, 0, 0.28]), np.array([-0.24, 0, 0.85]), np.array([0.38, 0, 0.88])
    for start, stop in (
        (hubs[0], crank),
        (hubs[0], seat),
        (crank, seat),
        (crank, head),
        (seat, head),
        (hubs[1], head),
    ):
        _strut(a, start, stop, 0.016, frame)
    a.ellipsoid((-0.26, 0, 0.93), (0.26, 0.15, 0.07), BLACK)
    a.cylinder((0.38, 0, 0.98), 0.012, 0.2, STEEL)
    a.cylinder((0.38, 0, 1.06), 0.014, 0.56, BLACK, "y")
