# SPDX-License-Identifier: Apache-2.0
"""Every place is lit within the renderer's limits, in moods that its words name."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clip2depth_ros.simulation.scene.openings import plan_openings
from clip2depth_ros.simulation.scene.place_light import MAX_LIGHTS, light_place
from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Scene


def lit(seed: int, kind: str = "office", width: float = 5.0, length: float = 6.0) -> Scene:
    rng = np.random.default_rng(seed)
    scene = Scene(kind, width, length, 2.7)
    plan = plan_openings(rng, scene, doors=1, windows=2)
    light_place(scene, PlacePalette(rng, kind), plan)
    scene.finish()
    return scene


@pytest.mark.parametrize("kind", ["office", "hall", "basement", "yard", "street"])
def test_every_place_is_lit_within_the_renderers_limits(kind):
    for seed in range(40):
        scene = lit(seed, kind, 12.0, 15.0)
        assert 1 <= len(scene.lights) <= MAX_LIGHTS
        assert min(scene.ambient) > 0.1 and max(scene.ambient) < 1.0
        for light in scene.lights:
            assert min(light.colour) >= 0.0
            assert np.isfinite([*light.position, *light.direction]).all()
            assert math.hypot(*light.direction) > 0.1


def test_moods_differ_and_are_named():
    scenes = [lit(seed) for seed in range(60)]
    dark = [s for s in scenes if "dark" in s.words]
    bright = [s for s in scenes if "bright" in s.words]
    assert 2 <= len(dark) <= 25 and 2 <= len(bright) <= 25
    assert not [s for s in dark if s in bright]
    assert np.mean([s.ambient[0] for s in dark]) < 0.7 * np.mean([s.ambient[0] for s in bright])


def test_dark_places_are_more_frequent_in_cellars():
    share = {
        kind: np.mean(["dark" in lit(s, kind).words for s in range(80)]) for kind in ("basement", "office")
    }
    assert share["basement"] > share["office"]


def test_lamps_hang_inside_below_the_ceiling_and_above_heads():
    for seed in range(30):
        scene = lit(seed)
        lamps = [t for t in scene.things if t.name == "lamp"]
        assert lamps
        for lamp in lamps:
            x, y, z = lamp.centre
            assert 0 < x < scene.width and 0 < y < scene.length and 1.8 < z < scene.height


def test_outdoors_has_a_sun_and_no_lamp():
    scene = lit(3, "street")
    assert [light.parallel for light in scene.lights] == [True]
    assert scene.lights[0].direction[2] < 0
    assert not [t for t in scene.things if t.name == "lamp"]


def test_light_is_reproducible_by_seed():
    assert lit(5).lights == lit(5).lights
    assert lit(5).lights != lit(6).lights
