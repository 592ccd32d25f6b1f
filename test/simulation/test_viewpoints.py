# SPDX-License-Identifier: Apache-2.0
"""Cameras are in free space, level on robots and tilted in hands, with something in view. No OpenGL."""

from __future__ import annotations

import numpy as np
import pytest

from clip2depth_ros.simulation.places import PLACES, make_place
from clip2depth_ros.simulation.scene.scene import Paint, Scene, rotation_about
from clip2depth_ros.simulation.views.viewpoints import Solids, viewpoint

COUNT = 14


def angles(pose: np.ndarray) -> tuple[float, float]:
    """Pitch (upward) and roll of a camera, degrees."""
    forward, right = pose[:3, 2], pose[:3, 0]
    level = np.array([forward[1], -forward[0], 0.0])
    level /= np.linalg.norm(level)
    sign = np.sign(np.cross(level, right) @ forward)
    return np.degrees(np.arcsin(forward[2])), float(
        sign * np.degrees(np.arccos(np.clip(level @ right, -1, 1)))
    )


@pytest.fixture(scope="module")
def poses():
    """Scene, solids and (COUNT, 4, 4) poses for each kind of place."""
    made = {}
    for number, kind in enumerate(PLACES):
        scene, rng = make_place(number, kind), np.random.default_rng(number)
        made[kind] = scene, Solids(scene), np.stack([viewpoint(scene, rng) for _ in range(COUNT)])
    return made


@pytest.mark.parametrize("kind", PLACES)
def test_a_camera_is_in_free_space_inside_the_place(kind, poses):
    scene, solids, taken = poses[kind]
    for pose in taken:
        x, y, z = pose[:3, 3]
        assert 0.1 < x < scene.width - 0.1 and 0.1 < y < scene.length - 0.1 and 0.1 < z < 2.3
        assert solids.clearance(pose[:3, 3]) > 0.2
        np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-9)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", PLACES)
def test_cameras_have_realistic_heights_and_angles(kind, poses):
    held = np.array([angles(pose) for pose in poses[kind][2]])
    assert held[:, 0].min() > -45.1 and held[:, 0].max() < 10.1
    assert np.abs(held[:, 1]).max() < 20.1


@pytest.mark.parametrize("kind", PLACES)
def test_a_camera_sees_something_at_a_true_distance(kind, poses):
    _, solids, taken = poses[kind]
    rays = [np.array([x, y, 1.0]) for x in (-0.4, 0.0, 0.4) for y in (-0.3, 0.0, 0.3)]
    for pose in taken:
        seen = [solids.ray(pose[:3, 3], pose[:3, :3] @ (ray / np.linalg.norm(ray))) for ray in rays]
        assert 0.4 < np.median(seen) < 14.0


def test_hands_in_rooms_and_robots_in_halls(poses):
    def table(kinds):
        taken = np.concatenate([poses[kind][2] for kind in kinds])
        return taken[:, 2, 3], np.array([angles(pose) for pose in taken])

    high, held = table(["kitchen", "living room", "office", "dining room"])
    wide_high, wide_held = table(["hall", "corridor", "warehouse", "street"])
    assert np.mean(high > 0.65) > 0.6
    assert np.mean(wide_high < 1.2) > 0.4
    # level cameras cover all heights, because the height determines the scale of a floor
    level = np.sort(np.concatenate([high[np.abs(held[:, 0]) < 10], wide_high[np.abs(wide_held[:, 0]) < 10]]))
    level = level[(level > 0.15) & (level < 1.7)]
    assert np.diff(level, prepend=0.15, append=1.7).max() < 0.35
    assert 3.0 < held[:, 1].std() < 8.0
    assert wide_held[:, 1].std() < held[:, 1].std()
    assert np.median(held[:, 0]) < -8.0 < np.median(wide_held[:, 0])


def test_a_viewpoint_is_reproducible(poses):
    scene = poses["kitchen"][0]
    one, two = (viewpoint(scene, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, viewpoint(scene, np.random.default_rng(6)))


def test_empty_and_overfull_places_have_views():
    scene = Scene("storage room", 2.0, 2.0, 2.4)
    scene.thing("wall", 0, 0).box((1.0, -0.05, 1.2), (2.0, 0.1, 2.4), Paint((1.0, 1.0, 1.0)))
    scene.finish()
    assert np.isfinite(viewpoint(scene, np.random.default_rng(0))).all()
    full = scene.thing("box", 1.0, 1.0)
    for x in np.arange(-0.9, 1.0, 0.3):
        full.box((x, 0.0, 1.2), (0.1, 2.0, 2.4), Paint((1.0, 1.0, 1.0)))
    scene.finish()
    pose = viewpoint(scene, np.random.default_rng(0))
    assert Solids(scene).clearance(pose[:3, 3]) > 0.05, "the best there is"


def test_solids_measure_distances_and_rays():
    scene = Scene("", 4.0, 4.0, 2.5)
    a = scene.thing("box", 2.0, 2.0)
    a.box((0, 0, 0.5), (1.0, 0.2, 1.0), Paint((1.0, 1.0, 1.0)), rotation_about("z", np.pi / 2))
    a.box((0, 0, 2.0), (4.0, 4.0, 0.1), Paint((0.0, 0.0, 0.0), alpha=0.3))
    a.capsule((0, -1.5, 1.0), 0.1, 1.0, Paint((1.0, 1.0, 1.0)))
    solids = Solids(scene)
    assert solids.clearance(np.array([3.0, 2.0, 0.5])) == pytest.approx(0.9)
    assert solids.clearance(np.array([2.05, 2.3, 0.5])) == 0.0
    assert solids.clearance(np.array([2.0, 2.0, 1.4])) == pytest.approx(0.4), (
        "what one sees through is no solid"
    )
    assert solids.ray(np.array([3.0, 2.0, 0.5]), np.array([-1.0, 0.0, 0.0])) == pytest.approx(0.9)
    assert solids.ray(np.array([2.0, 0.5, 2.4]), np.array([0.0, 0.0, -1.0])) == pytest.approx(0.8)
    assert solids.ray(np.array([3.0, 2.0, 0.5]), np.array([1.0, 0.0, 0.0])) == np.inf
