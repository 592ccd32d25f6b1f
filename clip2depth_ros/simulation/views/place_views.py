# SPDX-License-Identifier: Apache-2.0
"""Images of places with true depth and captions, for training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.simulation.photography.sensor import SensorLook, expose
from clip2depth_ros.simulation.rendering.renderer import Renderer, shared_renderer
from clip2depth_ros.simulation.rendering.shade import shade
from clip2depth_ros.simulation.scene.scene import Scene
from clip2depth_ros.simulation.views.captions import describe
from clip2depth_ros.simulation.views.viewpoints import viewpoint
from clip2depth_ros.simulation.views.views import SimView, is_usable

TRIES = 10
"""Number of poses that are tried for each view."""


def place_rng(seed: int) -> np.random.Generator:
    """The random generator of the views of place `seed`."""
    return np.random.default_rng([43, seed])


def field_of_view(rng: np.random.Generator) -> float:
    """Field of view of a camera: mostly depth cameras and phones, some wide lenses of robots; radians."""
    low, high = (52, 66) if rng.random() < 0.5 else (60, 80) if rng.random() < 0.7 else (80, 100)
    return math.radians(rng.uniform(low, high))


def _keep(depth: np.ndarray) -> float:
    """Probability of keeping a view, by its median depth: views with only near surfaces are too frequent."""
    return float(np.interp(np.nanmedian(depth), (0.4, 0.8, 1.4, 2.0, 2.8), (0.15, 0.4, 0.55, 0.75, 1.0)))


def views_of_place(
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
    """Views of one place; fewer than `count` only if it has too little free space.

    Args:
        scene: from make_place.
        rng: place_rng of the place's seed gives the views of the shards.
        count: how many views.
        width, height: size of the images, pixels.
        horizontal_fov: field of view in radians; None draws 52 to 100 degrees per view.
        supersample: samples per pixel and axis.
        renderer: None for this thread's own.

    Raises Clip2DepthError if MuJoCo or OpenGL is missing.
    """

    def aim(rng: np.random.Generator) -> tuple[Camera, np.ndarray]:
        camera = Camera.from_fov(width, height, horizontal_fov or field_of_view(rng))
        return camera, viewpoint(scene, rng)

    return aimed_views(
        scene, rng, count, aim, tries=TRIES, is_usable=is_usable, keep=_keep, supersample=supersample,
        renderer=renderer,
    )  # fmt: skip


def aimed_views(
    scene: Scene,
    rng: np.random.Generator,
    count: int,
    aim: Callable[[np.random.Generator], tuple[Camera, np.ndarray] | None],
    *,
    tries: int,
    is_usable: Callable[[np.ndarray], bool],
    keep: Callable[[np.ndarray], float],
    supersample: int,
    renderer: Renderer | None,
) -> Iterator[SimView]:
    """At most `count` views of one scene, from up to `tries` poses for each view.

    aim: draws a camera and its pose (4, 4), optical frame to world in meters; None where there is none.
    is_usable, keep: by a view's depth (H, W), meters: whether it can be used, and the chance to keep it.
    """
    renderer = renderer or shared_renderer()
    owner = object()
    made = 0
    for _ in range(tries * count):
        if made == count:
            return
        aimed = aim(rng)
        if aimed is None:
            continue
        if renderer.owner is not owner:
            renderer.load(scene)
            renderer.owner = owner
        camera, pose = aimed
        light, depth = renderer.render(camera, pose, supersample)
        if not is_usable(depth) or rng.random() > keep(depth):
            continue
        caption = describe(scene, depth, camera, pose, rng)
        look = SensorLook.random(rng, dark="dark" in scene.words)
        image, depth = expose(shade(light, depth, camera), depth, look, rng)
        made += 1
        yield SimView(image, depth, camera, caption, pose)
