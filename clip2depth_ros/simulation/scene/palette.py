# SPDX-License-Identifier: Apache-2.0
"""Paints for one scene: a few coherent materials drawn from the texture library."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.scene import Paint
from clip2depth_ros.simulation.surfaces.textures import VARIANTS

COLOURS = {
    "white": (0.90, 0.89, 0.86),
    "grey": (0.55, 0.55, 0.56),
    "dark grey": (0.25, 0.25, 0.27),
    "black": (0.08, 0.08, 0.09),
    "beige": (0.80, 0.72, 0.58),
    "brown": (0.42, 0.28, 0.18),
    "red": (0.68, 0.14, 0.12),
    "orange": (0.88, 0.48, 0.14),
    "yellow": (0.88, 0.76, 0.25),
    "green": (0.22, 0.48, 0.26),
    "blue": (0.16, 0.30, 0.62),
    "light blue": (0.55, 0.70, 0.85),
    "purple": (0.42, 0.24, 0.50),
    "pink": (0.85, 0.60, 0.65),
}


class Palette:
    """Draws paints for one scene, reusing a few textures of each kind as in a real room."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self._woods = [self._wood() for _ in range(3)]
        self._fabrics = [int(n) for n in rng.choice(VARIANTS, 3, replace=False)]
        self._prints = [int(n) for n in rng.choice(VARIANTS, 5, replace=False)]
        self._cardboard = int(rng.integers(VARIANTS))
        self._foliage = int(rng.integers(VARIANTS))

    def _wood(self) -> Paint:
        tone = self.rng.uniform(0.75, 1.25)
        number = int(self.rng.integers(VARIANTS))
        gloss = float(self.rng.uniform(0.0, 0.4))
        return Paint(
            (tone, tone * self.rng.uniform(0.92, 1.0), tone * self.rng.uniform(0.8, 1.0)),
            ("wood", number),
            scale=float(self.rng.uniform(0.5, 1.2)),
            grain=True,
            specular=gloss,
            words="wooden",
        )

    def colour(self, *names: str) -> tuple[str, tuple[float, float, float]]:
        """A random color from `names`, or from all names, with slight variation."""
        name = str(self.rng.choice(names or list(COLOURS)))
        rgb = np.clip(
            np.array(COLOURS[name]) * self.rng.uniform(0.8, 1.15) + self.rng.uniform(-0.03, 0.03, 3), 0, 1
        )
        red, green, blue = (float(v) for v in rgb)
        return name, (red, green, blue)

    def wood(self) -> Paint:
        return self._woods[int(self.rng.integers(len(self._woods)))]

    def plain(self, *names: str, gloss: float = 0.1) -> Paint:
        name, rgb = self.colour(*names)
        return Paint(rgb, specular=gloss, shininess=0.4, words=name)

    def metal(self) -> Paint:
        tone = float(self.rng.uniform(0.25, 0.75))
        return Paint((tone, tone, tone * 1.02), specular=0.7, shininess=0.6, words="metal")

    def body(self) -> Paint:
        """The material of a piece of furniture: mostly wood, otherwise lacquer."""
        if self.rng.random() < 0.55:
            return self.wood()
        return self.plain(
            "white", "white", "grey", "beige", "black", "brown", "dark grey", "light blue", gloss=0.3
        )

    def fabric(self) -> Paint:
        name, rgb = self.colour()
        number = self._fabrics[int(self.rng.integers(3))]
        return Paint(rgb, ("fabric", number), scale=0.6, cube=True, specular=0.02, words=name)

    def print(self) -> Paint:
        number = self._prints[int(self.rng.integers(5))]
        return Paint((0.95, 0.95, 0.95), ("print", number), fit=True)

    def cover(self) -> Paint:
        """A small printed box or can."""
        number = self._prints[int(self.rng.integers(3))]
        tone = self.rng.uniform(0.6, 1.1, 3)
        return Paint(tuple(float(v) for v in tone), ("print", number), cube=True)

    def screen(self, lit: bool) -> Paint:
        if not lit:
            return Paint((0.03, 0.03, 0.04), specular=0.6, shininess=0.7)
        return Paint((0.9, 0.9, 0.9), ("screen", int(self.rng.integers(4))), fit=True, emission=0.8)

    def cardboard(self) -> Paint:
        tone = float(self.rng.uniform(0.8, 1.1))
        return Paint((tone, tone, tone), ("cardboard", self._cardboard), cube=True, words="cardboard")

    def leaf(self) -> Paint:
        tone = float(self.rng.uniform(0.7, 1.3))
        return Paint((tone * 0.9, tone, tone * 0.8), ("foliage", self._foliage), scale=0.4, cube=True)

    def floor(self, kind: str) -> Paint:
        number = int(self.rng.integers(VARIANTS))
        tone = float(self.rng.uniform(0.75, 1.1))
        scale = {"planks": 1.6, "tile": 1.6, "carpet": 2.0, "concrete": 3.0}[kind] * self.rng.uniform(
            0.7, 1.3
        )
        glossy = kind != "carpet" and self.rng.random() < 0.5
        return Paint(
            (tone, tone, tone),
            (kind, number),
            scale=float(scale),
            specular=0.5 if glossy else 0.05,
            shininess=float(self.rng.uniform(0.3, 0.9)),
            words=kind,
        )

    def wall(self, kind: str) -> Paint:
        number = int(self.rng.integers(VARIANTS))
        scale = {"plaster": 3.0, "wallpaper": 1.2, "brick": 1.0, "concrete": 3.0, "tile": 1.0, "planks": 1.4}[
            kind
        ]
        if kind in ("plaster", "wallpaper"):
            names = ("white", "white", "white", "beige", "grey", "light blue", "yellow", "pink", "green")
            name, rgb = self.colour(*names)
            rgb = tuple(0.6 * c + 0.4 for c in rgb) if name != "grey" else rgb
        else:
            rgb = (1.0, 1.0, 1.0)
        return Paint(
            rgb, (kind, number), scale=float(scale * self.rng.uniform(0.8, 1.3)), specular=0.03, words=kind
        )
