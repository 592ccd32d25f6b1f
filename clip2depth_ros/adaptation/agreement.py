# SPDX-License-Identifier: Apache-2.0
"""Whether a recording can be used: its images have texture, and its odometry matches the camera."""

from __future__ import annotations

import cv2
import numpy as np

from clip2depth_ros.adaptation.recording import Keyframes, Refusal
from clip2depth_ros.adaptation.views import motion_between

PAIRS = 80
"""Number of pairs of keyframes that are checked."""
CORNERS = 200
FEWEST_CORNERS = 25
"""Fewest corners of an image that can be compared with another."""
RETURNED = 0.7
"""Pixels: largest error of a corner that is tracked forward and back."""
OFF_LINE = 1.5 / 224
"""Median distance from the epipolar lines, as a part of the image's width, above which a pair contradicts the
odometry."""
CONTRADICTING = 0.4
"""Part of contradicting pairs above which the odometry is rejected. It is 0 for drives with their own
odometry, even with slip and drift, and above 0.5 with the odometry of another drive."""
SPREAD = 0.6
"""Median deviation over pairs of log (triangulated / predicted depth) above which the odometry is rejected:
it moved at other times than the camera. It is at most 0.2 with the same drives' own odometry, and above 1.5
with that of another drive."""
FACTOR = 10.0
"""Largest median factor between triangulated and predicted depth. Odometry in centimeters or inches is
beyond it. A bundle can be wrong by five times on what it was not trained for: a textured wall that fills the
image."""


def corners_of(gray: np.ndarray) -> np.ndarray:
    """(n, 1, 2) float32 pixels of trackable corners; none in pure noise."""
    smooth = cv2.GaussianBlur(gray, (0, 0), 1.0)
    found = cv2.goodFeaturesToTrack(smooth, CORNERS, 0.01, 5)
    if found is None:
        return np.empty((0, 1, 2), np.float32)
    # OpenCV's quality level is relative to the best corner, which in pure noise is noise.
    strength = cv2.cornerMinEigenVal(smooth, 3)
    x, y = found[:, 0].round().astype(int).T
    return found[strength[y, x] > 1e-4]


def check_texture(frames: Keyframes) -> None:
    """Raises Refusal for a recording whose images have too little texture."""
    chosen = np.linspace(0, len(frames) - 1, min(40, len(frames))).round().astype(int)
    counts = [len(corners_of(gray_of(frames, i))) for i in chosen]
    if np.median(counts) < FEWEST_CORNERS:
        raise Refusal(
            "texture",
            f"the images have too little texture: a median of {np.median(counts):.0f} corners per image, as "
            f"of a blank wall or in darkness; record a place with more texture.",
        )


def check_odometry(frames: Keyframes, sources: list[np.ndarray], old: np.ndarray) -> dict[str, float]:
    """Compare the odometry with the images. Raises Refusal where they contradict each other.

    old: (N, h, w) meters, the old network's depth. Returns off_line, the median distance (pixels) from the
    epipolar lines; contradicting, the part of pairs beyond OFF_LINE; and scale, spread: median and spread
    (log) over pairs of triangulated / predicted depth.
    """
    paired = [i for i in range(len(frames)) if len(sources[i])]
    chosen = np.linspace(0, len(paired) - 1, min(PAIRS, len(paired))).round().astype(int)
    off, scales = [], []
    camera = frames.camera
    for i in np.array(paired)[chosen]:
        j = int(sources[i][len(sources[i]) // 2])
        before, after = followed(gray_of(frames, i), gray_of(frames, j))
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
            f"corners could be tracked in only {len(off)} of {len(chosen)} pairs of images; the images are "
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
        f"{contradicting:.0%} of the image pairs contradict it, and the depth by it is "
        f"{found['scale']:.2g} times the expected depth, with a spread of {np.expm1(spread):.0%}"
    )
    agrees = contradicting <= CONTRADICTING and spread <= SPREAD
    if not (agrees and 1 / FACTOR <= found["scale"] <= FACTOR):
        raise Refusal(
            "odometry_contradicts",
            f"the odometry contradicts the images: {said}; check that both are of the same robot and time, "
            f"and the camera's mounting.",
        )
    return found


def gray_of(frames: Keyframes, index: int) -> np.ndarray:
    """(h, w) uint8: a keyframe's image at the inner size."""
    rows, columns = frames.inner
    return cv2.cvtColor(np.ascontiguousarray(frames.images[index, rows, columns]), cv2.COLOR_RGB2GRAY)


def followed(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) and (n, 2): corners of the first image and their positions in the second."""
    start = corners_of(first)
    if not len(start):
        return np.empty((0, 2)), np.empty((0, 2))
    window = {"winSize": (15, 15), "maxLevel": 3}
    end, ok, _ = cv2.calcOpticalFlowPyrLK(first, second, start, None, **window)  # pyright: ignore[reportCallIssue]
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(second, first, end, None, **window)  # pyright: ignore[reportCallIssue]
    good = (ok & ok_back).ravel() > 0
    good &= np.linalg.norm(back - start, axis=-1).ravel() < RETURNED
    return start[good, 0].astype(np.float64), end[good, 0].astype(np.float64)


def _rays(points: np.ndarray, camera) -> np.ndarray:
    x = (points - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    return np.column_stack([x, np.ones(len(x))])


def off_line(before: np.ndarray, after: np.ndarray, motion: np.ndarray, camera) -> np.ndarray:
    """(n,) signed distance from the epipolar line, pixels (Sampson's distance)."""
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
    # z * (b x R a) = -(b x t), by least squares
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
