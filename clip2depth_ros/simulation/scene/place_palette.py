# SPDX-License-Identifier: Apache-2.0
"""Paints for one place: surfaces with wear and grain, in typical colors for such a place."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Paint
from clip2depth_ros.simulation.surfaces.textures import VARIANTS

_ROUGH = ("basement", "workshop", "warehouse", "storage room")
_FLOORS = {
    # probabilities of texture kinds, meters that one image of the texture covers
    "planks": (("boards", "boards", "laminate"), 1.6),
    "laminate": (("laminate",), 1.6),
    "tile": (("tiling", "tiling", "tiling", "chequer"), 1.6),
    "carpet": (("pile", "striped", "striped"), 1.6),
    "concrete": (("cast",), 3.2),
}
_WALLS = {
    "plaster": (("painted", "painted", "painted", "woodchip"), 3.0),
    "wallpaper": (("wallpaper", "woodchip", "painted"), 1.2),
    "brick": (("masonry",), 1.1),
    "concrete": (("cast", "cast", "masonry"), 3.0),
    "tile": (("glazed",), 1.2),
    "planks": (("boards", "weathered"), 1.4),
}


class PlacePalette(Palette):
    """Draws paints for one place of a kind, reusing a few textures of each sort as in a real place."""

    def __init__(self, rng: np.random.Generator, kind: str):
        self.kind = kind
        super().__init__(rng)
        self._pages = self._numbers(5)
        self._screens = self._numbers(3)
        self._metal = ("steel", int(rng.integers(VARIANTS)))
        self._lacquer = self._painted_body()
        self._front = self._draw_front()
        self._worktop = self._draw_worktop()
        self._sheet = ("sheeting", int(rng.integers(VARIANTS)))

    def _numbers(self, count: int) -> list[int]:
        return [int(n) for n in self.rng.choice(VARIANTS, count, replace=False)]

    def _wood(self) -> Paint:
        rough = self.kind in _ROUGH and self.rng.random() < 0.6
        tone = float(self.rng.uniform(0.85, 1.15))
        return Paint(
            (tone, tone * self.rng.uniform(0.95, 1.03), tone * self.rng.uniform(0.88, 1.05)),
            ("weathered" if rough else "grain", int(self.rng.integers(VARIANTS))),
            scale=float(self.rng.uniform(0.5, 1.3)),
            grain=True,
            specular=float(self.rng.choice([0.05, 0.15, 0.4])),
            shininess=float(self.rng.uniform(0.2, 0.6)),
            words="wooden",
        )

    def _painted_body(self) -> Paint:
        names = (
            "white",
            "white",
            "white",
            "grey",
            "beige",
            "black",
            "dark grey",
            "brown",
            "light blue",
            "green",
        )
        name, rgb = self.colour(*names)
        texture = "painted" if name in ("white", "beige", "light blue", "green") else "steel"
        return Paint(
            rgb,
            (texture, int(self.rng.integers(VARIANTS))),
            scale=1.5,
            specular=float(self.rng.uniform(0.1, 0.5)),
            shininess=0.5,
            words=name,
        )

    def _draw_front(self) -> Paint:
        style = self.rng.random()
        if style < 0.3:
            return self.wood()
        names = (
            ("white", "white", "grey", "beige", "dark grey", "black")
            if style < 0.7
            else ("red", "red", "blue", "green", "light blue", "yellow", "orange", "brown")
        )
        name, rgb = self.colour(*names)
        gloss = float(self.rng.choice([0.1, 0.4, 0.8]))
        return Paint(
            rgb,
            ("painted", int(self.rng.integers(VARIANTS))),
            scale=2.0,
            specular=gloss,
            shininess=float(self.rng.uniform(0.4, 0.9)),
            words=name,
        )

    def _draw_worktop(self) -> Paint:
        style = self.rng.random()
        if style < 0.55:
            return Paint(
                (1.0, 1.0, 1.0),
                ("granite", int(self.rng.integers(VARIANTS))),
                scale=float(self.rng.uniform(0.5, 1.0)),
                specular=float(self.rng.uniform(0.3, 0.9)),
                shininess=0.8,
                words="stone",
            )
        if style < 0.8:
            return self.wood()._replace(specular=0.3)
        return self.plain("white", "black", "grey", "dark grey", gloss=0.5)

    def plain(self, *names: str, gloss: float = 0.1) -> Paint:
        """A color; large plain things get the place's paint texture, so that they are not uniform."""
        paint = super().plain(*names, gloss=gloss)
        if self.rng.random() < 0.5:
            return paint
        return paint._replace(texture=self._metal, scale=1.2)

    def metal(self) -> Paint:
        paint = super().metal()
        return paint._replace(texture=self._metal, scale=0.8) if self.rng.random() < 0.7 else paint

    def body(self) -> Paint:
        """The material of a piece of furniture: wood, or the place's lacquer."""
        style = self.rng.random()
        if style < 0.5:
            return self.wood()
        return self._lacquer if style < 0.8 else self._painted_body()._replace(texture=self._metal)

    def fabric(self) -> Paint:
        names = ("grey", "dark grey", "black", "blue", "beige", "brown", "red", "green", "white", "purple")
        name, rgb = self.colour(*names)
        kind = "leather" if name in ("black", "brown", "beige") and self.rng.random() < 0.4 else "cloth"
        number = self._fabrics[int(self.rng.integers(3))]
        return Paint(
            rgb,
            (kind, number),
            scale=0.6,
            cube=True,
            specular=0.25 if kind == "leather" else 0.02,
            words=name,
        )

    def print(self) -> Paint:
        number = self._prints[int(self.rng.integers(5))]
        return Paint((0.97, 0.97, 0.97), ("brochure", number), fit=True)

    def cover(self) -> Paint:
        number = self._prints[int(self.rng.integers(3))]
        tone = self.rng.uniform(0.6, 1.1, 3)
        return Paint(tuple(float(v) for v in tone), ("brochure", number), cube=True, specular=0.2)

    def paper(self) -> Paint:
        """A sheet of printed white paper."""
        tone = float(self.rng.uniform(0.9, 1.0))
        return Paint(
            (tone, tone, tone), ("page", self._pages[int(self.rng.integers(5))]), fit=True, specular=0.02
        )

    def screen(self, lit: bool) -> Paint:
        if not lit:
            return Paint((0.03, 0.03, 0.04), specular=0.6, shininess=0.7)
        tone = float(self.rng.uniform(0.8, 1.0))
        number = self._screens[int(self.rng.integers(3))]
        return Paint((tone * 0.94, tone * 0.98, tone), ("desktop", number), fit=True, emission=1.0)

    def cardboard(self) -> Paint:
        tone = float(self.rng.uniform(0.85, 1.1))
        return Paint((tone, tone, tone), ("carton", self._cardboard), cube=True, words="cardboard")

    def leaf(self) -> Paint:
        tone = float(self.rng.uniform(0.7, 1.4))
        return Paint((tone * 0.95, tone, tone * 0.85), ("leaves", self._foliage), scale=0.4, cube=True)

    def floor(self, kind: str) -> Paint:
        rng = self.rng
        textures, scale = _FLOORS[kind]
        tone = float(rng.uniform(0.75, 1.1))
        glossy = kind != "carpet" and rng.random() < 0.5
        warm = float(rng.uniform(0.94, 1.04))
        return Paint(
            (tone, tone * (1 + warm) / 2, tone * warm),
            (str(rng.choice(textures)), int(rng.integers(VARIANTS))),
            scale=float(scale * rng.uniform(0.7, 1.3)),
            specular=float(rng.uniform(0.3, 0.9)) if glossy else 0.03,
            shininess=float(rng.uniform(0.3, 0.9)),
            words=kind,
        )

    def wall(self, kind: str) -> Paint:
        rng = self.rng
        textures, scale = _WALLS[kind]
        texture = str(rng.choice(textures))
        rgb = (1.0, 1.0, 1.0)
        if kind in ("plaster", "wallpaper"):
            names = ("white",) * 11 + (
                "beige",
                "beige",
                "grey",
                "light blue",
                "yellow",
                "green",
                "pink",
                "orange",
            )
            name, base = self.colour(*names)
            share = 0.95 if name == "white" else rng.uniform(0.2, 0.7)
            rgb = tuple(float(1.0 - share * (1.0 - c)) for c in base)
            if name == "white":
                # Most white walls reflect nearly all light; in real images they are often overexposed.
                rgb = tuple(float(min(1.0, c * rng.uniform(1.02, 1.08))) for c in rgb)
        return Paint(
            rgb,
            (texture, int(rng.integers(VARIANTS))),
            scale=float(scale * rng.uniform(0.8, 1.3)),
            specular=0.4 if kind == "tile" else 0.03,
            shininess=0.6,
            words=kind,
        )

    def ceiling(self) -> Paint:
        """White paint or panels; bare concrete or dark timber in unfinished places."""
        rng = self.rng
        if self.kind in _ROUGH and rng.random() < 0.6:
            return self.wall("concrete" if rng.random() < 0.5 else "planks")
        tone = float(rng.uniform(0.85, 1.0))
        kind = str(rng.choice(["painted", "painted", "panels"]))
        return Paint((tone, tone, 0.98 * tone), (kind, int(rng.integers(VARIANTS))), scale=1.25)

    def front(self) -> Paint:
        """Fronts of the place's kitchen, the same for all its cabinets."""
        return self._front

    def worktop(self) -> Paint:
        """Worktop of the place's kitchen: stone, wood or lacquer."""
        return self._worktop

    def facade(self) -> Paint:
        """A house front with windows, to be stretched over a wall."""
        tone = float(self.rng.uniform(0.75, 1.05))
        return Paint(
            (tone, tone, tone), ("facade", int(self.rng.integers(VARIANTS))), fit=True, words="house"
        )

    def ground(self) -> Paint:
        """The ground outdoors: asphalt, paving, grass, concrete."""
        kind = str(self.rng.choice(["asphalt", "paving", "lawn", "cast"], p=[0.35, 0.3, 0.2, 0.15]))
        tone = float(self.rng.uniform(0.85, 1.15))
        return Paint(
            (tone, tone, tone),
            (kind, int(self.rng.integers(VARIANTS))),
            scale=float(self.rng.uniform(1.5, 3.0)),
            specular=0.03,
            words={"cast": "concrete", "lawn": "grass"}.get(kind, kind),
        )

    def plastic_sheet(self) -> Paint:
        """White sheeting, as on construction sites."""
        tone = float(self.rng.uniform(0.9, 1.15))
        return Paint((tone, tone, tone * 1.02), self._sheet, scale=1.5, specular=0.4, words="plastic")

    def outside(self, daylight: float) -> Paint:
        """The view through a window; `daylight` 0..1 is the brightness outside."""
        glow = float(np.clip(1.15 * daylight, 0.0, 1.0))
        return Paint(
            (glow, glow, glow), ("outside", int(self.rng.integers(VARIANTS))), fit=True, emission=1.0
        )
