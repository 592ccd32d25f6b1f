# SPDX-License-Identifier: Apache-2.0
"""Shade in corners and under things, computed from a rendered image's depth (ambient occlusion)."""

from __future__ import annotations

import math

import cv2
import numpy as np

from clip2depth_ros.camera import Camera

_REACH = 0.35
"""Radius of the occlusion, meters."""
_SPOKES = 6


def shade(light: np.ndarray, depth: np.ndarray, camera: Camera) -> np.ndarray:
    """Darken corners, gaps and the space under things, from depth alone.

    Args:
        light: (H, W, 3) float32 RGB 0..255.
        depth: (H, W) float32 meters, NaN = unknown.
        camera: the camera of both.

    Returns:
        (H, W, 3) float32 RGB.
    """
    height, width = depth.shape
    h, w = height // 2, width // 2
    z = np.nan_to_num(depth[: 2 * h : 2, : 2 * w : 2], nan=100.0)
    x = ((np.arange(w, dtype=np.float32) * 2 - camera.cx) / camera.fx)[None, :] * z
    y = ((np.arange(h, dtype=np.float32) * 2 - camera.cy) / camera.fy)[:, None] * z
    points = np.stack([x, y, z])
    normal = _normals(points)
    radius = np.minimum(0.5 * camera.fx * _REACH / z, 0.2 * w)
    rows, columns = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None, :]
    flat = points.reshape(3, -1)
    blocked = np.zeros((h, w), np.float32)
    for k in range(2 * _SPOKES):
        angle = 2.0 * math.pi * (k + 0.5 * (k // _SPOKES)) / _SPOKES
        reach = radius * np.float32(0.35 if k < _SPOKES else 0.9)
        v = np.clip(rows + reach * np.float32(math.sin(angle)) + 0.5, 0, h - 1).astype(np.int32)
        u = np.clip(columns + reach * np.float32(math.cos(angle)) + 0.5, 0, w - 1).astype(np.int32)
        toward = flat[:, v * w + u] - points
        square = (toward * toward).sum(0) + np.float32(1e-6)
        rise = (toward * normal).sum(0) / np.sqrt(square)
        blocked += np.maximum(rise - 0.08, 0.0) * np.maximum(1.0 - square / np.float32(_REACH**2), 0.0)
    open_share = 1.0 - np.minimum(blocked * np.float32(2.3 / (2 * _SPOKES)), 0.6)
    open_share = cv2.GaussianBlur(open_share, (3, 3), 0)
    share = cv2.resize(open_share, (width, height), interpolation=cv2.INTER_LINEAR)
    return light * share[..., None]


def _normals(points: np.ndarray) -> np.ndarray:
    """Unit normals (3, H, W), toward the camera, of points (3, H, W); at edges, from the flatter side."""
    right = np.zeros_like(points)
    right[:, :, :-1] = points[:, :, 1:] - points[:, :, :-1]
    left = np.zeros_like(points)
    left[:, :, 1:] = right[:, :, :-1]
    down = np.zeros_like(points)
    down[:, :-1] = points[:, 1:] - points[:, :-1]
    up = np.zeros_like(points)
    up[:, 1:] = down[:, :-1]
    right[:, :, -1], left[:, :, 0], down[:, -1], up[:, 0] = (
        left[:, :, -1],
        right[:, :, 0],
        up[:, -1],
        down[:, 0],
    )
    a = np.where(np.abs(right[2]) < np.abs(left[2]), right, left)
    b = np.where(np.abs(down[2]) < np.abs(up[2]), down, up)
    normal = np.stack([b[1] * a[2] - b[2] * a[1], b[2] * a[0] - b[0] * a[2], b[0] * a[1] - b[1] * a[0]])
    return normal / (np.sqrt((normal * normal).sum(0)) + np.float32(1e-9))
