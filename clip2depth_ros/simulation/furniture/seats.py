# SPDX-License-Identifier: Apache-2.0
"""Seats and beds.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.joinery import BLACK, legs
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, rotation_about


def chair(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, frame = p.rng, p.body()
    seat, back = rng.uniform(0.43, 0.47), rng.uniform(0.82, 1.0)
    pad = p.fabric() if rng.random() < 0.4 else frame
    a.box((0, 0, seat - 0.02), (w, d, 0.04), pad)
    t = 0.035
    legs(a, w, d, seat - 0.04, t, frame, rng.random() < 0.3, 0.01)
    for x in (-w / 2 + t, w / 2 - t):
        a.box((x, -d / 2 + t / 2, (seat + back) / 2), (t, t, back - seat), frame)
    style = rng.integers(3)
    if style == 0:
        a.box((0, -d / 2 + 0.02, back - 0.15), (w - 2 * t, 0.02, 0.28), pad)
    elif style == 1:
        for z in np.linspace(seat + 0.15, back - 0.05, 3):
            a.box((0, -d / 2 + 0.02, z), (w - 2 * t, 0.018, 0.06), frame)
    else:
        a.box((0, -d / 2 + 0.02, back - 0.03), (w, 0.025, 0.06), frame)
        for x in np.linspace(-w / 2 + 0.1, w / 2 - 0.1, 4):
            a.box((x, -d / 2 + 0.02, (seat + back) / 2), (0.025, 0.015, back - seat - 0.04), frame)


def office_chair(a: Assembly, p: Palette, w: float, d: float) -> None:
    pad = p.fabric() if p.rng.random() < 0.6 else BLACK
    a.box((0, 0, 0.46), (0.9 * w, 0.9 * d, 0.08), pad)
    a.box((0, -0.42 * d, 0.80), (0.85 * w, 0.07, 0.52), pad, rotation_about("x", 0.12))
    a.cylinder((0, 0, 0.25), 0.03, 0.36, BLACK)
    for k in range(5):
        angle = 2 * np.pi * k / 5
        x, y = 0.14 * np.cos(angle), 0.14 * np.sin(angle)
        a.box((x, y, 0.09), (0.28, 0.04, 0.03), BLACK, rotation_about("z", angle))
        a.sphere((2 * x, 2 * y, 0.035), 0.035, BLACK)
    for x in (-w / 2, w / 2):
        a.box((x, 0, 0.66), (0.05, 0.28, 0.03), BLACK)
        a.box((x, -0.06, 0.55), (0.03, 0.04, 0.2), BLACK)


def stool(a: Assembly, p: Palette, w: float, d: float) -> None:
    h, paint = p.rng.uniform(0.45, 0.75), p.body()
    a.cylinder((0, 0, h - 0.02), w / 2, 0.04, paint)
    legs(a, 0.75 * w, 0.75 * w, h - 0.04, 0.03, paint, True, 0.0)


def sofa(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, cloth = p.rng, p.fabric()
    arm, seat, back = rng.uniform(0.12, 0.24), rng.uniform(0.38, 0.46), rng.uniform(0.75, 0.95)
    a.box((0, 0, 0.20), (w, d, 0.26), cloth)
    legs(a, w, d, 0.07, 0.05, BLACK, False)
    a.box((0, -d / 2 + 0.11, back / 2 + 0.05), (w, 0.22, back - 0.1), cloth)
    for x in (-w / 2 + arm / 2, w / 2 - arm / 2):
        a.box((x, 0.02, 0.35), (arm, d - 0.04, 0.5), cloth)
    count = max(1, round((w - 2 * arm) / 0.65))
    cw = (w - 2 * arm) / count
    for k in range(count):
        x = -w / 2 + arm + (k + 0.5) * cw
        a.box((x, 0.09, seat - 0.05), (cw - 0.015, d - 0.26, 0.14), cloth)
        a.box((x, -d / 2 + 0.27, seat + 0.21), (cw - 0.03, 0.13, 0.36), cloth, rotation_about("x", 0.15))
    for _ in range(int(rng.integers(0, 3))):
        x = rng.uniform(-0.5, 0.5) * (w - 2 * arm - 0.4)
        a.ellipsoid((x, -d / 2 + 0.42, seat + 0.2), (0.42, 0.16, 0.38), p.fabric(), rotation_about("x", 0.3))


def bed(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, frame, cloth = p.rng, p.body(), p.fabric()
    h = rng.uniform(0.42, 0.6)
    a.box((0, 0, 0.5 * (h - 0.12)), (w, d, h - 0.16), frame)
    head = rng.uniform(0.8, 1.1)
    a.box((0, -d / 2 + 0.02, head / 2), (w, 0.05, head), frame)
    a.box((0, 0.02, h - 0.1), (w - 0.06, d - 0.06, 0.2), Paint((0.88, 0.87, 0.85)))
    a.box((0, 0.2 * d, h + 0.015), (w - 0.01, 0.62 * d, 0.06), cloth)
    for x in (-w / 4, w / 4) if w > 1.2 else (0.0,):
        a.ellipsoid((x, -d / 2 + 0.32, h + 0.05), (0.62, 0.42, 0.16), Paint((0.92, 0.92, 0.94)))
