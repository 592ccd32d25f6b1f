# SPDX-License-Identifier: Apache-2.0
"""Ranges sampled from a ground truth depth image, as a simulated sparse range sensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError


def sample_ranges(depth: np.ndarray, camera: Camera, count: int, seed: int | Sequence[int]) -> np.ndarray:
    """Points at random pixels with known depth.

    depth: (H, W) float32, meters, NaN = unknown. camera: the rectified camera of it. count: how many points.
    seed: of numpy's generator; (run, frame) gives every frame its own points and every run the same.
    Returns (N, 3) float32, meters, in the optical frame; N is count, or fewer where fewer are known.
    Raises Clip2DepthError for a count below 1 and a camera of another size or with distortion.
    """
    if count < 1:
        raise Clip2DepthError(f"The number of ranges must be at least 1, it is {count}.")
    if depth.shape != (camera.height, camera.width):
        raise Clip2DepthError(
            f"The depth is {depth.shape[1]}x{depth.shape[0]}, its camera {camera.width}x{camera.height}; "
            "ranges need the camera of the depth."
        )
    x, y = camera.axes()
    with np.errstate(invalid="ignore"):
        known = np.flatnonzero((depth > 0) & (depth < np.inf))
    rng = np.random.default_rng(seed)
    chosen = known if len(known) <= count else rng.choice(known, count, replace=False)
    z = depth.ravel()[chosen]
    rows, columns = np.divmod(chosen, camera.width)
    return np.stack([x[columns] * z, y[rows] * z, z], axis=1).astype(np.float32)
