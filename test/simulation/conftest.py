# SPDX-License-Identifier: Apache-2.0
"""The simulator's tests need MuJoCo (the sim extra); some need no OpenGL."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from clip2depth_ros.simulation.scene.scene import BOX, CAPSULE, ELLIPSOID, SPHERE, Light, Paint, Scene


@pytest.fixture(scope="session")
def renderer():
    """This process's renderer."""
    if find_spec("mujoco") is None:
        pytest.skip("MuJoCo is not installed (the sim extra)")
    from clip2depth_ros.simulation.rendering.renderer import shared_renderer

    return shared_renderer()


@pytest.fixture
def box_scene():
    """Function that creates a lit scene of boxes: box_scene((center, extent, rgb), ...) -> Scene."""

    def make(*boxes) -> Scene:
        scene = Scene("test", 10.0, 10.0, 3.0)
        for center, extent, rgb in boxes:
            scene.thing("box", 0, 0).box(center, extent, Paint(rgb, specular=0.0, emission=1.0))
        scene.lights = [Light((5.0, 0.0, 2.5), (0.0, 0.0, -1.0), (0.1, 0.1, 0.1))]
        scene.ambient = (0.0, 0.0, 0.0)
        scene.finish()
        return scene

    return make


@pytest.fixture(scope="session")
def extent():
    """Function from parts to their exact lowest and highest corner: extent(parts) -> ((3,), (3,)), meters."""

    def reach(part) -> np.ndarray:
        radius, _, half = part.size
        if part.shape == BOX:
            return np.abs(part.rotation) @ part.size
        if part.shape in (SPHERE, ELLIPSOID):
            return np.sqrt(((part.rotation * np.array(part.size)) ** 2).sum(1))
        axis = np.abs(part.rotation[:, 2])
        disc = radius if part.shape == CAPSULE else radius * np.sqrt(np.maximum(1 - axis**2, 0))
        return axis * half + disc

    def measure(parts) -> tuple[np.ndarray, np.ndarray]:
        low = np.min([part.position - reach(part) for part in parts], axis=0)
        high = np.max([part.position + reach(part) for part in parts], axis=0)
        return low, high

    return measure
