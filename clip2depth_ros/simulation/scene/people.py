# SPDX-License-Identifier: Apache-2.0
"""Bodies of people, made of simple solids, that stand, sit or walk. Meters, radians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Assembly, Paint, Scene, rotation_about

SKINS = ((0.93, 0.76, 0.65), (0.80, 0.60, 0.46), (0.58, 0.40, 0.29), (0.36, 0.24, 0.18))


@dataclass(frozen=True)
class Body:
    """Build and clothes of one person."""

    height: float
    shirt: Paint
    trousers: Paint
    skin: Paint
    hair: Paint
    shoes: Paint

    @classmethod
    def random(cls, palette: Palette) -> Body:
        rng = palette.rng
        skin = Paint(SKINS[int(rng.integers(4))])
        hair = palette.plain("black", "brown", "dark grey", "beige")
        return cls(
            float(rng.uniform(1.5, 1.9)), palette.fabric(), palette.fabric(), skin, hair, palette.plain()
        )


def add_person(
    scene: Scene, body: Body, x: float, y: float, yaw: float, phase: float = 0.0, stride: float = 0.0
):
    """Add a person at (x, y) who faces `yaw` (their front is +x).

    `phase` is the phase of the gait and `stride` the amplitude of the leg swing, radians, 0 = standing. The
    number and order of parts is always the same.
    """
    a = scene.thing("person", x, y, yaw)
    swing = stride * np.sin(phase)
    s = body.height / 1.75
    for side, angle in ((1, swing), (-1, -swing)):
        _limb(a, (0.0, 0.09 * side * s, 0.88 * s), angle, 0.42 * s, 0.075 * s, body.trousers, "z")
        knee = np.array([np.sin(angle) * -0.44 * s, 0.09 * side * s, 0.88 * s - np.cos(angle) * 0.44 * s])
        bend = angle + abs(stride) * 0.6 * max(0.0, np.cos(phase) * side)
        _limb(a, tuple(knee), bend, 0.36 * s, 0.055 * s, body.trousers, "z")
        foot = knee + np.array([np.sin(bend) * -0.42 * s, 0.0, -np.cos(bend) * 0.42 * s])
        a.ellipsoid(
            (foot[0] + 0.05, foot[1], max(0.035, foot[2] + 0.02)), (0.26 * s, 0.1 * s, 0.08 * s), body.shoes
        )
    a.ellipsoid((0, 0, 1.16 * s), (0.26 * s, 0.40 * s, 0.66 * s), body.shirt)
    a.capsule((0, 0, 1.34 * s), 0.085 * s, 0.24 * s, body.shirt, "y")
    for side, angle in ((1, -0.7 * swing), (-1, 0.7 * swing)):
        shoulder = (0.0, 0.215 * side * s, 1.36 * s)
        _limb(a, shoulder, angle, 0.26 * s, 0.045 * s, body.shirt, "z")
        elbow = (-np.sin(angle) * 0.29 * s, shoulder[1], shoulder[2] - np.cos(angle) * 0.29 * s)
        _limb(a, elbow, angle - 0.3, 0.22 * s, 0.036 * s, body.skin, "z")
    a.cylinder((0, 0, 1.47 * s), 0.05 * s, 0.12 * s, body.skin)
    a.ellipsoid((0.01, 0, 1.61 * s), (0.19 * s, 0.155 * s, 0.24 * s), body.skin)
    a.ellipsoid((-0.02, 0, 1.65 * s), (0.20 * s, 0.17 * s, 0.19 * s), body.hair)
    return a


def _limb(
    a: Assembly, joint: tuple, angle: float, length: float, radius: float, paint: Paint, axis: str
) -> None:
    """A capsule that hangs from `joint` and swings about y; positive angles swing it backwards."""
    turn = rotation_about("y", angle)
    center = np.asarray(joint) + turn @ np.array([0.0, 0.0, -length / 2])
    a.capsule(tuple(center), radius, length, paint, turn=turn)
