# SPDX-License-Identifier: Apache-2.0
"""Places have realistic sizes, are reproducible by seed, and are viewed realistically with true depth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.simulation.places import PLACES, PlaceLayout, make_place
from clip2depth_ros.simulation.rendering.renderer import CUBE_SLOTS, FLAT_SLOTS, MAX_PARTS, OPEN_AIR
from clip2depth_ros.simulation.scene.openings import walls_of
from clip2depth_ros.simulation.scene.place_kinds import OUTDOORS
from clip2depth_ros.simulation.scene.scene import Paint, Scene, Thing
from clip2depth_ros.simulation.views import captions
from clip2depth_ros.simulation.views.captions import describe
from clip2depth_ros.simulation.views.place_views import place_rng, views_of_place
from clip2depth_ros.simulation.views.views import is_usable, look_pose, room_ray
from clip2depth_ros.simulation.walls.shell import build_walls_of_place, lay_ground

from .test_old_rooms import parts_hash


@pytest.fixture(scope="module")
def places():
    """Two places of every kind."""
    return [make_place(seed, kind) for kind in PLACES for seed in (3, 4)]


def things(places, name):
    """Extents (n, 2, 3) low and high of all things of that name, and the parts of each."""
    found = [(scene, thing) for scene in places for thing in scene.things if thing.name == name]
    return [scene.parts[thing.first : thing.last] for scene, thing in found if thing.last > thing.first]


def top(parts, size=0.0):
    """Height of the uppermost level face that is at least `size` wide in both directions, meters."""
    tops = []
    for part in parts:
        reach = np.abs(part.rotation) @ part.size
        if 2 * min(reach[:2]) >= size:
            tops.append(part.position[2] + reach[2])
    return max(tops)


def test_every_kind_can_be_built(places):
    for scene in places:
        kind = PLACES[scene.kind]
        for side, span in (
            (scene.width, kind.width),
            (scene.length, kind.length),
            (scene.height, kind.height),
        ):
            assert span[0] <= side <= span[1]
        assert 50 < len(scene.parts) <= MAX_PARTS and len(scene.lights) <= 7
        assert all(np.isfinite(part.position).all() for part in scene.parts)
        painted = [part.paint for part in scene.parts if part.paint.texture]
        assert len({paint.texture for paint in painted if not paint.cube}) <= FLAT_SLOTS
        assert len({paint.texture for paint in painted if paint.cube}) <= CUBE_SLOTS
        assert (scene.sky is not None) == (scene.kind in OUTDOORS)
    with pytest.raises(Clip2DepthError, match="no place of kind 'attic'"):
        make_place(1, "attic")


def test_the_pieces_that_places_name_exist():
    assert sum(place.share for place in PLACES.values()) == pytest.approx(1.0, abs=1e-6)
    for place in PLACES.values():
        assert set(place.first + place.more) <= set(PlaceLayout.catalogue)
        assert place.rows is None or place.rows[0] in PlaceLayout.catalogue


@pytest.mark.parametrize(
    ("name", "size", "low", "high"),
    [
        ("table", 0.5, 0.70, 0.78),
        ("desk", 0.5, 0.68, 0.78),
        ("kitchen counter", 0.5, 0.86, 0.95),
        ("workbench", 0.5, 0.82, 0.95),
        ("crate", 0.25, 0.15, 1.7),
        ("door", 0.0, 1.98, 2.2),
        ("rack", 0.3, 1.5, 2.8),
        ("person", 0.0, 1.4, 2.0),
        ("car", 0.5, 1.3, 2.1),
    ],
)
def test_heights_are_realistic(places, name, size, low, high):
    heights = [top(parts, size) for parts in things(places, name)]
    assert heights, f"no {name} in any of the places"
    assert low <= min(heights) and max(heights) <= high


def test_seats_have_realistic_heights(places):
    seats = []
    for parts in things(places, "chair"):
        level = [p for p in parts if min(2 * (np.abs(p.rotation) @ p.size)[:2]) > 0.3]
        seats.append(min(p.position[2] + (np.abs(p.rotation) @ p.size)[2] for p in level))
    assert len(seats) > 10
    assert min(seats) >= 0.40 and max(seats) <= 0.52


def test_the_same_seed_gives_the_same_bytes(renderer):
    one, two = (list(views_of_place(make_place(9), place_rng(9), 2, 64, 48)) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert a.image.tobytes() == b.image.tobytes() and a.depth.tobytes() == b.depth.tobytes()
        assert a.caption == b.caption and a.camera == b.camera
    assert parts_hash(make_place(9)) != parts_hash(make_place(10))


@pytest.mark.slow
def test_views_are_distributed_like_recordings(renderer):
    views = [
        view for seed in range(12) for view in views_of_place(make_place(seed), place_rng(seed), 3, 64, 48)
    ]
    assert len(views) >= 34
    for view in views:
        assert view.image.shape == (48, 64, 3) and view.image.dtype == np.uint8
        assert view.depth.shape == (48, 64) and view.depth.dtype == np.float32
        assert 51 < math.degrees(2 * math.atan(32 / view.camera.fx)) < 101
        assert 0.1 < view.pose[2, 3] < 2.0 and len(view.caption.split()) >= 3
        assert is_usable(view.depth) and np.nanmax(view.depth) < 65.5
    medians = np.array([np.nanmedian(view.depth) for view in views])
    low, middle, high = np.percentile(medians, (5, 50, 95))
    assert 0.5 < low < 1.8 and 1.8 < middle < 3.3 and 3.5 < high < 9
    brightness = [view.image.mean() for view in views]
    assert np.percentile(brightness, 10) < 90 and np.percentile(brightness, 90) > 115


def test_captions_name_things_of_places(monkeypatch):
    names = ["leaning boards", "sheet of paper", "sheet of paper", "rack", "mug", "car", "tree"]
    seen = [(Thing(name), 1.0 + k) for k, name in enumerate(names)]
    monkeypatch.setattr(captions, "visible_things", lambda *_: seen)
    scene, camera, depth = Scene("workshop", 8, 8, 3), Camera.from_fov(8, 6, 1.0), np.ones((6, 8), np.float32)
    made = [describe(scene, depth, camera, np.eye(4), np.random.default_rng(n)) for n in range(200)]
    said = {name: sum(name in caption for caption in made) for name in (*names, "sheets of paper")}
    assert not any("a leaning boards" in caption for caption in made)
    assert said["sheet of paper"] == 0 and said["sheets of paper"] > 0
    # Large things before small ones.
    assert min(said["rack"], said["car"], said["tree"]) > 2 * max(said["mug"], said["sheets of paper"])


def empty_room():
    """A plastered room, 4 x 5 x 2.5 m, without openings."""
    from clip2depth_ros.simulation.scene.place_palette import PlacePalette

    scene = Scene("office", 4.0, 5.0, 2.5)
    palette = PlacePalette(np.random.default_rng(1), "office")
    lay_ground(scene, Paint((0.5, 0.5, 0.5)), 0.0)
    build_walls_of_place(scene, palette, [[] for _ in walls_of(scene)], ("plaster",), 0.5)
    scene.parts = [part for part in scene.parts if part.size[1] != 0.04]  # no skirting boards
    scene.ambient = (0.5, 0.5, 0.5)
    scene.finish()
    return scene


def test_depth_is_that_of_the_geometry(renderer):
    scene, camera = empty_room(), Camera.from_fov(64, 48, 1.2)
    renderer.load(scene)
    for x, y, yaw in ((1.0, 1.5, 0.3), (3.0, 4.0, 2.5), (2.0, 2.5, -1.9)):
        pose = look_pose((x, y, 1.2), yaw, -0.2, 0.1)
        _, depth = renderer.render(camera, pose)
        for u, v in ((5, 8), (31, 24), (58, 20), (20, 44), (60, 46)):
            ray = pose[:3, :3] @ ((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0)
            flat = np.hypot(*ray[:2])
            expected = room_ray(scene, x, y, math.atan2(ray[1], ray[0])) / flat
            if ray[2] < 0:
                expected = min(expected, 1.2 / -ray[2])
            assert depth[v, u] == pytest.approx(expected, rel=0.01)


def test_the_sky_has_no_depth(renderer):
    scene = Scene("yard", 10.0, 10.0, 4.0)
    lay_ground(scene, Paint((0.4, 0.4, 0.4)), 20.0)
    scene.sky, scene.ambient = 3, (1.0, 1.0, 1.0)
    scene.finish()
    renderer.load(scene)
    camera = Camera.from_fov(64, 48, 1.2)
    image, depth = renderer.render(camera, look_pose((5.0, 5.0, 1.5), 0.4, 0.0))
    assert np.isnan(depth[:23]).all() and np.isfinite(depth[30:]).all()
    assert np.nanmax(depth) <= OPEN_AIR
    assert image[:10].mean() > 100, "the sky shines"
    # A scene without a sky shows none.
    scene.sky = None
    renderer.load(scene)
    assert renderer.render(camera, look_pose((5.0, 5.0, 1.5), 0.4, 0.0))[0][:10].max() == 0
