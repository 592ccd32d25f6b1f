# SPDX-License-Identifier: Apache-2.0
"""Whether a recording can teach: its images have texture, and its odometry is of the same camera."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.adaptation.recording import Keyframes, Refusal
from clip2depth_ros.adaptation.views import motion_between

PAIRS = 80
"""Pairs of keyframes that are looked at."""
CORNERS = 200
FEWEST_CORNERS = 25
"""Of an image that can be compared with another."""
RETURNED = 0.7
"""Pixels within which a corner that is followed there and back has to end."""
OFF_LINE = 1.5 / 224
"""Typical distance from the epipolar lines, as a part of the image's width, from which on a pair contradicts
the odometry."""
CONTRADICTING = 0.4
"""Part of the pairs that do, from which on the odometry is not believed. Of drives with their own odometry,
wheels that slip and drift included, it is 0; with that of another drive it is above 0.5."""
SPREAD = 0.6
"""Typical deviation between pairs of log triangulated over predicted depth, from which on it is not, either:
the robot that was driven moved at other times than this camera. It is 0.2 at most, and above 1.5, on the
same."""
FACTOR = 4.0
"""And the factor between the two in a typical pair."""


def corners_of(grey: np.ndarray) -> np.ndarray:
    """(n, 1, 2) float32 pixels of what can be followed; in noise alone there is nothing."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    found = cv2.goodFeaturesToTrack(smooth, CORNERS, 0.01, 5)
    if found is None:
        return np.empty((0, 1, 2), np.float32)
    # The quality level of OpenCV is relative to the best corner, and in noise that one is noise too.
    strength = cv2.cornerMinEigenVal(smooth, 3)
    x, y = found[:, 0].round().astype(int).T
    return found[strength[y, x] > 1e-4]


def check_texture(frames: Keyframes) -> None:
    """Raises Refusal for a recording whose images show next to nothing."""
    chosen = np.linspace(0, len(frames) - 1, min(40, len(frames))).round().astype(int)
    counts = [len(corners_of(grey_of(frames, i))) for i in chosen]
    if np.median(counts) < FEWEST_CORNERS:
        raise Refusal(
            "texture",
            f"the images show too little to compare: {np.median(counts):.0f} corners in a typical one, a "
            f"blank wall or darkness; record where there is something to see.",
        )


def check_odometry(frames: Keyframes, sources: list[np.ndarray], old: np.ndarray) -> dict[str, float]:
    """What the images say about the odometry. Raises Refusal where they contradict it.

    old: (N, h, w) metres, the old network's depth. Returns off_line, the typical pixels of a pair from its
    epipolar lines; contradicting, the part of pairs beyond OFF_LINE; and scale, spread: median and spread
    (log) over pairs of triangulated over predicted depth.
    """
    paired = [i for i in range(len(frames)) if len(sources[i])]
    chosen = np.linspace(0, len(paired) - 1, min(PAIRS, len(paired))).round().astype(int)
    off, scales = [], []
    camera = frames.camera
    for i in np.array(paired)[chosen]:
        j = int(sources[i][len(sources[i]) // 2])
        before, after = followed(grey_of(frames, i), grey_of(frames, j))
        if len(before) < FEWEST_CORNERS // 2:
            continue
        motion = motion_between(frames.poses[i], frames.poses[j])
        off.append(float(np.median(np.abs(off_line(before, after, motion, camera)))))
        scale = _log_scale(before, after, motion, camera, old[i])
        if np.isfinite(scale):
            scales.append(scale)
    if len(off) < 5:
        raise Refusal(
            "texture",
            f"only in {len(off)} of {len(chosen)} pairs of images could corners be followed; the images are "
            f"too blurred, too dark or too empty to compare.",
        )
    contradicting = float(np.mean(np.array(off) > OFF_LINE * camera.width))
    spread = float(np.median(np.abs(scales - np.median(scales)))) if len(scales) > 4 else float("inf")
    found = {
        "off_line": float(np.median(off)),
        "contradicting": contradicting,
        "scale": float(np.exp(np.median(scales))) if scales else float("nan"),
        "spread": spread,
    }
    said = (
        f"{contradicting:.0%} of the image pairs do not lie as it says, and the depth that follows from it "
        f"is {found['scale']:.2g} times the expected one, give or take {np.expm1(spread):.0%}"
    )
    agrees = contradicting <= CONTRADICTING and spread <= SPREAD
    if not (agrees and 1 / FACTOR <= found["scale"] <= FACTOR):
        raise Refusal(
            "odometry_contradicts",
            f"the odometry contradicts the images: {said}; check that both are of the same robot and time, "
            f"and the camera's mounting.",
        )
    return found


def grey_of(frames: Keyframes, index: int) -> np.ndarray:
    """(h, w) uint8: what the camera saw of a keyframe, at the inner size."""
    rows, columns = frames.inner
    return cv2.cvtColor(np.ascontiguousarray(frames.images[index, rows, columns]), cv2.COLOR_RGB2GRAY)


def followed(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) and (n, 2): corners of the first image and where they are in the second."""
    start = corners_of(first)
    if not len(start):
        return np.empty((0, 2)), np.empty((0, 2))
    window = {"winSize": (15, 15), "maxLevel": 3}
    end, ok, _ = cv2.calcOpticalFlowPyrLK(first, second, start, None, **window)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(second, first, end, None, **window)
    good = (ok & ok_back).ravel() > 0
    good &= np.linalg.norm(back - start, axis=-1).ravel() < RETURNED
    return start[good, 0].astype(np.float64), end[good, 0].astype(np.float64)


def _rays(points: np.ndarray, camera) -> np.ndarray:
    x = (points - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    return np.column_stack([x, np.ones(len(x))])


def off_line(before: np.ndarray, after: np.ndarray, motion: np.ndarray, camera) -> np.ndarray:
    """(n,) pixels from the epipolar line, to either side of it: Sampson's distance."""
    t, rotation = motion[:3, 3], motion[:3, :3]
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    essential = cross @ rotation
    a, b = _rays(before, camera), _rays(after, camera)
    ea, eb = a @ essential.T, b @ essential
    value = np.einsum("ni,ni->n", b, ea)
    length = np.sqrt((ea[:, :2] ** 2).sum(1) + (eb[:, :2] ** 2).sum(1))
    return value / np.maximum(length, 1e-12) * camera.fx


def _log_scale(before: np.ndarray, after: np.ndarray, motion: np.ndarray, camera, depth: np.ndarray) -> float:
    """Median log of triangulated over predicted depth; NaN where nothing can be triangulated."""
    a, b = _rays(before, camera), _rays(after, camera)
    turned = a @ motion[:3, :3].T
    t = motion[:3, 3]
    # z * (b x R a) = -(b x t), in the least squares' sense
    left, right = np.cross(b, turned), -np.cross(b, t)
    parallax = np.linalg.norm(left, axis=1) * camera.fx
    good = parallax > 1.0
    if good.sum() < 8:
        return float("nan")
    z = np.einsum("ni,ni->n", left[good], right[good]) / np.einsum("ni,ni->n", left[good], left[good])
    x, y = before[good].round().astype(int).T
    predicted = depth[y.clip(0, depth.shape[0] - 1), x.clip(0, depth.shape[1] - 1)]
    z = np.where(z > 0, z, 1e-3)
    return float(np.median(np.log(z / predicted)))
