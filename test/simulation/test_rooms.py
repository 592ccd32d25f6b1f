# SPDX-License-Identifier: Apache-2.0
"""Rooms have realistic sizes, stand on their floor, and depend only on their seed. No OpenGL needed."""

from __future__ import annotations

import numpy as np
import pytest

from clip2depth_ros.simulation.furniture.catalogue import CATALOGUE
from clip2depth_ros.simulation.rooms import ROOMS, make_room
from clip2depth_ros.simulation.scene.palette import Palette
from clip2depth_ros.simulation.scene.people import Body, add_person
from clip2depth_ros.simulation.scene.scene import Scene, distance_to_rectangle, rectangle, rectangles_overlap
from clip2depth_ros.simulation.surfaces.textures import CUBE_SIZE, KINDS, SIZE, cube_texture, flat_texture


def extent(parts) -> tuple[np.ndarray, np.ndarray]:
    low = np.min([p.position - np.abs(p.rotation) @ p.size for p in parts], axis=0)
    high = np.max([p.position + np.abs(p.rotation) @ p.size for p in parts], axis=0)
    return low, high


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_piece_stays_near_its_footprint(name):
    piece = CATALOGUE[name]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        scene = Scene("office", 6.0, 6.0, 2.6)
        width, depth = rng.uniform(*piece.width), rng.uniform(*piece.depth)
        piece.make(scene.thing(name, 0.0, 0.0), Palette(rng), width, depth)
        low, high = extent(scene.parts)
        spill = 0.45 if name == "plant" else 0.15
        assert (low[:2] > (-width / 2 - spill, -depth / 2 - spill)).all()
        assert (high[:2] < (width / 2 + spill, depth / 2 + spill)).all()
        assert -0.02 < low[2] < 0.08, "it neither floats nor sinks"
        assert 0.1 < high[2] < 2.8
        assert len(scene.parts) >= 1


@pytest.mark.parametrize("kind", ROOMS)
def test_a_room_contains_the_required_pieces(kind):
    scene = make_room(5, kind=kind)
    room = ROOMS[kind]
    for side, span in zip((scene.width, scene.length, scene.height), room[1:4], strict=True):
        assert span[0] <= side <= span[1]
    assert 30 < len(scene.parts) <= 1500
    assert scene.lights
    names = {thing.name for thing in scene.things}
    assert {"floor", "ceiling", "wall"} <= names
    assert names & set(CATALOGUE) or kind in ("corridor", "bathroom")


def test_pieces_do_not_overlap():
    for seed in range(6):
        prints = make_room(seed, people=0).footprints
        deep = [
            (i, j)
            for i in range(len(prints))
            for j in range(i)
            if rectangles_overlap(prints[i], prints[j], -0.2)  # chairs may be pushed under a table
        ]
        assert not deep


def test_a_room_is_reproducible_by_seed():
    first, again, other = make_room(8), make_room(8), make_room(9)
    assert len(first.parts) == len(again.parts)
    for a, b in zip(first.parts, again.parts, strict=True):
        np.testing.assert_array_equal(a.position, b.position)
        np.testing.assert_array_equal(a.rotation, b.rotation)
        assert (a.shape, a.size, a.paint) == (b.shape, b.size, b.paint)
    assert first.lights == again.lights
    assert (first.width, first.length) != (other.width, other.length)


@pytest.mark.parametrize("kind", KINDS)
def test_textures(kind):
    flat = flat_texture(kind, 1)
    assert flat.shape == (SIZE, SIZE, 3) and flat.dtype == np.uint8
    assert flat.std() > 1.5, "a surface, not a uniform color"
    assert not np.array_equal(flat, flat_texture(kind, 2))
    assert cube_texture(kind, 1).shape == (6 * CUBE_SIZE, CUBE_SIZE, 3)


def test_a_person_has_a_realistic_height_and_walks_on_the_floor():
    rng = np.random.default_rng(0)
    body = Body.random(Palette(rng))
    for phase in np.linspace(0, 6.28, 7):
        scene = Scene("", 1.0, 1.0, 1.0)
        add_person(scene, body, 2.0, 3.0, 0.5, phase, 0.4)
        low, high = extent(scene.parts)
        assert -0.03 < low[2] < 0.06
        assert high[2] == pytest.approx(body.height, abs=0.12)
        assert np.abs((low + high)[:2] / 2 - (2.0, 3.0)).max() < 0.25


def test_rectangles():
    square = rectangle(0, 0, 0, 2, 2)
    assert rectangles_overlap(square, rectangle(1.5, 0, 0.3, 2, 2))
    assert not rectangles_overlap(square, rectangle(3.5, 0, 0.0, 2, 2))
    assert rectangles_overlap(square, rectangle(2.2, 0, 0, 2, 2), gap=0.3)
    assert not rectangles_overlap(rectangle(1.9, 1.9, np.pi / 4, 1, 1), square)
    assert distance_to_rectangle(np.array([0.5, 0.5]), square) == 0
    assert distance_to_rectangle(np.array([4.0, 5.0]), square) == pytest.approx(5.0)
