# SPDX-License-Identifier: Apache-2.0
"""Depth of the keyframes by triangulation: optical flow to the views of other keyframes, and their motions.

The photometric loss is flat for a depth that is wrong by a tenth, and leads a network there slowly. A
triangulated depth, where it is certain, leads there directly.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from clip2depth_ros.adaptation.agreement import gray_of
from clip2depth_ros.adaptation.recording import Keyframes

PIXEL = 0.5
"""Standard deviation of the flow, pixels."""
RETURNED, OFF_LINE = 1.0, 1.0
"""Pixels: largest error of the flow forward and back, and largest distance from the epipolar line. Beyond
them a pixel is hidden in the other view, or its object moves."""
APART = 3.0
"""Standard deviations from the mean of all views beyond which a view does not count."""
FEWEST_VIEWS = 2
LEAST_CERTAIN = 0.2
"""Largest standard deviation of log depth."""
NEAR, FAR = 0.1, 20.0
"""Meters: depths beyond are unknown."""


def triangulated(
    frames: Keyframes,
    numbers: Iterable[int],
    sources: list[np.ndarray],
    motions: dict[tuple[int, int], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Depth (N, h, w) float16 meters at the inner size, NaN unknown, and its standard deviation (log).

    numbers: of the keyframes to triangulate; the others are unknown. motions: (4, 4), points of view i into
    j, for each j of sources[i].
    """
    camera, flow = frames.camera, cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    gray = [gray_of(frames, i) for i in range(len(frames))]
    shape = gray[0].shape
    depth, deviation = (np.full((len(frames), *shape), np.nan, np.float16) for _ in range(2))
    x, y = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in shape[::-1]))
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], -1)
    for i in numbers:
        inverses, certainties = [], []
        for j in map(int, sources[i]):
            there = flow.calc(gray[i], gray[j], None)
            place = there + np.stack([x, y], -1)
            back = cv2.remap(
                flow.calc(gray[j], gray[i], None),
                place,
                None,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=(np.inf, np.inf),
            )
            inverse, certainty, off = _inverse_depth(rays, place, motions[i, j].astype(np.float32), camera)
            good = (np.linalg.norm(there + back, axis=-1) < RETURNED) & (off < OFF_LINE)
            inverses.append(inverse)
            certainties.append(np.where(good, certainty, 0.0))
        if len(inverses) < FEWEST_VIEWS:
            continue
        found, certainty, views = _mean(np.array(inverses), np.array(certainties))
        with np.errstate(divide="ignore", invalid="ignore"):
            log_deviation = 1 / (np.sqrt(certainty) * found)
            known = (views >= FEWEST_VIEWS) & (found > 1 / FAR) & (found < 1 / NEAR)
            known &= log_deviation < LEAST_CERTAIN
            depth[i] = np.where(known, 1 / found, np.nan)
            deviation[i] = np.where(known, log_deviation, np.nan)
    return depth, deviation


def _inverse_depth(
    rays: np.ndarray, place: np.ndarray, motion: np.ndarray, camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(h, w) each: inverse depth by least squares, its inverse variance, and pixels off the epipolar line.

    rays: (h, w, 3) of the pixels; place: (h, w, 2), where they are in the other view.
    """
    turned, way = rays @ motion[:3, :3].T, motion[:3, 3]
    seen = (place - np.array([camera.cx, camera.cy], np.float32)) / np.array(
        [camera.fx, camera.fy], np.float32
    )
    # inverse * a = b, by projection of turned + inverse * way
    a = seen * way[2] - way[:2]
    b = turned[..., :2] - seen * turned[..., 2:]
    square = (a * a).sum(-1) + 1e-12
    off = np.abs(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]) / np.sqrt(square) * camera.fx
    return (a * b).sum(-1) / square, square * (camera.fx / PIXEL) ** 2, off


def _mean(inverses: np.ndarray, certainties: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(h, w) each: mean over views (S, h, w) without outliers, its inverse variance, the number of views."""
    for last in (False, True):
        total = certainties.sum(0)
        mean = (inverses * certainties).sum(0) / np.maximum(total, 1e-9)
        if not last:
            certainties = certainties * (np.abs(inverses - mean) * np.sqrt(certainties) < APART)
    return mean, total, (certainties > 0).sum(0)
