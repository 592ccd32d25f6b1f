# SPDX-License-Identifier: Apache-2.0
"""Realistic camera poses: level on robots and tripods, tilted in hands that point at something."""

from __future__ import annotations

import math

import numpy as np

from clip2depth_ros.simulation.scene.place_kinds import OUTDOORS
from clip2depth_ros.simulation.scene.scene import CAPSULE, Scene
from clip2depth_ros.simulation.views.views import look_pose, room_ray

TOPS = (
    "table",
    "desk",
    "coffee table",
    "workbench",
    "kitchen counter",
    "kitchen island",
    "chest of drawers",
    "washing machine",
)
"""Things that are viewed across from near."""
_SCENERY = {"floor", "ceiling", "wall", "outside", "next room", "lamp", "rug", "sky", "ground", "facade"}
_ROOMY = {"hall", "corridor", "warehouse", "yard", "street"}
_CLEARANCE = 0.22
"""Smallest distance of anything to the camera, meters."""
_TRIES = 40


def viewpoint(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A pose (4, 4), camera (optical frame) to world in meters, from which this place may be recorded.

    The scene must be finished. In rooms, half of the cameras are hand-held: mostly 0.9 to 1.8 m up, pitched 8
    to -45 degrees, rolled by about 6 degrees, pointing at a thing, across a table, or into a corner. In
    halls, corridors and outdoors, half are on robots, 0.15 to 1.2 m up and level. The rest are on tripods,
    0.8 to 1.7 m up. A camera is never inside a thing or a wall.

    Level cameras cover all heights without gaps: from a level view of a floor, a network can infer the scale
    only from its estimate of the camera's height.
    """
    solids = Solids(scene)
    shares = (0.5, 0.25, 0.25) if scene.kind in _ROOMY else (0.25, 0.25, 0.5)
    carrier = _CARRIERS[int(rng.choice(3, p=shares))]
    best, most = None, -1.0
    for _ in range(_TRIES):
        pose = carrier(scene, rng)
        point = pose[:3, 3]
        if not _inside(scene, point) or solids.clearance(point) < _CLEARANCE:
            continue
        seen = np.array([solids.ray(point, pose[:3, :3] @ ray) for ray in _RAYS])
        wanted = _interest(seen)
        if rng.random() < wanted:
            return pose
        if wanted > most:
            best, most = pose, wanted
    return best if best is not None else _clearest(scene, rng, solids)


def _interest(seen: np.ndarray) -> float:
    """Probability of keeping a view, by the distances along some rays: few close flat surfaces."""
    middle, relief = float(np.median(seen)), float(np.ptp(np.log(np.clip(seen, 0.05, 20.0))))
    if not 0.5 < middle < 14.0:
        return 0.0
    return float(
        np.interp(middle, (0.5, 0.9, 1.6), (0.2, 0.5, 1.0)) * np.interp(relief, (0.3, 0.9), (0.15, 1.0))
    )


def _clearest(scene: Scene, rng: np.random.Generator, solids: Solids) -> np.ndarray:
    """A pose at the clearest position, for places without enough free space; it looks in a far direction."""
    high = min(1.5, scene.height - 0.3)
    points = [_anywhere(scene, rng, float(rng.uniform(0.3, high))) for _ in range(_TRIES)]
    point = max(points, key=solids.clearance)
    return look_pose(point, _ahead(scene, rng, point, 2.0), math.radians(-8.0))


class Solids:
    """The parts of a finished scene as oriented boxes, for distances and rays."""

    def __init__(self, scene: Scene):
        solid = [part for part in scene.parts if part.paint.alpha == 1.0]
        self._center = np.array([part.position for part in solid])
        self._turn = np.array([part.rotation for part in solid])
        half = np.array([part.size for part in solid])
        capsule = np.array([part.shape == CAPSULE for part in solid])
        half[:, 2] += np.where(capsule, half[:, 0], 0.0)
        self._half = half

    def clearance(self, point: np.ndarray) -> float:
        """Distance from a point (3,) to the nearest part, zero inside one, meters."""
        local = np.einsum("nij,ni->nj", self._turn, point - self._center)
        outside = np.maximum(np.abs(local) - self._half, 0.0)
        return float(np.sqrt((outside**2).sum(1).min()))

    def ray(self, point: np.ndarray, direction: np.ndarray) -> float:
        """Distance along a ray to the first part, infinite if there is none, meters."""
        local = np.einsum("nij,ni->nj", self._turn, point - self._center)
        along = np.einsum("nij,i->nj", self._turn, direction)
        along = np.where(np.abs(along) < 1e-9, 1e-9, along)
        first, second = (-self._half - local) / along, (self._half - local) / along
        enter = np.minimum(first, second).max(1)
        leave = np.maximum(first, second).min(1)
        hit = (leave >= enter) & (leave > 0)
        return float(np.maximum(enter[hit], 0.0).min()) if hit.any() else math.inf


_RAYS = [
    ray / np.linalg.norm(ray)
    for ray in (np.array([x, y, 1.0]) for x in (-0.42, 0.0, 0.42) for y in (-0.32, 0.0, 0.32))
]
"""A coarse image: directions in the optical frame."""


def _inside(scene: Scene, point: np.ndarray) -> bool:
    x, y, z = point
    high = math.inf if scene.kind in OUTDOORS else scene.height - 0.2
    return 0.15 < x < scene.width - 0.15 and 0.15 < y < scene.length - 0.15 and 0.1 < z < high


def _anywhere(scene: Scene, rng: np.random.Generator, height: float) -> np.ndarray:
    return np.array([rng.uniform(0.2, scene.width - 0.2), rng.uniform(0.2, scene.length - 0.2), height])


def _ahead(scene: Scene, rng: np.random.Generator, point: np.ndarray, power: float) -> float:
    """A direction with a large distance to the walls, radians."""
    yaws = rng.uniform(-math.pi, math.pi, 6)
    reach = np.array([room_ray(scene, point[0], point[1], yaw) for yaw in yaws]) ** power
    return float(yaws[int(rng.choice(6, p=reach / reach.sum()))])


def _target(scene: Scene, rng: np.random.Generator, tops: bool = False) -> np.ndarray | None:
    """A target point (3,) on an interesting thing; with `tops`, on one that can be viewed across."""
    things = [t for t in scene.things if t.name not in _SCENERY and t.last > t.first]
    things = [t for t in things if (t.name in TOPS if tops else True)]
    if not things:
        return None
    weight = np.array([(3.0 if t.name in TOPS else 1.0) * min(t.radius, 1.5) for t in things])
    thing = things[int(rng.choice(len(things), p=weight / weight.sum()))]
    parts = scene.parts[thing.first : thing.last]
    if tops:
        # The largest level part is the top.
        return max(parts, key=lambda q: q.size[0] * q.size[1] * (q.position[2] > 0.3)).position
    return parts[int(rng.integers(len(parts)))].position


def _aimed(
    rng: np.random.Generator, point: np.ndarray, target: np.ndarray, spread: float, roll: float, span: tuple
) -> np.ndarray:
    """A camera at `point` that points roughly at `target`; angles in degrees, pitch limited to `span`."""
    east, north, up = target - point
    yaw = math.atan2(north, east) + math.radians(rng.normal(0, 1.3 * spread))
    pitch = math.degrees(math.atan2(up, math.hypot(east, north))) + rng.normal(0, spread)
    pitch = float(np.clip(pitch, *span))
    return look_pose(point, yaw, math.radians(pitch), math.radians(float(np.clip(roll, -20, 20))))


def _robot(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    point = _anywhere(scene, rng, min(rng.uniform(0.15, 1.2), scene.height - 0.3))
    yaw, target = _ahead(scene, rng, point, 2.0), _target(scene, rng)
    if target is not None and rng.random() < 0.4:
        # Driving past something: a post, a table's legs, a cupboard.
        yaw = rng.uniform(-math.pi, math.pi)
        point[:2] = target[:2] - rng.uniform(0.8, 3.5) * np.array([math.cos(yaw), math.sin(yaw)])
        yaw += rng.normal(0, 0.3)
    pitch = float(np.clip(rng.normal(-2, 4), -15, 10))
    return look_pose(point, yaw, math.radians(pitch), math.radians(float(rng.normal(0, 0.8))))


def _tripod(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    high = min(rng.uniform(0.8, 1.7), scene.height - 0.3)
    point, target = _anywhere(scene, rng, high), _target(scene, rng)
    if target is None or rng.random() < 0.5:
        yaw, pitch = _ahead(scene, rng, point, 2.0), float(np.clip(rng.normal(-6, 6), -25, 8))
        return look_pose(point, yaw, math.radians(pitch), math.radians(float(rng.normal(0, 1.2))))
    return _aimed(rng, point, target, 6.0, rng.normal(0, 1.2), (-30, 8))


def _hand(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    high = min(float(rng.uniform(0.9, 1.8)), scene.height - 0.3)
    roll = rng.normal(0, 6.0 if rng.random() < 0.85 else 11.0)
    style, yaw = rng.random(), rng.uniform(-math.pi, math.pi)
    away = np.array([math.cos(yaw), math.sin(yaw), 0.0])
    if style < 0.30:
        top = _target(scene, rng, tops=True)
        if top is not None:
            # Across a table from its edge: the table fills the lower half, the background the upper half.
            point = top - rng.uniform(0.4, 1.1) * away
            point[2] = max(high, top[2] + 0.35)
            beyond = top + rng.uniform(0.0, 2.2) * away
            beyond[2] = rng.uniform(0.3, 1.3)
            return _aimed(rng, point, beyond, 5.0, roll, (-45, 0))
    if style < 0.42:
        top = _target(scene, rng, tops=True)
        if top is not None:
            # Sitting or kneeling in front: the front is near, things on it are at eye level.
            point = top - rng.uniform(0.8, 1.9) * away
            point[2] = top[2] + rng.uniform(-0.2, 0.4)
            return _aimed(rng, point, top + (0.0, 0.0, rng.uniform(-0.2, 0.3)), 6.0, roll, (-30, 8))
    if style < 0.85:
        target = _target(scene, rng)
        if target is not None:
            far = float(np.exp(rng.uniform(math.log(0.7), math.log(4.0))))
            point = target - far * away
            point[2] = high
            return _aimed(rng, point, target, 8.0, roll, (-45, 5))
    point = _anywhere(scene, rng, high)
    corner = np.array(
        [rng.choice([0.0, scene.width]), rng.choice([0.0, scene.length]), rng.uniform(0.2, 1.6)]
    )
    return _aimed(rng, point, corner, 8.0, roll, (-45, 5))


_CARRIERS = (_robot, _tripod, _hand)
