# SPDX-License-Identifier: Apache-2.0
"""The floor as ground truth: the camera's height and tilt give the depth of every pixel that shows it.

Odometry gives every depth its own scale error. The height of the camera on a robot is measured once, and
exactly. So the floor determines the meters, and the motion between two views determines everything else.
"""

from __future__ import annotations

import numpy as np
import torch

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import Floor
from clip2depth_ros.scale.floor_plane import FloorFinder

BAND = 0.1
"""Largest distance of a pixel from the plane that was found, as a part of that plane's height."""
STEEPEST = 0.05
"""Least slope of a ray to the floor."""
TILT, POINT = 0.015, 0.05
"""Standard deviations of the camera's tilt, radians, and of a pixel's log depth. A small tilt changes much of
the depth of a floor far away, so that such pixels get less weight."""
MOST_APART = 0.5
"""Log difference above which a pixel does not count more: it shows something else."""
FACTOR = 2.0
"""Largest factor, or its inverse, between the height of a plane in the old depth and the camera's height:
beyond, it is a table or a ceiling."""
ALIKE = 1.35
"""The same between the plane of one keyframe and that of most keyframes."""
FEWEST, MAJORITY = 12, 0.5
"""Fewest keyframes with a floor, and their least part of the keyframes in which a plane was found."""


class FloorPixels:
    """The pixels of keyframes that show the floor, and their true depth.

    on: (N, h, w) bool. depth: (h, w) float32 meters of the floor along every ray. weight: (h, w) float32, 0
    where a ray does not meet the floor.
    """

    def __init__(self, on: np.ndarray, depth: np.ndarray, weight: np.ndarray) -> None:
        self.on = on
        self._log, self._weight = torch.from_numpy(np.log(depth)), torch.from_numpy(weight)

    @property
    def views(self) -> int:
        """Number of keyframes that show the floor."""
        return int(np.count_nonzero(self.on.any((1, 2))))

    def errors(self, numbers: np.ndarray, depth: torch.Tensor) -> torch.Tensor:
        """(B,): mean log difference of depths (B, h, w) of keyframes from that of the floor.

        The mean is over all pixels that could show floor, so that a small floor counts little.
        """
        weight = torch.from_numpy(self.on[numbers]).to(depth.device) * self._weight.to(depth.device)
        apart = (depth.log() - self._log.to(depth.device)).abs().clamp(max=MOST_APART)
        return (apart * weight).sum((1, 2)) / self._weight.sum()


def find_floor_pixels(floor: Floor, camera: Camera, old: np.ndarray) -> FloorPixels | None:
    """The floor's pixels, found as a plane in the old depth (N, h, w); None where too few agree.

    floor: level, with the camera's height in meters, in the optical frame. camera: of the pixels. The old
    depth may have another scale: what counts is that its plane is as high in most keyframes.
    """
    rays = camera.rays()
    slope = -(rays @ floor.normal)
    meets = slope > STEEPEST
    slope = np.maximum(slope, STEEPEST)
    depth = (floor.height / slope).astype(np.float32)
    weight = np.where(meets, 1 / (1 + (TILT / (slope * POINT)) ** 2), 0.0).astype(np.float32)
    finder = FloorFinder()
    found = [finder.find(each, camera, floor.normal) for each in old]
    factors = np.log([np.nan if each is None else each.height / floor.height for each in found])
    near = np.abs(factors) < np.log(FACTOR)
    if near.any():
        near &= np.abs(factors - np.median(factors[near])) < np.log(ALIKE)
    # A minority is what a wrong height finds: tables, or bad depth.
    if np.count_nonzero(near) < max(FEWEST, MAJORITY * np.count_nonzero(np.isfinite(factors))):
        return None
    on = np.zeros(old.shape, bool)
    for i in np.flatnonzero(near):
        away = -(rays @ found[i].normal) * old[i] / found[i].height - 1
        on[i] = (np.abs(away) < BAND) & meets
    return FloorPixels(on, depth, weight)
