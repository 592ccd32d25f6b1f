# SPDX-License-Identifier: Apache-2.0
"""Parts shared by several pieces of furniture: legs, and fronts with doors or drawers. Meters."""

from __future__ import annotations

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly, Paint

BLACK = Paint((0.07, 0.07, 0.08), specular=0.2)


def legs(
    a: Assembly, w: float, d: float, height: float, thick: float, paint: Paint, round_: bool, inset=0.03
) -> None:
    for x in (-w / 2 + inset + thick / 2, w / 2 - inset - thick / 2):
        for y in (-d / 2 + inset + thick / 2, d / 2 - inset - thick / 2):
            if round_:
                a.cylinder((x, y, height / 2), thick / 2, height, paint)
            else:
                a.box((x, y, height / 2), (thick, thick, height), paint)


def fronts(
    a: Assembly, p: Palette, w: float, d: float, low: float, high: float, columns: int, rows: int, paint
) -> None:
    """Doors or drawers on a body's front, with gaps and handles."""
    knob = p.metal()
    cw, rh = w / columns, (high - low) / rows
    for c in range(columns):
        for r in range(rows):
            x, z = -w / 2 + (c + 0.5) * cw, low + (r + 0.5) * rh
            a.box((x, d / 2 + 0.008, z), (cw - 0.012, 0.018, rh - 0.012), paint)
            if rows > 1:
                a.box((x, d / 2 + 0.03, z), (0.14, 0.015, 0.015), knob)
            else:
                side = (0.5 * cw - 0.05) * (1 if c % 2 == 0 else -1)
                a.box((x + side, d / 2 + 0.03, z), (0.015, 0.02, 0.15), knob)
