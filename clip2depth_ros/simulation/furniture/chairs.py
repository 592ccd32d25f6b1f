# SPDX-License-Identifier: Apache-2.0
"""Chairs of places: wooden, padded, stacked.

A maker gets an Assembly whose origin is the middle of the piece's footprint on the floor with the front
toward +y, the palette of a place, and the piece's width (x) and depth (y), meters.
"""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.joinery import legs
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.plain_paints import STEEL
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, rotation_about


def chair(a: Assembly, p: Palette, w: float, d: float) -> None:
    rng, frame = p.rng, p.wood() if p.rng.random() < 0.6 else p.body()
    seat, back = rng.uniform(0.43, 0.47), rng.uniform(0.80, 1.02)
    pad = (
        Paint((0.22, 0.13, 0.09), specular=0.4)
        if rng.random() < 0.3
        else p.fabric()
        if rng.random() < 0.4
        else frame
    )
    t, thick = rng.uniform(0.028, 0.05), rng.uniform(0.03, 0.06)
    a.box((0, 0, seat - thick / 2), (w, d, thick), pad)
    legs(a, w, d, seat - thick, t, frame, rng.random() < 0.2, 0.005)
    lean = rng.uniform(0.0, 0.16)
    turn = rotation_about("x", lean)
    rise = back - seat

    def behind(up: float) -> tuple[float, float]:
        return -d / 2 + t / 2 - up * np.tan(lean), seat + up

    for x in (-w / 2 + t / 2, w / 2 - t / 2):
        y, z = behind(rise / 2)
        a.box((x, y, z), (t, t, rise / np.cos(lean)), frame, turn)
    style = rng.integers(4)
    if style == 0:
        y, z = behind(rise - 0.16)
        a.box((0, y, z), (w - 2 * t, 0.025, 0.3), pad, turn)
    elif style == 1:
        count = int(rng.integers(2, 6))
        for up in np.linspace(0.14, rise - 0.04, count):
            y, z = behind(up)
            a.box((0, y, z), (w - 2 * t, 0.018, min(0.07, 0.6 * rise / count)), frame, turn)
    else:
        y, z = behind(rise - 0.03)
        a.box((0, y, z), (w, 0.028, 0.07), frame, turn)
        y, z = behind(rise / 2)
        for x in np.linspace(-w / 2 + 0.09, w / 2 - 0.09, 5 if style == 2 else 2):
            a.box((x, y, z), (0.022, 0.014, (rise - 0.06) / np.cos(lean)), frame, turn)
    if rng.random() < 0.4:
        for x in (-w / 2 + t / 2, w / 2 - t / 2):
            a.box((x, 0, 0.22), (0.7 * t, d - 2 * t, 0.03), frame)
    if rng.random() < 0.1:
        y, z = behind(0.55 * rise)
        a.ellipsoid((0, y - 0.01, z), (w + 0.06, 0.14, 0.6 * rise), p.fabric(), turn)


def shell_chair(a: Assembly, p: Palette, w: float, d: float) -> None:
    """A stackable plastic seat on steel legs."""
    shell = p.plain("red", "blue", "grey", "black", "green", "orange", "white", gloss=0.4)
    a.box((0, 0, 0.44), (w, d, 0.015), shell)
    a.box((0, -d / 2 + 0.0, 0.64), (w, 0.015, 0.34), shell, rotation_about("x", 0.2))
    legs(a, w, d, 0.43, 0.022, STEEL, True, 0.02)
