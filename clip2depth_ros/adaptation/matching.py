# SPDX-License-Identifier: Apache-2.0
"""Keyframes matched by optical flow: the motions between them, and depth by triangulation.

Wheel odometry measures the length of a motion well, and its rotation to about a degree. A degree is three
pixels, and the depth that explains these is wrong. Where the pixels of one view are in another gives rotation
and direction far more precisely, but not the length, which stays that of odometry.

With these motions the same flow gives depth. The photometric loss is flat for a depth that is wrong by a
tenth and leads a network there slowly; triangulated depth, where it is certain, leads there directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from clip2depth_ros.adaptation.agreement import gray_of
from clip2depth_ros.adaptation.recording import Keyframes
from clip2depth_ros.adaptation.refinement import refine
from clip2depth_ros.adaptation.views import motion_between
from clip2depth_ros.camera import Camera

PIXEL = 0.5
"""Standard deviation of the flow, pixels."""
RETURNED, OFF_LINE = 1.0, 1.0
"""Pixels: largest error of the flow forward and back, and largest distance from the epipolar line. Beyond
them a pixel is hidden in the other view, or its object moves."""
SURE, STRIDE = 0.5, 8
"""Pixels: largest such error, and the grid, of the pixels that refine a motion."""
CACHED = 256
"""Flows that are kept: a pair of keyframes is needed again when the other one is matched."""
APART = 3.0
"""Standard deviations from the mean of all views beyond which a view does not count."""
FEWEST_VIEWS = 2
LEAST_CERTAIN = 0.2
"""Largest standard deviation of log depth."""
NEAR, FAR = 0.1, 20.0
"""Meters: depths beyond are unknown."""


@dataclass
class Matches:
    """What the views of N keyframes say of their motions and depths."""

    motions: dict[tuple[int, int], np.ndarray]
    """(4, 4) by numbers (i, j): points of view i into view j, for each j of the sources of i, and back."""
    depth: np.ndarray
    """(N, h, w) float16 meters at the inner size, NaN unknown."""
    deviation: np.ndarray
    """(N, h, w) float16: standard deviation of log depth, NaN unknown."""


def match(frames: Keyframes, sources: list[np.ndarray], triangulated: np.ndarray) -> Matches:
    """Match each keyframe i with those of sources[i]. triangulated: numbers of those that get depth."""
    camera, dis = frames.camera, cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # At half the resolution, as in the preset, depth is 4 % too large, and its smoothing spreads errors.
    dis.setFinestScale(0)
    dis.setVariationalRefinementIterations(0)
    gray = [gray_of(frames, i) for i in range(len(frames))]
    height, width = gray[0].shape
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    middle, focal = np.float32([camera.cx, camera.cy]), np.float32([camera.fx, camera.fy])
    rays = np.dstack([(pixels - middle) / focal, np.ones((height, width), np.float32)])

    @lru_cache(CACHED)
    def flow(i: int, j: int) -> np.ndarray:
        return dis.calc(gray[i], gray[j], None)

    shape = (len(frames), height, width)
    found = Matches({}, np.full(shape, np.nan, np.float16), np.full(shape, np.nan, np.float16))
    wanted = set(map(int, triangulated))
    for i, others in enumerate(sources):
        views = []
        for j in map(int, others):
            place = pixels + flow(i, j)
            back = cv2.remap(flow(j, i), place, None, cv2.INTER_LINEAR, borderValue=(np.inf, np.inf))
            missed = np.linalg.norm(place + back - pixels, axis=-1)
            if (i, j) not in found.motions:
                some = missed[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE] < SURE
                here, there = (a[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE][some] for a in (pixels, place))
                motion = motion_between(frames.poses[i], frames.poses[j])
                motion = refine(motion, here.astype(np.float64), there.astype(np.float64), camera)
                found.motions[i, j], found.motions[j, i] = motion, np.linalg.inv(motion)
            if i in wanted:
                inverse, certainty, off = _inverse_depth(rays, place, found.motions[i, j], camera)
                good = (missed < RETURNED) & (off < OFF_LINE)
                views.append((inverse, np.where(good, certainty, 0.0)))
        if len(views) >= FEWEST_VIEWS:
            found.depth[i], found.deviation[i] = _depth(*map(np.array, zip(*views, strict=True)))
    return found


def _inverse_depth(
    rays: np.ndarray, place: np.ndarray, motion: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(h, w) each: inverse depth by least squares, its inverse variance, and pixels off the epipolar line.

    rays: (h, w, 3) of the pixels; place: (h, w, 2), where they are in the other view.
    """
    motion = motion.astype(np.float32)
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


def _depth(inverses: np.ndarray, certainties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) each: depth by all views without outliers, and the standard deviation of its log; NaN unknown.

    inverses, certainties: (S, h, w) inverse depth and its inverse variance by each view.
    """
    mean = (inverses * certainties).sum(0) / np.maximum(certainties.sum(0), 1e-9)
    certainties = certainties * (np.abs(inverses - mean) * np.sqrt(certainties) < APART)
    total = np.maximum(certainties.sum(0), 1e-9)
    mean = np.maximum((inverses * certainties).sum(0) / total, 1e-9)
    deviation = 1 / (np.sqrt(total) * mean)
    known = ((certainties > 0).sum(0) >= FEWEST_VIEWS) & (deviation < LEAST_CERTAIN)
    known &= (mean > 1 / FAR) & (mean < 1 / NEAR)
    return np.where(known, 1 / mean, np.nan), np.where(known, deviation, np.nan)
