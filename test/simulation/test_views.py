# SPDX-License-Identifier: Apache-2.0
"""Training views: reproducible, from free space, with captions; and the camera model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.simulation.photography.looks import CameraLook, exposure, photograph
from clip2depth_ros.simulation.views.captions import describe, visible_things
from clip2depth_ros.simulation.views.views import is_usable, look_pose, sample_views


@pytest.fixture(scope="module")
def views(renderer):
    return list(sample_views(1, 14, 64, 48))


def test_views_are_complete(views):
    assert len(views) == 14
    for view in views:
        assert view.image.shape == (48, 64, 3) and view.image.dtype == np.uint8
        assert view.depth.shape == (48, 64) and view.depth.dtype == np.float32
        assert is_usable(view.depth) and np.nanmin(view.depth) >= 0.2
        assert 50 <= math.degrees(2 * math.atan(32 / view.camera.fx)) <= 100
        assert view.camera.fx == view.camera.fy
        assert (view.camera.cx, view.camera.cy) == (31.5, 23.5)
        assert 0.1 < view.pose[2, 3] < 1.75
        assert len(view.caption.split()) >= 3
        assert view.image.std() > 2
    assert len({view.caption for view in views}) > 10
    assert 1.0 < np.median([np.nanmedian(view.depth) for view in views]) < 4.5


def test_the_same_seed_gives_the_same_bytes(views):
    again = list(sample_views(1, 14, 64, 48))
    for a, b in zip(views, again, strict=True):
        assert a.image.tobytes() == b.image.tobytes() and a.depth.tobytes() == b.depth.tobytes()
        assert a.caption == b.caption and a.camera == b.camera
    other = next(sample_views(2, 1, 64, 48))
    assert other.image.tobytes() != views[0].image.tobytes()


def test_a_fixed_field_of_view(renderer):
    view = next(sample_views(4, 1, 40, 30, horizontal_fov=1.0))
    assert view.camera == Camera.from_fov(40, 30, 1.0)


def test_invalid_arguments_are_rejected():
    with pytest.raises(Clip2DepthError, match="0x48"):
        next(sample_views(1, 1, 0, 48))


def test_is_usable():
    free = np.full((10, 10), 2.0, np.float32)
    assert is_usable(free)
    touching = free.copy()
    touching[0, 0] = 0.19
    assert not is_usable(touching)
    crowded = free.copy()
    crowded[:5] = 0.3
    assert not is_usable(crowded)
    assert not is_usable(np.full((4, 4), np.nan, np.float32))


def test_captions_name_visible_things_and_distances(renderer, box_scene):
    scene = box_scene(
        ((4.5, 5.0, 1.5), (1.0, 0.5, 0.5), (1, 0, 0)), ((8.0, 5.0, 1.5), (1.0, 9.0, 9.0), (1, 1, 1))
    )
    scene.things[0].name, scene.things[1].name = "cupboard", "wall"
    hidden = scene.thing("sofa", 6.0, 5.0)
    hidden.box((0, 0, 1.5), (0.3, 0.3, 0.3), scene.parts[0].paint)
    scene.finish()
    camera, pose = Camera.from_fov(64, 48, 1.2), look_pose((0.0, 5.0, 1.5), 0.0, 0.0)
    renderer.load(scene)
    _, depth = renderer.render(camera, pose)
    seen = visible_things(scene, depth, camera, pose)
    assert [thing.name for thing, _ in seen] == ["cupboard"]
    assert seen[0][1] == pytest.approx(4.0, abs=0.05)
    captions = {describe(scene, depth, camera, pose, np.random.default_rng(n)) for n in range(40)}
    assert all("cupboard" in caption and "sofa" not in caption for caption in captions)
    assert any("4 metres" in caption for caption in captions)
    assert len(captions) > 15


def test_exposure_brightens_a_dim_scene_but_not_the_night():
    look = CameraLook(target=0.4, max_gain=2.0, noise=0.0)
    dim, night = np.full((8, 8, 3), 60.0, np.float32), np.full((8, 8, 3), 5.0, np.float32)
    rng = np.random.default_rng(0)
    assert photograph(dim, look, rng).mean() == pytest.approx(0.4 * 255, rel=0.02)
    assert exposure(night, look) == 2.0
    assert photograph(night, look, rng).mean() == pytest.approx(10.0, abs=1.0)


def test_a_look_changes_the_image_slightly():
    rng = np.random.default_rng(3)
    scene = np.kron(rng.uniform(30, 200, (12, 16, 3)), np.ones((4, 4, 1))).astype(np.float32)
    plain = photograph(scene, CameraLook(noise=0.0), rng, gain=1.0).astype(float)
    for n in range(20):
        look = CameraLook.random(np.random.default_rng(n))
        image = photograph(scene, look, rng, gain=1.0)
        assert image.dtype == np.uint8 and image.shape == scene.shape
        assert np.corrcoef(image.astype(float).ravel(), plain.ravel())[0, 1] > 0.9
