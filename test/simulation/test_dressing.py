# SPDX-License-Identifier: Apache-2.0
"""Small things have realistic sizes and stand on their surface without overlaps. No OpenGL needed."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Scene
from clip2depth_ros.simulation.small_things.dressing import SMALL, THEMES, dress, put_on

# Range of the larger of width and depth, and range of the height, meters.
SIZES = {
    "mug": ((0.07, 0.13), (0.07, 0.12)),
    "bottle": ((0.06, 0.10), (0.2, 0.35)),
    "stack of paper": ((0.29, 0.32), (0.01, 0.09)),
    "open book": ((0.28, 0.42), (0.01, 0.05)),
    "kettle": ((0.15, 0.25), (0.18, 0.28)),
    "toaster": ((0.25, 0.35), (0.15, 0.22)),
    "microwave": ((0.45, 0.52), (0.25, 0.32)),
    "laptop": ((0.30, 0.42), (0.2, 0.27)),
    "monitor": ((0.40, 0.72), (0.3, 0.65)),
    "keyboard": ((0.40, 0.48), (0.015, 0.03)),
    "toolbox": ((0.33, 0.52), (0.2, 0.3)),
}


@pytest.fixture
def place():
    """Function that makes an empty scene and a palette from a seed: place(seed) -> (scene, palette)."""

    def make(seed: int) -> tuple[Scene, PlacePalette]:
        return Scene("office", 6.0, 6.0, 2.6), PlacePalette(np.random.default_rng(seed), "office")

    return make


@pytest.mark.parametrize("name", SMALL)
def test_a_small_thing_stands_where_it_is_put(name, place, extent):
    for seed in range(12):
        scene, palette = place(seed)
        SMALL[name].make(scene.thing(name, 0.0, 0.0), palette)
        low, high = extent(scene.parts)
        assert -0.001 <= low[2] < 0.006, "it neither floats nor sinks"
        assert 0.002 < high[2] < 0.65
        assert max(high[:2].max(), -low[:2].min()) < 1.3 * SMALL[name].radius + 0.01


@pytest.mark.parametrize("name", SIZES)
def test_a_small_thing_has_a_realistic_size(name, place, extent):
    across, tall = SIZES[name]
    for seed in range(12):
        scene, palette = place(seed)
        SMALL[name].make(scene.thing(name, 0.0, 0.0), palette)
        low, high = extent(scene.parts)
        assert across[0] <= (high - low)[:2].max() <= across[1]
        assert tall[0] <= high[2] <= tall[1]


@pytest.mark.parametrize("theme", THEMES)
def test_things_on_a_top_keep_apart_and_stay_on_it(theme, place, extent):
    put = 0
    for seed in range(6):
        scene, palette = place(seed)
        taken: list[tuple[float, float, float]] = []
        dress(scene.thing("table", 0.0, 0.0), palette, theme, (-0.8, 0.8, -0.4, 0.4), 0.75, 12, taken=taken)
        put += len(taken)
        assert len(taken) == len(scene.things) - 1 <= 12
        for (x, y, r), (u, v, s) in combinations(taken, 2):
            assert np.hypot(x - u, y - v) >= 0.85 * (r + s)
        low, high = extent(scene.parts)
        assert low[2] > 0.749
        # Only the edge of a thing may extend over the edge of a top.
        assert np.abs([low[0], high[0]]).max() < 0.9 and np.abs([low[1], high[1]]).max() < 0.5
    assert put > 20


def test_nothing_is_put_where_the_clear_height_is_too_small(place, extent):
    scene, palette = place(4)
    board = scene.thing("shelf", 1.0, 2.0, z=0.5)
    dress(board, palette, "kitchen", (-2.0, 2.0, -0.3, 0.3), 0.4, 60, clear=0.15)
    assert len(scene.things) > 5
    assert extent(scene.parts)[1][2] <= 0.5 + 0.4 + 0.15 + 1e-9
    assert all(thing.last > thing.first for thing in scene.things[1:])
    assert scene.things[-1].last == len(scene.parts)


def test_a_thing_put_on_another_follows_its_frame(place):
    scene, _ = place(0)
    desk = scene.thing("desk", 2.0, 1.0, np.pi / 2, z=0.1)
    mug = put_on(desk, "mug", 0.5, 0.0, 0.7, np.pi / 2)
    np.testing.assert_allclose(mug.origin, (2.0, 1.5, 0.8), atol=1e-12)
    np.testing.assert_allclose(mug.rotation @ (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), atol=1e-12)
    assert scene.things[-1].name == "mug"
