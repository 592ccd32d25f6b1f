# SPDX-License-Identifier: Apache-2.0
"""Depth is the distance along the optical axis, and the image is that of the pinhole camera."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.simulation.scene.scene import Paint
from clip2depth_ros.simulation.surfaces.textures import flat_texture
from clip2depth_ros.simulation.views.views import look_pose

RED, WHITE = (1.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@pytest.mark.parametrize("supersample", [1, 2, 3])
@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0.0, 0.0, 0.0), (0.4, -0.3, 0.0), (-0.3, 0.2, 0.1)])
def test_depth_of_a_plane(renderer, box_scene, supersample, yaw, pitch, roll):
    """Every pixel's depth is where its ray meets the wall x = 4, measured along the axis and not the ray."""
    camera = Camera.from_fov(64, 48, 1.2)
    pose = look_pose((1.0, 5.0, 1.5), yaw, pitch, roll)
    renderer.load(box_scene(((4.5, 5.0, 1.5), (1.0, 100.0, 100.0), WHITE)))
    _, depth = renderer.render(camera, pose, supersample)
    direction = camera.rays() @ pose[:3, :3].T
    expected = (4.0 - 1.0) / direction[..., 0]
    np.testing.assert_allclose(depth, expected, rtol=2e-4)


def test_nothing_is_nan(renderer, box_scene):
    renderer.load(box_scene(((4.5, 5.0, 1.5), (1.0, 0.2, 0.2), WHITE)))
    _, depth = renderer.render(Camera.from_fov(64, 48, 1.2), look_pose((1.0, 5.0, 1.5), 0.0, 0.0))
    assert np.isnan(depth[0, 0])
    assert np.isfinite(depth[23:25, 31:33]).all()


@pytest.mark.parametrize(("width", "height"), [(64, 48), (65, 49)])
def test_a_known_corner_is_at_its_projection(renderer, box_scene, width, height):
    """The corner of a box is at u = fx X / Z + cx, v = fy Y / Z + cy, to a tenth of a pixel."""
    camera = Camera.from_fov(width, height, 1.0)
    pose = look_pose((0.0, 5.0, 1.5), 0.0, 0.0)
    # Seen from x = 0 along +x the face x = 3 spans y < 5.23 (right of it: smaller y) and z < 1.61.
    renderer.load(box_scene(((3.5, 4.23, 0.61), (1.0, 2.0, 2.0), RED)))
    light, depth = renderer.render(camera, pose, 4)
    x, y, z = pose[:3, :3].T @ (np.array([3.0, 5.23, 1.61]) - pose[:3, 3])
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    covered = light[..., 0] / light[..., 0].max()
    row, column = height * 3 // 4, width * 3 // 4
    assert np.isfinite(depth[row, column]) and depth[row, column] == pytest.approx(3.0, rel=1e-3)
    # Coverage counts pixel areas, which extend half a pixel beyond the centers.
    left = width - covered[row].sum() - 0.5
    top = height - covered[:, column].sum() - 0.5
    assert left == pytest.approx(u, abs=0.13)
    assert top == pytest.approx(v, abs=0.13)


def test_edges_are_never_a_mixture(renderer, box_scene):
    near, far = ((2.5, 5.0, 1.5), (1.0, 0.7, 0.9), RED), ((6.5, 5.0, 1.5), (1.0, 100.0, 100.0), WHITE)
    renderer.load(box_scene(near, far))
    _, depth = renderer.render(Camera.from_fov(96, 72, 1.2), look_pose((0.0, 5.0, 1.5), 0.0, 0.0), 2)
    assert (np.isclose(depth, 2.0, rtol=1e-3) | np.isclose(depth, 6.0, rtol=1e-3)).all()
    assert (depth < 3).any() and (depth > 3).any()


def test_culling_changes_no_pixel(renderer, monkeypatch):
    from clip2depth_ros.simulation.rooms import make_room

    scene = make_room(3)
    camera = Camera.from_fov(80, 60, 1.2)
    poses = [look_pose((scene.width / 2, scene.length / 2, 1.2), yaw, -0.2) for yaw in (0.0, 1.7, 4.0)]
    renderer.load(scene)
    culled = [renderer.render(camera, pose) for pose in poses]
    renderer.load(scene)
    monkeypatch.setattr(type(renderer), "_cull", lambda *_: None)
    for pose, (image, depth) in zip(poses, culled, strict=True):
        whole = renderer.render(camera, pose)
        np.testing.assert_array_equal(image, whole[0])
        np.testing.assert_array_equal(depth, whole[1])


def test_look_pose_is_an_optical_frame():
    pose = look_pose((1.0, 2.0, 3.0), math.pi / 2, 0.0)
    np.testing.assert_allclose(pose[:3, 2], (0, 1, 0), atol=1e-12)  # forward is +y
    np.testing.assert_allclose(pose[:3, 0], (1, 0, 0), atol=1e-12)  # right is +x
    np.testing.assert_allclose(pose[:3, 1], (0, 0, -1), atol=1e-12)  # down
    for angles in ((0.3, 0.4, 0.5), (-2.0, -0.6, 0.1)):
        rotation = look_pose((0, 0, 0), *angles)[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert look_pose((0, 0, 0), 0.0, 0.3)[2, 2] > 0  # a positive pitch looks up


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.astype(float).ravel(), b.astype(float).ravel())[0, 1])


def test_a_picture_is_upright_and_complete(renderer, box_scene):
    camera, pose = Camera.from_fov(64, 64, 2 * math.atan(0.5)), look_pose((0.0, 5.0, 1.5), 0.0, 0.0)
    texture = flat_texture("print", 1)
    scene = box_scene()
    paint = Paint((1.0, 1.0, 1.0), ("print", 1), fit=True, specular=0.0, emission=1.0)
    scene.thing("picture", 0, 0).box((1.01, 5.0, 1.5), (0.02, 1.0, 1.0), paint)
    renderer.load(scene)
    light, _ = renderer.render(camera, pose)
    small = cv2.resize(texture, (64, 64), interpolation=cv2.INTER_AREA)
    # The face toward the camera may show it mirrored left to right, but never upside down.
    assert max(correlation(light, small), correlation(light, small[:, ::-1])) > 0.95


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_a_texture_covers_its_meters(renderer, box_scene, scale):
    """From 2 m, where 64 pixels are 2 m, the pattern repeats every `scale` meters."""
    camera, pose = Camera.from_fov(64, 64, 2 * math.atan(0.5)), look_pose((0.0, 5.0, 1.5), 0.0, 0.0)
    scene = box_scene()
    paint = Paint((1.0, 1.0, 1.0), ("print", 1), scale=scale, specular=0.0, emission=1.0)
    scene.thing("wall", 0, 0).box((2.05, 5.0, 1.5), (0.1, 8.0, 8.0), paint)
    renderer.load(scene)
    light, _ = renderer.render(camera, pose)
    period = round(32 * scale)
    assert correlation(light[:, period:], light[:, :-period]) > 0.95
    assert correlation(light[period:], light[:-period]) > 0.95
    half = period // 2
    assert correlation(light[:, half:], light[:, :-half]) < 0.8
