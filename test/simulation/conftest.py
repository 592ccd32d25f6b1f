# SPDX-License-Identifier: Apache-2.0
"""The simulator's tests need MuJoCo (the sim extra); some of its tests need no OpenGL."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from clip2depth_ros.simulation.scene import Light, Paint, Scene


@pytest.fixture(scope="session")
def renderer():
    """This process's renderer."""
    if find_spec("mujoco") is None:
        pytest.skip("MuJoCo is not installed (the sim extra)")
    from clip2depth_ros.simulation.renderer import shared_renderer

    return shared_renderer()


@pytest.fixture
def box_scene():
    """Function that makes a lit scene of boxes: box_scene((centre, extent, rgb), ...) -> Scene."""

    def make(*boxes) -> Scene:
        scene = Scene("test", 10.0, 10.0, 3.0)
        for centre, extent, rgb in boxes:
            scene.thing("box", 0, 0).box(centre, extent, Paint(rgb, specular=0.0, emission=1.0))
        scene.lights = [Light((5.0, 0.0, 2.5), (0.0, 0.0, -1.0), (0.1, 0.1, 0.1))]
        scene.ambient = (0.0, 0.0, 0.0)
        scene.finish()
        return scene

    return make
