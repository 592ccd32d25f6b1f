# SPDX-License-Identifier: Apache-2.0
"""Corners are darker than open surfaces; everything else is unchanged."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.simulation.rendering.shade import shade

CAMERA = Camera.from_fov(128, 96, 1.1)


def _wall(depth: float) -> np.ndarray:
    return np.full((CAMERA.height, CAMERA.width), depth, np.float32)


GREY = np.full((96, 128, 3), 120.0, np.float32)


def test_an_open_wall_has_no_shade():
    np.testing.assert_allclose(shade(GREY, _wall(2.0), CAMERA), GREY, atol=0.5)


def test_a_slanted_floor_has_no_shade():
    """The floor under a level camera 1 m up, seen below the horizon."""
    down = (np.arange(96, dtype=np.float32) - CAMERA.cy) / CAMERA.fy
    depth = np.where(down > 0.15, 1.0 / np.maximum(down, 0.15), np.nan)[:, None] * np.ones((1, 128))
    shaded = shade(GREY, depth.astype(np.float32), CAMERA)
    assert shaded[-30:].min() > 0.95 * 120


def test_a_corner_is_darker_than_its_walls():
    """Two walls that meet at a right angle in the middle of the image, 3 m away."""
    slope = np.abs((np.arange(128, dtype=np.float32) - CAMERA.cx) / CAMERA.fx)
    depth = np.broadcast_to(3.0 / (1.0 + slope), (96, 128)).astype(np.float32)
    row = shade(GREY, depth, CAMERA)[48, :, 0]
    assert row[60:68].mean() < 0.92 * 120
    assert row[10:20].min() > 0.97 * 120


def test_a_distant_foreground_object_gives_no_shade():
    depth = _wall(4.0)
    depth[:, 40:60] = 2.0
    np.testing.assert_allclose(shade(GREY, depth, CAMERA), GREY, atol=1.0)


def test_unknown_depth_is_not_changed():
    depth = _wall(2.0)
    depth[:40] = np.nan
    shaded = shade(GREY, depth, CAMERA)
    assert np.isfinite(shaded).all()
    np.testing.assert_allclose(shaded[:36], GREY[:36], atol=0.5)
