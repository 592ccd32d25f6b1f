# SPDX-License-Identifier: Apache-2.0
"""Near things: crowded tops seen from 0.15 to 1.2 m, reproducible by seed."""

from __future__ import annotations

import numpy as np
import pytest

from clip2depth_ros.simulation.near_scenes import _top, hand, make_near_scene, tote
from clip2depth_ros.simulation.rendering.renderer import MAX_PARTS
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Scene
from clip2depth_ros.simulation.shards import views_of_seed
from clip2depth_ros.simulation.views.near_views import near_rng, views_of_near_scene
from clip2depth_ros.simulation.views.viewpoints import TOPS

from .test_old_rooms import parts_hash


@pytest.fixture(scope="module")
def scenes():
    return [make_near_scene(seed) for seed in range(8)]


def test_the_same_seed_gives_the_same_scene(scenes):
    assert parts_hash(scenes[2]) == parts_hash(make_near_scene(2))
    assert len({parts_hash(scene) for scene in scenes}) == len(scenes)
    assert all(len(scene.parts) <= MAX_PARTS for scene in scenes)


def test_tops_are_crowded_with_things(scenes):
    crowded = 0
    for scene in scenes:
        for thing in scene.things:
            if thing.name not in TOPS:
                continue
            top = _top(scene.parts[thing.first : thing.last])
            if top is None:
                continue
            middle, _, width, depth = top
            on = [
                other
                for other in scene.things
                if other.radius and np.hypot(*(other.centre - middle)[:2]) < max(width, depth) / 2
                if -0.05 < other.centre[2] - middle[2] < 0.6
            ]
            crowded += len(on)
    assert crowded > 40


def test_a_tote_holds_its_things_and_a_hand_has_five_fingers():
    palette = PlacePalette(np.random.default_rng(1), "office")
    for seed in range(20):
        palette.rng = np.random.default_rng(seed)
        scene = Scene("office", 4.0, 4.0, 2.5)
        tote(scene.thing("box", 2.0, 2.0), palette)
        places = np.array([part.position for part in scene.parts])
        assert (np.abs(places[:, :2] - 2.0) < 0.35).all() and (places[:, 2] >= 0).all()
    scene = Scene("office", 4.0, 4.0, 2.5)
    hand(scene.thing("hand", 2.0, 2.0, z=0.7), palette)
    assert (
        11 <= len(scene.parts) <= 12
    )  # forearm, palm, four fingers of two parts, a thumb, and the held thing


@pytest.mark.slow
def test_views_are_near_with_true_depth_and_captions():
    views = [view for seed in range(6) for view in views_of_seed("near", seed, 4, 64, 48)]
    assert len(views) >= 16
    medians = np.array([np.nanmedian(view.depth) for view in views])
    assert (medians < 2.2).all() and np.median(medians) < 0.8 and medians.min() < 0.4
    for view in views:
        assert np.nanmin(view.depth) >= 0.08 and view.caption
        assert view.image.shape == (48, 64, 3) and np.isfinite(view.depth).mean() > 0.4


@pytest.mark.slow
def test_the_same_seed_gives_the_same_views():
    scene = make_near_scene(3)
    first, second = (list(views_of_near_scene(scene, near_rng(3), 2, 48, 36)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.depth, b.depth)
