# SPDX-License-Identifier: Apache-2.0
"""Random views of random rooms for training: one image with true depth and a caption at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.simulation.photography.looks import CameraLook, photograph
from clip2depth_ros.simulation.rendering.renderer import Renderer, shared_renderer
from clip2depth_ros.simulation.rooms import make_room
from clip2depth_ros.simulation.scene.scene import Scene, distance_to_rectangle
from clip2depth_ros.simulation.views.captions import describe

VIEWS_PER_ROOM = 6


@dataclass(slots=True)
class SimView:
    """One simulated image with its ground truth."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    depth: np.ndarray
    """(H, W) float32, meters along the optical axis, NaN where nothing is."""
    camera: Camera
    caption: str
    pose: np.ndarray
    """(4, 4) float64, camera (optical) to world, meters."""


def look_pose(position, yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """Pose (4, 4), optical frame to world, of a camera at `position` that looks along `yaw`.

    `yaw` is from the world's x axis, `pitch` is upward, `roll` is about the optical axis; radians.
    """
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    forward = np.array([cy * cp, sy * cp, sp])
    right = np.array([sy, -cy, 0.0])
    down = np.cross(forward, right)
    cr, sr = math.cos(roll), math.sin(roll)
    pose = np.eye(4)
    pose[:3, 0] = cr * right + sr * down
    pose[:3, 1] = -sr * right + cr * down
    pose[:3, 2] = forward
    pose[:3, 3] = position
    return pose


def room_ray(scene: Scene, x: float, y: float, yaw: float) -> float:
    """Distance from (x, y) along `yaw` to the walls, ignoring furniture, meters."""
    c, s = math.cos(yaw), math.sin(yaw)
    tx = ((scene.width if c > 0 else 0.0) - x) / c if abs(c) > 1e-6 else math.inf
    ty = ((scene.length if s > 0 else 0.0) - y) / s if abs(s) > 1e-6 else math.inf
    return min(tx, ty)


def _random_pose(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    carrier = rng.random()
    if carrier < 0.35:
        height = rng.uniform(0.15, 0.55)
    elif carrier < 0.6:
        height = rng.uniform(0.55, 1.1)
    else:
        height = rng.uniform(1.1, 1.7)
    for _ in range(12):
        x, y = rng.uniform(0.2, scene.width - 0.2), rng.uniform(0.2, scene.length - 0.2)
        clear = min((distance_to_rectangle(np.array([x, y]), f) for f in scene.footprints), default=1.0)
        if clear > (0.25 if height < 1.2 else 0.05):
            break
    yaws = rng.uniform(-math.pi, math.pi, 6)
    reach = np.array([room_ray(scene, x, y, yaw) for yaw in yaws]) ** 3
    yaw = float(yaws[int(rng.choice(6, p=reach / reach.sum()))])
    level = rng.normal(-3, 5) if height < 0.8 else rng.normal(-12, 10)
    pitch = math.radians(float(np.clip(level, -35, 15)))
    roll = math.radians(float(rng.normal(0, 0.8 if carrier < 0.6 else 2.5)))
    return look_pose((x, y, min(height, scene.height - 0.3)), yaw, pitch, roll)


def is_usable(depth: np.ndarray) -> bool:
    """Whether a view is from free space: nothing nearer than 0.2 m and at most 40 % nearer than 0.35 m."""
    known = depth[np.isfinite(depth)]
    return known.size > 0.5 * depth.size and known.min() >= 0.2 and (known < 0.35).mean() <= 0.4


def _keep(depth: np.ndarray) -> float:
    """Probability of keeping a view: small rooms give many close views of one surface, recordings few."""
    return float(np.interp(np.nanmedian(depth), (0.4, 0.8, 1.6, 2.4), (0.2, 0.3, 0.6, 1.0)))


def views_of_room(
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
    """Views of one room; fewer than `count` only if the room has too little free space. See sample_views."""
    renderer = renderer or shared_renderer()
    owner = object()
    made = 0
    for _ in range(8 * count):
        if made == count:
            return
        if renderer.owner is not owner:
            renderer.load(scene)
            renderer.owner = owner
        fov = horizontal_fov or math.radians(rng.uniform(50, 100))
        camera = Camera.from_fov(width, height, fov)
        pose = _random_pose(scene, rng)
        light, depth = renderer.render(camera, pose, supersample)
        if not is_usable(depth) or rng.random() > _keep(depth):
            continue
        image = photograph(light, CameraLook.random(rng), rng)
        made += 1
        yield SimView(image, depth, camera, describe(scene, depth, camera, pose, rng), pose)


def sample_views(
    seed: int,
    count: int,
    width: int,
    height: int,
    *,
    horizontal_fov: float | None = None,
    supersample: int = 2,
    views_per_room: int = VIEWS_PER_ROOM,
) -> Iterator[SimView]:
    """Random robot and hand-held views of random rooms, `views_per_room` of each.

    Args:
        seed: selects the sequence; the same seed gives the same views. Seeds s and s + 1 are independent.
        count: how many views.
        width, height: size of the images, pixels.
        horizontal_fov: field of view in radians; None draws 50 to 100 degrees per view.
        supersample: samples per pixel and axis.

    Raises Clip2DepthError if MuJoCo or OpenGL is missing, or if a size is not positive.
    """
    if count < 0 or width <= 0 or height <= 0:
        raise Clip2DepthError(
            f"sample_views: cannot make {count} views of {width}x{height}; give positive numbers."
        )
    made, room = 0, 0
    while made < count:
        room_seed = seed * 1_000_003 + room
        room += 1
        rng = np.random.default_rng([13, room_seed])
        wanted = min(views_per_room, count - made)
        for view in views_of_room(
            make_room(room_seed),
            rng,
            wanted,
            width,
            height,
            horizontal_fov=horizontal_fov,
            supersample=supersample,
        ):
            made += 1
            yield view
