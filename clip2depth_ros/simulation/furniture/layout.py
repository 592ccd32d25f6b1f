# SPDX-License-Identifier: Apache-2.0
"""Placement of furniture on the floor of a room without overlaps. Meters."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.simulation.furniture.catalogue import CATALOGUE
from clip2depth_ros.simulation.scene.openings import walls_of
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.scene import Paint, Scene, rectangle, rectangles_overlap, yaw_matrix


class Layout:
    """Places pieces on the floor of one scene without overlaps."""

    catalogue = CATALOGUE

    def __init__(self, scene: Scene, palette: Palette):
        self.scene, self.palette, self.rng = scene, palette, palette.rng
        self.shade = float(palette.rng.uniform(0.1, 0.35))

    def is_free(self, corners: np.ndarray, gap: float) -> bool:
        """Whether a rectangle (4, 2) is inside the room and at least `gap` meters from all placed pieces."""
        scene = self.scene
        inside = (corners >= 0.02).all() and (corners <= (scene.width - 0.02, scene.length - 0.02)).all()
        return bool(inside) and not any(rectangles_overlap(corners, other, gap) for other in scene.footprints)

    def put(self, name: str, tries: int = 14) -> tuple[float, float, float, float, float] | None:
        """Try to place a piece from the catalogue. Returns its place (x, y, yaw, width, depth) or None."""
        piece = self.catalogue[name]
        for _ in range(tries):
            width, depth = self.rng.uniform(*piece.width), self.rng.uniform(*piece.depth)
            against = piece.wall or (self.rng.random() < 0.45 and name not in ("table", "coffee table"))
            if against:
                wall = walls_of(self.scene)[int(self.rng.integers(4))]
                if wall.length < width + 0.1:
                    continue
                along = self.rng.uniform(width / 2 + 0.04, wall.length - width / 2 - 0.04)
                away = depth / 2 + self.rng.uniform(0.02, 0.06)
                turn = yaw_matrix(wall.yaw)[:2, :2]
                x, y = turn @ (along, away) + (wall.x, wall.y)
                yaw = wall.yaw if piece.wall else wall.yaw + self.rng.uniform(-0.3, 0.3)
            else:
                x, y = (
                    self.rng.uniform(0.4, self.scene.width - 0.4),
                    self.rng.uniform(0.4, self.scene.length - 0.4),
                )
                yaw = self.rng.choice([0, 0.5, 1.0, 1.5]) * np.pi
                yaw += self.rng.normal(0, 0.05) if width > 0.8 else self.rng.uniform(-0.8, 0.8)
            if self.is_free(rectangle(x, y, yaw, width, depth), 0.05 if against else 0.25):
                return self.place(name, x, y, yaw, width, depth)
        return None

    def place(self, name: str, x: float, y: float, yaw: float, width: float, depth: float):
        """Put a piece at the given place, with its chairs."""
        a = self.scene.thing(name, x, y, yaw)
        self.catalogue[name].make(a, self.palette, width, depth)
        self.scene.block(x, y, yaw, width, depth)
        self._shade(x, y, yaw, width, depth)
        if name == "table":
            self._seats(x, y, yaw, width, depth)
        elif name == "desk" and self.rng.random() < 0.85:
            self._seat(x, y, yaw, 0.0, depth / 2 + self.rng.uniform(0.2, 0.5), np.pi, "office chair")
        elif name == "coffee table" and self.rng.random() < 0.6:
            self.rug(x, y, yaw)
        return x, y, yaw, width, depth

    def _seat(
        self, x: float, y: float, yaw: float, dx: float, dy: float, turn: float, name: str = "chair"
    ) -> None:
        piece = self.catalogue[name]
        width, depth = self.rng.uniform(*piece.width), self.rng.uniform(*piece.depth)
        px, py = yaw_matrix(yaw)[:2, :2] @ (dx, dy) + (x, y)
        angle = yaw + turn + self.rng.normal(0, 0.15)
        if self.is_free(rectangle(px, py, angle, width, 0.6 * depth), -0.15):
            self.catalogue[name].make(self.scene.thing(name, px, py, angle), self.palette, width, depth)
            self.scene.block(px, py, angle, width, depth)
            self._shade(px, py, angle, width, depth)

    def _seats(self, x: float, y: float, yaw: float, width: float, depth: float) -> None:
        for side in (-1, 1):
            count = int(self.rng.integers(0, 1 + max(1, int(width / 0.6))))
            for k in range(count):
                dx = (k - (count - 1) / 2) * 0.6
                self._seat(
                    x, y, yaw, dx, side * (depth / 2 + self.rng.uniform(0.05, 0.4)), 0 if side < 0 else np.pi
                )

    def _shade(self, x: float, y: float, yaw: float, width: float, depth: float) -> None:
        """Darken the floor under and around a piece, because most lamps cast no shadows in the renderer."""
        for grow, height in ((0.16, 0.0015), (0.04, 0.003)):
            dark = Paint((0.0, 0.0, 0.0), specular=0.0, alpha=self.shade)
            self.scene.thing("floor", x, y, yaw).box(
                (0, 0, height), (width + grow, depth + grow, 0.001), dark
            )

    def rug(self, x: float, y: float, yaw: float) -> None:
        """Lay a rug with its middle at (x, y)."""
        rug = self.scene.thing("rug", x, y, yaw)
        paint = self.palette.floor("carpet")
        name, rgb = self.palette.colour()
        rug.box(
            (0, 0, 0.006),
            (self.rng.uniform(1.6, 2.6), self.rng.uniform(1.2, 1.9), 0.012),
            paint._replace(rgb=rgb, words=name),
        )
