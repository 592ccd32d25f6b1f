# SPDX-License-Identifier: Apache-2.0
"""Captions name the kind of place of a view, in every form."""

from __future__ import annotations

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.simulation.places import PLACES
from clip2depth_ros.simulation.rooms import ROOMS
from clip2depth_ros.simulation.scene.scene import Scene, Thing
from clip2depth_ros.simulation.views import captions
from clip2depth_ros.simulation.views.captions import describe, place_in

KINDS = sorted({*ROOMS, *PLACES})
SEEN = [(Thing("office chair", "blue"), 1.2), (Thing("kitchen cabinet"), 2.0), (Thing("box"), 2.5)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seen", [SEEN, SEEN[:1], []], ids=("things", "one thing", "nothing"))
def test_the_place_is_found_in_every_caption(kind, seen, monkeypatch):
    monkeypatch.setattr(captions, "visible_things", lambda *_: seen)
    scene = Scene(kind, 8.0, 8.0, 2.6)
    scene.words += ["dark", "wooden floor"]
    camera, depth = Camera.from_fov(8, 6, 1.0), np.full((6, 8), 2.0, np.float32)
    made = {describe(scene, depth, camera, np.eye(4), np.random.default_rng(seed)) for seed in range(60)}
    assert len(made) > 3
    assert {place_in(caption, KINDS) for caption in made} == {kind}


def test_things_named_after_a_place_do_not_name_the_place():
    for caption in (
        "an office chair and a box",
        "a box, an office chair",
        "a hall of mirrors",
        "",
        "a wall 2 m away",
    ):
        assert place_in(caption, KINDS) is None
