# SPDX-License-Identifier: Apache-2.0
"""The elements of a simulated place: painted parts in meters, grouped into named things."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, sin
from typing import NamedTuple

import numpy as np

BOX, CYLINDER, SPHERE, CAPSULE, ELLIPSOID = "box", "cylinder", "sphere", "capsule", "ellipsoid"

COLOURED = {
    "table",
    "coffee table",
    "chair",
    "office chair",
    "stool",
    "desk",
    "shelf",
    "cupboard",
    "chest of drawers",
    "sofa",
    "armchair",
    "kitchen counter",
    "fridge",
    "box",
    "pole",
    "pillar",
    "bin",
    "workbench",
    "barrel",
    "suitcase",
    "partition",
    "door",
    "rug",
    "backpack",
    "car",
    "crate",
    "curtain",
    "garage door",
    "kitchen cabinet",
    "kitchen island",
    "mug",
    "plastic chair",
    "rack",
    "toolbox",
}
"""Things whose first paint a caption may describe."""


class Paint(NamedTuple):
    """The look of a part. Colors are 0..1; `scale` is the size of one image of the texture, meters."""

    rgb: tuple[float, float, float]
    texture: tuple[str, int] | None = None
    scale: float = 1.0
    cube: bool = False
    fit: bool = False
    """Stretch the texture once over the part instead of repeating it per meter (pictures, screens)."""
    grain: bool = False
    """The texture has a direction that is aligned with the part's longest side."""
    specular: float = 0.1
    shininess: float = 0.2
    reflectance: float = 0.0
    emission: float = 0.0
    alpha: float = 1.0
    words: str = ""
    """Name in captions: 'red', 'wooden'."""


class Part(NamedTuple):
    """One solid. `size` holds half extents (box), radii (ellipsoid) or (radius, radius, half length)."""

    shape: str
    size: tuple[float, float, float]
    position: np.ndarray
    rotation: np.ndarray
    paint: Paint


@dataclass
class Thing:
    """A named object that a caption can mention. `centre` (3,) and `radius` in meters, set by finish."""

    name: str
    words: str = ""
    first: int = 0
    last: int = 0
    centre: np.ndarray = field(default_factory=lambda: np.zeros(3))
    radius: float = 0.0


class Light(NamedTuple):
    """A lamp: at `position`, or parallel along `direction` if `parallel`."""

    position: tuple[float, float, float]
    direction: tuple[float, float, float]
    colour: tuple[float, float, float]
    parallel: bool = False
    attenuation: tuple[float, float, float] = (1.0, 0.0, 0.0)
    shadow: bool = False


def yaw_matrix(yaw: float) -> np.ndarray:
    """Rotation (3, 3) about the vertical by `yaw` radians."""
    c, s = cos(yaw), sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def rotation_about(axis: str, angle: float) -> np.ndarray:
    """Rotation (3, 3) about 'x', 'y' or 'z' by `angle` radians."""
    c, s = cos(angle), sin(angle)
    if axis == "x":
        return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])
    if axis == "y":
        return np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])
    return yaw_matrix(angle)


_AXIS_UP = {"z": np.eye(3), "x": rotation_about("y", np.pi / 2), "y": rotation_about("x", -np.pi / 2)}


def _box_axes(size: tuple[float, float, float], grain: bool) -> tuple[int, int, int]:
    """Order of a box's axes that puts its thinnest along local z, where a flat texture is not stretched."""
    thin = int(np.argmin(size))
    first, second = [axis for axis in range(3) if axis != thin]
    if grain and size[second] > size[first]:
        first, second = second, first
    return first, second, thin


class Scene:
    """A place: parts, things, lights, in a world frame with z up and the floor at z = 0."""

    def __init__(self, kind: str, width: float, length: float, height: float):
        self.kind = kind
        self.width, self.length, self.height = width, length, height
        self.parts: list[Part] = []
        self.things: list[Thing] = []
        self.lights: list[Light] = []
        self.ambient: tuple[float, ...] = (0.3, 0.3, 0.3)
        self.footprints: list[np.ndarray] = []
        """Occupied floor: (4, 2) corners of each thing on the floor, meters."""
        self.texture_slots: tuple[int, int] = (28, 12)
        """Number of different flat and cube textures; above it, textures are shared."""
        self.sky: int | None = None
        """Number of the sky over a place without a ceiling; the sky has no depth."""
        self.words: list[str] = []
        """Adjectives for the place itself in captions: 'dark', 'tiled'."""

    def thing(
        self, name: str, x: float, y: float, yaw: float = 0.0, z: float = 0.0, words: str = ""
    ) -> Assembly:
        """Start a new thing with its origin at (x, y, z) in the world, rotated by `yaw`."""
        record = Thing(name, words, len(self.parts), len(self.parts))
        self.things.append(record)
        return Assembly(self, record, np.array([x, y, z], float), yaw_matrix(yaw))

    def block(self, x: float, y: float, yaw: float, width: float, depth: float) -> None:
        """Mark a rectangle of floor as occupied."""
        self.footprints.append(rectangle(x, y, yaw, width, depth))

    def finish(self) -> None:
        """Compute each thing's center and radius from its parts."""
        for thing in self.things:
            parts = self.parts[thing.first : thing.last]
            if not parts:
                continue
            low = np.min([p.position - np.abs(p.rotation) @ p.size for p in parts], axis=0)
            high = np.max([p.position + np.abs(p.rotation) @ p.size for p in parts], axis=0)
            thing.centre, thing.radius = (low + high) / 2, float(np.linalg.norm(high - low) / 2)


class Assembly:
    """Adds parts to a thing in the thing's own frame. All extents are full lengths in meters."""

    def __init__(self, scene: Scene, record: Thing, origin: np.ndarray, rotation: np.ndarray):
        self.scene, self.record, self.origin, self.rotation = scene, record, origin, rotation

    def _add(self, shape: str, size: tuple, center: tuple, turn: np.ndarray, paint: Paint) -> None:
        position = self.origin + self.rotation @ np.asarray(center, float)
        self.scene.parts.append(Part(shape, size, position, self.rotation @ turn, paint))
        self.record.last = len(self.scene.parts)
        if paint.words and not self.record.words and self.record.name in COLOURED:
            self.record.words = paint.words

    def box(self, center: tuple, extent: tuple, paint: Paint, turn: np.ndarray | None = None) -> None:
        thin, middle, _ = sorted(extent)
        if paint.cube and thin < 0.45 * middle:
            paint = paint._replace(cube=False)
        order = _box_axes(extent, paint.grain)
        axes = np.eye(3)[:, list(order)]
        if np.linalg.det(axes) < 0:
            axes[:, 2] *= -1
        if turn is not None:
            axes = turn @ axes
        self._add(BOX, tuple(extent[axis] / 2 for axis in order), center, axes, paint)

    def cylinder(
        self,
        center: tuple,
        radius: float,
        length: float,
        paint: Paint,
        axis: str = "z",
        turn: np.ndarray | None = None,
    ) -> None:
        turn = _AXIS_UP[axis] if turn is None else turn
        self._add(CYLINDER, (radius, radius, length / 2), center, turn, paint)

    def capsule(
        self,
        center: tuple,
        radius: float,
        length: float,
        paint: Paint,
        axis: str = "z",
        turn: np.ndarray | None = None,
    ) -> None:
        """`length` is the length of the straight middle, without the two round ends."""
        turn = _AXIS_UP[axis] if turn is None else turn
        self._add(CAPSULE, (radius, radius, length / 2), center, turn, paint)

    def ellipsoid(self, center: tuple, extent: tuple, paint: Paint, turn: np.ndarray | None = None) -> None:
        self._add(ELLIPSOID, tuple(e / 2 for e in extent), center, np.eye(3) if turn is None else turn, paint)

    def sphere(self, center: tuple, radius: float, paint: Paint) -> None:
        self._add(SPHERE, (radius, radius, radius), center, np.eye(3), paint)


def rectangle(x: float, y: float, yaw: float, width: float, depth: float) -> np.ndarray:
    """Corners (4, 2) of a rectangle on the floor, in order."""
    half = np.array([[-width, -depth], [width, -depth], [width, depth], [-width, depth]]) / 2
    return half @ yaw_matrix(yaw)[:2, :2].T + (x, y)


def rectangles_overlap(a: np.ndarray, b: np.ndarray, gap: float = 0.0) -> bool:
    """Whether two convex rectangles (4, 2) are closer than `gap` meters (separating axes)."""
    for corners in (a, b):
        for index in range(2):
            edge = corners[index + 1] - corners[index]
            axis = np.array([-edge[1], edge[0]]) / (np.hypot(*edge) + 1e-12)
            pa, pb = a @ axis, b @ axis
            if pa.max() + gap < pb.min() or pb.max() + gap < pa.min():
                return False
    return True


def distance_to_rectangle(point: np.ndarray, corners: np.ndarray) -> float:
    """Distance on the floor from a point (2,) to a rectangle (4, 2), zero inside, meters."""
    origin, u, v = corners[0], corners[1] - corners[0], corners[3] - corners[0]
    lu, lv = np.hypot(*u), np.hypot(*v)
    offset = point - origin
    a, b = offset @ u / (lu + 1e-12), offset @ v / (lv + 1e-12)
    return float(np.hypot(max(-a, 0.0, a - lu), max(-b, 0.0, b - lv)))
