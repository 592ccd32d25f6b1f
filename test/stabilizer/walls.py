# SPDX-License-Identifier: Apache-2.0
"""Views of textured walls all around, with exact depth: a scene small enough for unit tests."""

import cv2
import numpy as np

from clip2depth_ros.camera import Camera

CAMERA = Camera.from_fov(160, 120, 1.2)
TEXTURE = cv2.GaussianBlur(
    np.random.default_rng(5).integers(0, 256, (600, 600), np.uint8).astype(np.float32), (0, 0), 2.5
)
TEXTURE = cv2.normalize(TEXTURE, None, 0, 255, cv2.NORM_MINMAX)
# Walls as normal . point = distance in the world, which is the first view's optical frame.
# The two in front meet in an edge.
WALLS = (
    (np.array([0.5, 0.0, 1.0]), 3.0),
    (np.array([-0.6, 0.2, 1.0]), 3.4),
    (np.array([0.1, 0.0, -1.0]), 4.0),
    (np.array([1.0, 0.0, 0.0]), 7.0),
    (np.array([-1.0, 0.0, 0.0]), 7.0),
)
GRAIN = 60.0
"""Texture pixels a meter."""


def view(position=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0), camera: Camera = CAMERA):
    """Image (h, w, 3) uint8, depth (h, w) float32 and pose (4, 4) of a camera turned by a vector."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(np.array(turn, float))[0], position
    rays = camera.rays().astype(float) @ pose[:3, :3].T
    depths = []
    for normal, distance in WALLS:
        along = rays @ normal
        depths.append(
            np.where(along > 1e-6, (distance - pose[:3, 3] @ normal) / np.maximum(along, 1e-6), np.inf)
        )
    depth = np.min(depths, axis=0)
    points = rays * depth[..., None] + pose[:3, 3]
    places = np.mod((points[..., :2] + 0.3 * points[..., 2:]) * GRAIN + 300, 599).astype(np.float32)
    grey = cv2.remap(TEXTURE, places, None, cv2.INTER_LINEAR)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, 2), depth.astype(np.float32), pose


def motion(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(4, 4): points of the first pose's optical frame into the second's."""
    return np.linalg.inv(after) @ before


def flickering(depth: np.ndarray, rng: np.random.Generator, scale=0.05, field=0.05) -> np.ndarray:
    """The depth with a new scale and a new smooth field of errors."""
    cells = rng.normal(0, field, (4, 5)).astype(np.float32)
    error = cv2.resize(cells, depth.shape[::-1], interpolation=cv2.INTER_CUBIC) + rng.normal(0, scale)
    return (depth * np.exp(error)).astype(np.float32)
