# SPDX-License-Identifier: Apache-2.0
"""Fitted kitchens stand along free walls and keep doors and windows clear. No OpenGL needed."""

from __future__ import annotations

import numpy as np
import pytest

from clip2depth_ros.simulation.furniture.layout import Layout
from clip2depth_ros.simulation.kitchens.fitted_kitchen import fit_kitchen
from clip2depth_ros.simulation.kitchens.kitchen_runs import DEPTH
from clip2depth_ros.simulation.scene.openings import Opening, in_front, walls_of
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Scene, rectangle, rectangles_overlap
from clip2depth_ros.simulation.views.viewpoints import Solids

DOOR = Opening("door", 1.2, 0.9, 0.0, 2.0)
WINDOW = Opening("window", 1.0, 1.4, 0.95, 2.1)


class Fitted:
    """A kitchen of a seed in a room of 3.4 by 4.2 meters, with a door in wall 0 and a window in wall 2."""

    def __init__(self, seed: int, width: float = 3.4, length: float = 4.2):
        self.scene = Scene("kitchen", width, length, 2.5)
        layout = Layout(self.scene, PlacePalette(np.random.default_rng(seed), "kitchen"))
        self.plan = [[DOOR], [], [WINDOW], []]
        wall = walls_of(self.scene)[0]
        at = in_front(wall, DOOR.start + DOOR.width / 2, 0.35)
        self.door = rectangle(*at, wall.yaw, DOOR.width, 0.7)
        self.scene.footprints.append(self.door)
        self.done = fit_kitchen(layout, self.plan)
        self.scene.finish()

    @property
    def counters(self):
        return [thing for thing in self.scene.things if thing.name == "kitchen counter"]


@pytest.fixture(scope="module")
def kitchens():
    return [Fitted(seed) for seed in range(30)]


def test_every_room_with_free_walls_gets_a_kitchen_mostly_around_a_corner(kitchens):
    assert all(kitchen.done for kitchen in kitchens)
    counts = [len(kitchen.counters) for kitchen in kitchens]
    assert {1, 2} <= set(counts) <= {1, 2, 3}
    assert np.mean(np.array(counts) >= 2) > 0.5
    names = {thing.name for kitchen in kitchens for thing in kitchen.scene.things}
    assert {"sink", "hob", "oven", "dishwasher", "kitchen cabinet", "kettle", "chopping board"} <= names


def test_all_of_it_is_in_the_room_and_on_the_floor(kitchens, extent):
    for kitchen in kitchens:
        low, high = extent(kitchen.scene.parts)
        assert (low > (-0.011, -0.011, -0.001)).all()
        assert (high < (3.4 + 0.011, 4.2 + 0.011, 2.501)).all()


def test_worktops_are_at_their_height(kitchens, extent):
    for kitchen in kitchens:
        for counter in kitchen.counters:
            parts = kitchen.scene.parts[counter.first : counter.last]
            levels = [extent([p]) for p in parts if 0.8 < p.position[2] < 0.94]
            low, high = max(levels, key=lambda span: np.prod((span[1] - span[0])[:2]))
            assert 0.85 < high[2] < 0.95
            assert 0.02 < (high - low)[2] < 0.07


def test_doors_stay_free(kitchens):
    for kitchen in kitchens:
        mine = [f for f in kitchen.scene.footprints if f is not kitchen.door]
        assert len(mine) == len(kitchen.counters)
        assert not any(rectangles_overlap(kitchen.door, f) for f in mine)


def test_nothing_hangs_in_front_of_a_window(kitchens, extent):
    x0, x1 = 3.4 - WINDOW.start - WINDOW.width, 3.4 - WINDOW.start  # wall 2 runs the other way
    for kitchen in kitchens:
        for thing in kitchen.scene.things:
            if thing.name == "kitchen cabinet":
                for part in kitchen.scene.parts[thing.first : thing.last]:
                    low, high = extent([part])
                    before = high[1] > 4.2 - 0.2 and low[0] < x1 - 0.01 and high[0] > x0 + 0.01
                    assert not before


def test_a_sink_is_a_basin(kitchens):
    depths = []
    for kitchen in kitchens:
        solids = Solids(kitchen.scene)
        for thing in kitchen.scene.things:
            if thing.name == "sink":
                bottom = kitchen.scene.parts[thing.first].position
                clear = solids.ray(bottom + (0.0, 0.0, 0.02), np.array([0.0, 0.0, 1.0]))
                depths.append(solids.ray(bottom + (0.0, 0.0, 0.15), np.array([0.0, 0.0, -1.0])))
                assert clear > 0.02
    assert len(depths) > 20
    assert np.median(depths) == pytest.approx(0.145, abs=0.01)


def test_counters_do_not_overlap(kitchens):
    for kitchen in kitchens:
        prints = [f for f in kitchen.scene.footprints if f is not kitchen.door]
        for i, one in enumerate(prints):
            assert not any(rectangles_overlap(one, other, -0.05) for other in prints[:i])
        for corners in prints:
            sides = np.hypot(*(corners[1] - corners[0])), np.hypot(*(corners[3] - corners[0]))
            assert min(sides) == pytest.approx(DEPTH + 0.04)


def test_a_tiny_room_gets_no_kitchen():
    kitchen = Fitted(0, 1.3, 1.3)
    assert not kitchen.done
    assert kitchen.scene.parts == []


def test_it_is_reproducible_by_seed():
    first, again, other = Fitted(3).scene, Fitted(3).scene, Fitted(4).scene
    assert [p.paint for p in first.parts] == [p.paint for p in again.parts]
    np.testing.assert_array_equal([p.position for p in first.parts], [p.position for p in again.parts])
    assert len(first.parts) != len(other.parts) or first.parts[0].paint != other.parts[0].paint
