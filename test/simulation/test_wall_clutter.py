# SPDX-License-Identifier: Apache-2.0
"""Things on walls are attached to them, clear of doors, windows, furniture and each other. No OpenGL."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from clip2depth_ros.simulation.scene.openings import Opening, walls_of
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Paint, Scene
from clip2depth_ros.simulation.walls.wall_clutter import HUNG, dress_walls

DOOR = Opening("door", 1.0, 0.9, 0.0, 2.0)
WINDOW = Opening("window", 3.0, 1.5, 0.9, 2.2)


@pytest.mark.parametrize("name", HUNG)
def test_a_thing_hangs_on_its_wall(name, extent):
    hung = HUNG[name]
    for seed in range(8):
        rng = np.random.default_rng(seed)
        scene, palette = Scene("office", 6.0, 6.0, 2.6), PlacePalette(rng, "office")
        width = rng.uniform(*hung.width)
        hung.make(scene.thing(name, 0.0, 0.0), palette, 3.0, width, rng.uniform(1.4, 1.65))
        low, high = extent(scene.parts)
        # Radiators are on brackets, curtains on a rod.
        away = 0.08 if name in ("radiator", "curtain") else 0.03
        assert -0.001 < low[1] < away, "it neither sinks into the wall nor floats before it"
        assert high[1] < hung.deep + 0.02
        assert 3.0 - width / 2 - 0.1 < low[0] and high[0] < 3.0 + width / 2 + 0.1
        assert low[2] > -0.001 and high[2] < 2.601
        assert hung.low - 0.1 < low[2] and high[2] < hung.high + 0.12


def dressed(seed: int, kind: str = "kitchen") -> Scene:
    """A place of 6 by 5 m, door and window in wall 0, a cupboard in front of wall 1, with dressed walls."""
    scene = Scene(kind, 6.0, 5.0, 2.6)
    scene.thing("cupboard", 5.7, 2.0).box((0, 0, 1.0), (0.55, 1.2, 2.0), Paint((0.5, 0.5, 0.5)))
    dress_walls(scene, PlacePalette(np.random.default_rng(seed), kind), [[DOOR, WINDOW], [], [], []])
    scene.finish()
    return scene


@pytest.mark.parametrize("kind", ["kitchen", "office", "basement", "living room", "yard"])
def test_things_on_walls_keep_clear(kind, extent):
    hung = 0
    for seed in range(4):
        scene = dressed(seed, kind)
        for wall in walls_of(scene):
            inward = np.array([-np.sin(wall.yaw), np.cos(wall.yaw)])
            along = np.array([np.cos(wall.yaw), np.sin(wall.yaw)])
            spans = []
            for thing in [t for t in scene.things if t.name in HUNG]:
                low, high = extent(scene.parts[thing.first : thing.last])
                middle = (low + high)[:2] / 2 - (wall.x, wall.y)
                half = np.abs(along) @ (high - low)[:2] / 2
                if middle @ inward < 0.4:
                    spans.append((middle @ along - half, middle @ along + half, low[2], high[2]))
            hung += len(spans)
            for a, b in combinations(spans, 2):
                apart = a[1] < b[0] + 0.1 or b[1] < a[0] + 0.1 or a[3] < b[2] + 0.25 or b[3] < a[2] + 0.25
                assert apart
            if wall.yaw == 0:
                for x0, x1, z0, z1 in spans:
                    for o in (DOOR, WINDOW):
                        over = x0 < o.start + o.width - 0.05 and x1 > o.start + 0.05
                        assert not over or z1 < o.low + 0.05 or z0 > o.high - 0.05
    assert hung > 20


def test_nothing_hangs_behind_a_cupboard(extent):
    for seed in range(8):
        scene = dressed(seed)
        for thing in [t for t in scene.things if t.name in HUNG]:
            low, high = extent(scene.parts[thing.first : thing.last])
            if low[0] > 5.6:
                assert low[2] > 1.95 or high[1] < 1.45 or low[1] > 2.55


def test_it_is_reproducible_by_seed():
    first, again = dressed(2), dressed(2)
    assert [t.name for t in first.things] == [t.name for t in again.things]
    assert [p.paint for p in first.parts] == [p.paint for p in again.parts]
    assert [t.name for t in first.things] != [t.name for t in dressed(3).things]


def test_a_radiator_occupies_the_floor_in_front():
    for seed in range(8):
        scene = dressed(seed, "office")
        radiators = [t for t in scene.things if t.name == "radiator"]
        if radiators:
            assert len(scene.footprints) >= len(radiators)
            return
    pytest.fail("no radiator in eight offices")
