# SPDX-License-Identifier: Apache-2.0
"""Light in a room: lamps on the ceiling, daylight from the windows. Meters."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.openings import Opening, in_front, walls_of
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Light, Paint, Scene


def light_up(scene: Scene, palette: Palette, plan: list[list[Opening]], daylight: float) -> None:
    """Lamps on the ceiling and light from the windows; sometimes most of it is off."""
    rng = palette.rng
    dark = rng.random() < 0.18
    power = rng.uniform(0.08, 0.3) if dark else rng.uniform(0.5, 1.0)
    if dark:
        scene.words.append("dark")
    elif power > 0.85:
        scene.words.append("bright")
    tone = np.array([1.0, rng.uniform(0.88, 1.0), rng.uniform(0.72, 1.0)])
    base = rng.uniform(0.18, 0.38) * (0.45 if dark else 1.0)
    scene.ambient = tuple(base * np.array([1.0, 1.0, rng.uniform(0.95, 1.1)]))
    nx, ny = max(1, round(scene.width / 4.5)), max(1, round(scene.length / 4.5))
    while nx * ny > 4:
        nx, ny = (nx - 1, ny) if nx > ny else (nx, ny - 1)
    lamps = rng.random() < 0.85
    round_lamp, drop = rng.random() < 0.5, rng.choice([0.05, 0.05, 0.5]) if scene.height < 3.2 else 0.8
    for i in range(nx):
        for j in range(ny):
            x, y = (i + 0.5) * scene.width / nx, (j + 0.5) * scene.length / ny
            z = scene.height - drop
            a = scene.thing("lamp", x, y)
            glow = Paint(tuple(tone), emission=1.0 if lamps else 0.1)
            if round_lamp:
                a.ellipsoid((0, 0, z), (0.4, 0.4, 0.16), glow)
            else:
                a.box(
                    (0, 0, z),
                    (
                        1.2 if scene.width > scene.length else 0.25,
                        0.25 if scene.width > scene.length else 1.2,
                        0.06,
                    ),
                    glow,
                )
            if drop > 0.1:
                a.cylinder((0, 0, z + drop / 2), 0.008, drop, Paint((0.1, 0.1, 0.1)))
            if lamps:
                color = tuple(power * rng.uniform(0.85, 1.0) * tone / np.sqrt(nx * ny))
                scene.lights.append(
                    Light((x, y, z - 0.25), (0.0, 0.0, -1.0), color, attenuation=(1, 0.02, 0.025))
                )
    if lamps and scene.lights and rng.random() < 0.25:
        scene.lights[0] = scene.lights[0]._replace(shadow=True)
    if daylight > 0.2:
        for index, wall in enumerate(walls_of(scene)):
            for o in [o for o in plan[index] if o.kind == "window"][:1]:
                x, y = in_front(wall, o.start + o.width / 2, 0.1)
                color = tuple(0.7 * daylight * (0.4 if dark else 1.0) * np.array([0.92, 0.96, 1.0]))
                inward = (-np.sin(wall.yaw), np.cos(wall.yaw), -0.3)
                scene.lights.append(
                    Light((x, y, (o.low + o.high) / 2), inward, color, attenuation=(1, 0.1, 0.06))
                )
    if not scene.lights:
        scene.lights.append(
            Light((scene.width / 2, scene.length / 2, scene.height - 0.3), (0, 0, -1), (0.2,) * 3)
        )
