# SPDX-License-Identifier: Apache-2.0
"""Images of near things, 0.15 to 1.2 m away, from hand-held, wrist and mobile-base cameras."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.simulation.rendering.renderer import Renderer
from clip2depth_ros.simulation.scene.scene import Scene
from clip2depth_ros.simulation.small_things.dressing import SMALL
from clip2depth_ros.simulation.views.place_views import aimed_views, field_of_view
from clip2depth_ros.simulation.views.viewpoints import TOPS, Solids
from clip2depth_ros.simulation.views.views import SimView, look_pose

TRIES = 12
"""Number of poses that are tried for each view."""
_CLEARANCE = 0.12
"""Smallest distance of anything to the camera, meters."""
_STORES = {"rack", "shelf", "wall shelf", "cupboard", "box", "crate", "kitchen cabinet"}
"""Things that are viewed into from the front."""


def near_rng(seed: int) -> np.random.Generator:
    """The random generator of the views of near scene `seed`."""
    return np.random.default_rng([53, seed])


def _keep(depth: np.ndarray) -> float:
    """Probability of keeping a view, by its median depth: about equally many per octave from 0.2 to 1.4 m."""
    return float(np.interp(np.nanmedian(depth), (0.12, 0.2, 0.9, 1.4, 2.2), (0.3, 1.0, 1.0, 0.5, 0.0)))


def _is_usable(depth: np.ndarray) -> bool:
    """Whether enough depth is known and nothing touches the lens."""
    known = depth[np.isfinite(depth)]
    return known.size > 0.5 * depth.size and known.min() >= 0.1 and (known < 0.15).mean() < 0.25


def views_of_near_scene(
    scene: Scene,
    rng: np.random.Generator,
    count: int,
    width: int,
    height: int,
    *,
    horizontal_fov: float | None = None,
    supersample: int = 2,
    renderer: Renderer | None = None,
) -> Iterator[SimView]:
    """Views of near things of one scene; fewer than `count` if not enough are found.

    Arguments and errors as in views_of_place; scene: from make_near_scene.
    """
    solids, targets = Solids(scene), _Targets(scene)

    def aim(rng: np.random.Generator) -> tuple[Camera, np.ndarray] | None:
        pose = targets.pose(rng)
        if pose is None or not _stands_free(scene, solids, pose):
            return None
        return Camera.from_fov(width, height, horizontal_fov or field_of_view(rng)), pose

    return aimed_views(
        scene, rng, count, aim, tries=TRIES, is_usable=_is_usable, keep=_keep, supersample=supersample,
        renderer=renderer,
    )  # fmt: skip


def _stands_free(scene: Scene, solids: Solids, pose: np.ndarray) -> bool:
    x, y, z = pose[:3, 3]
    inside = (
        0.05 < x < scene.width - 0.05 and 0.05 < y < scene.length - 0.05 and 0.05 < z < scene.height - 0.05
    )
    return inside and solids.clearance(pose[:3, 3]) > _CLEARANCE


class _Targets:
    """Targets of near cameras in one scene, and the directions from which they are viewed."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        things = [t for t in scene.things if t.last > t.first and t.radius > 0]
        tops = np.array([t.centre for t in things if t.name in TOPS]).reshape(-1, 3)
        small = set(SMALL) | {"hand", "gripper", "box"}
        # Small things on tops; those on high boards and under ceilings are viewed from the front, like
        # shelves.
        on_tops = [
            t
            for t in things
            if t.name in small and len(tops) and np.hypot(*(tops[:, :2] - t.centre[:2]).T).min() < 1.2
        ]
        self._kinds = {
            "over": on_tops,
            "wrist": on_tops,
            "front": [t for t in things if t.name in _STORES],
            "base": [t for t in things if t.name not in small and t.radius < 2.5 and t.centre[2] < 1.2],
            "person": [t for t in things if t.name == "person"],
        }

    def pose(self, rng: np.random.Generator) -> np.ndarray | None:
        """A pose (4, 4), optical frame to world in meters; None if the scene has no such target."""
        kind = str(rng.choice(["over", "wrist", "front", "base", "person"], p=[0.36, 0.26, 0.16, 0.12, 0.10]))
        things = self._kinds[kind]
        if not things:
            return None
        thing = things[int(rng.integers(len(things)))]
        parts = self._scene.parts[thing.first : thing.last]
        target = parts[int(rng.integers(len(parts)))].position + rng.normal(0, 0.05, 3)
        yaw = rng.uniform(-math.pi, math.pi)
        roll = rng.normal(0, math.radians(9))
        if kind == "over":
            far, down = math.exp(rng.uniform(math.log(0.22), math.log(1.2))), rng.uniform(8, 65)
        elif kind == "wrist":
            far, down = math.exp(rng.uniform(math.log(0.15), math.log(0.8))), rng.uniform(50, 89)
            roll = rng.uniform(-math.pi, math.pi) if rng.random() < 0.6 else roll
        elif kind == "front":
            far, down = math.exp(rng.uniform(math.log(0.3), math.log(1.2))), rng.normal(5, 14)
        elif kind == "base":
            far, down = math.exp(rng.uniform(math.log(0.3), math.log(1.3))), rng.normal(2, 7)
            target[2] = rng.uniform(0.05, 0.45)
            roll = rng.normal(0, math.radians(1.5))
        else:
            far, down = math.exp(rng.uniform(math.log(0.4), math.log(1.3))), rng.normal(3, 12)
        pitch = -math.radians(float(np.clip(down, -25, 89)))
        forward = np.array(
            [math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)]
        )
        point = target - far * forward
        # Real cameras do not point exactly at their target.
        aside = math.radians(7)
        return look_pose(point, yaw + rng.normal(0, aside), pitch + rng.normal(0, aside), roll)
