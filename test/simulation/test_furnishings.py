# SPDX-License-Identifier: Apache-2.0
"""Pieces of places stand on the floor, within their footprint, with realistic sizes. No OpenGL needed."""

from __future__ import annotations

import numpy as np
import pytest

from clip2depth_ros.simulation.furniture.furnishings import PIECES
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Scene

HEIGHTS = {
    "chair": (0.79, 1.06),
    "plastic chair": (0.75, 0.9),
    "tripod": (1.1, 1.95),
    "bicycle": (0.95, 1.15),
    "whiteboard on wheels": (1.8, 1.95),
    "fence": (2.0, 2.1),
    "pole": (2.6, 2.6),
    "boiler": (2.5, 2.6),
    "backpack": (0.35, 0.6),
}


def built(name: str, seed: int) -> tuple[Scene, float, float]:
    """A piece of the seed in the middle of an empty place, with its width and depth, meters."""
    piece = PIECES[name]
    rng = np.random.default_rng(seed)
    scene = Scene("office", 6.0, 6.0, 2.6)
    palette = PlacePalette(rng, "office")
    width, depth = rng.uniform(*piece.width), rng.uniform(*piece.depth)
    piece.make(scene.thing(name, 0.0, 0.0), palette, width, depth)
    return scene, width, depth


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_stands_on_its_footprint(name, extent):
    for seed in range(8):
        scene, width, depth = built(name, seed)
        low, high = extent(scene.parts)
        assert -0.012 < low[2] < 0.02, "it neither floats nor sinks"
        assert high[2] < 2.601, "it ends below the ceiling"
        assert max(high[0], -low[0]) < width / 2 + 0.15
        assert max(high[1], -low[1]) < depth / 2 + 0.15


@pytest.mark.parametrize("name", HEIGHTS)
def test_a_piece_has_a_realistic_height(name, extent):
    low, high = HEIGHTS[name]
    for seed in range(8):
        assert low - 1e-9 <= extent(built(name, seed)[0].parts)[1][2] <= high + 1e-9


@pytest.mark.parametrize(
    "name, low, high",
    [
        ("table", 0.70, 0.78),
        ("desk", 0.70, 0.77),
        ("coffee table", 0.35, 0.49),
        ("workbench", 0.89, 0.91),
        ("kitchen island", 0.89, 0.91),
        ("washing machine", 0.84, 0.86),
    ],
)
def test_tops_are_at_their_height(name, low, high, extent):
    for seed in range(8):
        scene, _, _ = built(name, seed)
        # A thing's own parts come first; things on it are separate.
        own = scene.parts[: scene.things[1].first] if len(scene.things) > 1 else scene.parts
        flat = [part for part in own if np.ptp(np.stack(extent([part])), axis=0)[:2].min() > 0.3]
        assert low <= max(extent([part])[1][2] for part in flat) <= high


def test_desks_and_shelves_hold_many_different_things():
    names = [
        t.name
        for name in ("desk", "shelf", "table", "rack")
        for s in range(8)
        for t in built(name, s)[0].things
    ]
    assert len(set(names)) > 20
    assert {"monitor", "keyboard", "sheet of paper", "mug"} <= set(names)
