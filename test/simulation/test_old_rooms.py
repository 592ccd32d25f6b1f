# SPDX-License-Identifier: Apache-2.0
"""Rooms and drives never change, because demo, benchmarks, weights and rendered shards depend on them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from clip2depth_ros.simulation.drives.drive import Drive
from clip2depth_ros.simulation.rooms import make_room
from clip2depth_ros.simulation.scene.scene import Scene
from clip2depth_ros.simulation.views.views import views_of_room

ROOMS = {
    0: (
        "2c1b346c4109020f",
        [100.1, 82.4, 48.8, 54.9],
        2.966,
        "a dark living room with two windows, a floor lamp, a chair and a wooden stool at 6 metres, the wall "
        "a few metres away",
    ),
    3: ("3e92d3c73b2d0a25", [85.8, 92.8, 88.6, 66.5], 1.219, "a ladder inside a bright storage room"),
    17: (
        "3132ef6f47da37f0",
        [39.6, 52.1, 11.2, 20.0],
        1.402,
        "a view in a dark kitchen, the wall is near",
    ),
}
"""Seed: hash of its parts, brightness of its first view's quarters, that view's median depth and caption."""


def parts_hash(scene: Scene) -> str:
    """Hash of every part's shape, size, pose and paint, to a micrometer."""
    digest = hashlib.sha256()
    for part in scene.parts:
        numbers = (*part.size, *part.position, *part.rotation.ravel(), *part.paint.rgb)
        # Adding 0.0 turns minus zero into zero.
        rounded = [round(float(value), 6) + 0.0 for value in numbers]
        digest.update(repr((part.shape, rounded, part.paint.texture)).encode())
    return digest.hexdigest()[:16]


def quarters(image: np.ndarray) -> np.ndarray:
    """Mean brightness of the four quarters of a 64 x 48 image."""
    return image.reshape(2, 24, 2, 32, 3).mean((1, 3, 4)).ravel()


@pytest.mark.parametrize("seed", ROOMS)
def test_rooms_are_unchanged(seed):
    assert parts_hash(make_room(seed)) == ROOMS[seed][0]


@pytest.mark.parametrize("seed", ROOMS)
def test_views_are_unchanged(renderer, seed):
    _, light, depth, caption = ROOMS[seed]
    view = next(views_of_room(make_room(seed), np.random.default_rng([13, seed]), 1, 64, 48))
    # Drivers differ by at most one gray level.
    np.testing.assert_allclose(quarters(view.image), light, atol=1.5)
    assert np.nanmedian(view.depth) == pytest.approx(depth, rel=2e-3)
    assert view.caption == caption


def test_drives_are_unchanged(renderer):
    frame = Drive(1, 64, 48).frame(3)
    np.testing.assert_allclose(quarters(frame.image), [53.2, 74.9, 36.3, 31.7], atol=1.5)
    assert np.nanmedian(frame.depth) == pytest.approx(3.778, rel=2e-3)
