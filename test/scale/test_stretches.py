# SPDX-License-Identifier: Apache-2.0
"""Corners tracked over a driven stretch, in rendered worlds of planes."""

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.scale.disparity_evidence import motion_evidence
from clip2depth_ros.scale.stretches import WINDOW, Parallax, Stretch

CAMERA = Camera.from_fov(224, 168, 1.2)
FLOOR, BOXES = 0.5, 2.0
"""Meters: of the floor below the camera, and at the start to the fronts of the boxes ahead."""
FACTOR, SHIFT = 0.4, -0.05


def _texture(number: int) -> np.ndarray:
    """(512, 512) float32: noise of several sizes."""
    rng = np.random.default_rng([3, number])
    cells = (rng.standard_normal((n, n)).astype(np.float32) for n in (16, 64, 128, 256))
    return np.clip(128 + 30 * sum(cv2.resize(each, (512, 512)) for each in cells), 0, 255)


def _look(forward: float, wall: float, boxes: bool) -> tuple[np.ndarray, np.ndarray]:
    """Image and depth after `forward` meters: a floor, a wall, boxes that hide parts of both."""
    x, y = np.moveaxis(CAMERA.rays()[..., :2].astype(np.float64), 2, 0)
    near, far = BOXES - forward, wall - forward
    with np.errstate(divide="ignore"):
        floor = np.where(y > 0, FLOOR / y, np.inf)
    box = boxes & (np.abs(((near * x) % 0.8) - 0.4) < 0.2) & (np.abs(near * y) < 0.35)
    depth = np.where(box, near, np.minimum(far, floor))
    image = np.zeros(depth.shape, np.float32)
    for number, (here, per_metre) in enumerate(
        ((box, 120.0), (~box & (floor < far), 90.0), (~box & (floor >= far), 40.0))
    ):
        down = depth + forward if number == 1 else depth * y
        at = (np.float32(place * per_metre) % 512 for place in (depth * x, down))
        image[here] = cv2.remap(_texture(number), *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)[here]
    return np.repeat(image.astype(np.uint8)[..., None], 3, axis=2), depth


def _drive(wall: float, boxes: bool) -> Stretch:
    parallax = Parallax()
    for index in range(20):
        pose = np.eye(4)
        pose[2, 3] = 0.03 * index
        image, depth = _look(0.03 * index, wall, boxes)
        disparity = ((1 / depth - SHIFT) / FACTOR).astype(np.float32)
        spread = float(np.subtract(*np.percentile(disparity, (95, 5))))
        stretch = parallax.update(image, disparity, CAMERA, index / 15, pose, spread)
        if stretch is not None:
            return stretch
    raise AssertionError("no stretch came to its end")


def _metres_ahead(stretch: Stretch) -> np.ndarray:
    return 1 / (FACTOR * stretch.disparity + SHIFT)


def test_a_stretch_gives_factor_and_shift():
    line = motion_evidence(_drive(6.0, True), None)
    factor, shift = np.linalg.solve(line.weight, line.moment)
    for metres in (1.0, 2.0, 6.0):
        found = factor * (1 / metres - SHIFT) / FACTOR + shift
        assert found * metres == pytest.approx(1.0, abs=0.03)


def test_no_tracked_window_contains_an_edge():
    # Points next to an edge appear to move with it: the far would look nearer, the near farther.
    stretch = _drive(6.0, True)
    _, depth = _look(0.0, 6.0, True)
    column, row = np.rint(stretch.before * [CAMERA.fx, CAMERA.fy] + [CAMERA.cx, CAMERA.cy]).astype(int).T
    half = WINDOW[0] // 2 - 2  # the place is not the window's middle
    for x, y in zip(column, row, strict=True):
        around = depth[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
        assert around.max() / around.min() < 1.5 or y > CAMERA.cy + 30  # the floor is steep, and no edge
    assert np.ptp(_metres_ahead(stretch)) > 3.0


def test_the_tracked_point_moves_according_to_its_disparity():
    # The corner itself does not: its window grows as the camera comes nearer.
    stretch = _drive(1.0, False)
    ahead = _metres_ahead(stretch)
    expected = stretch.before * (ahead / (ahead + stretch.motion[2, 3]))[:, None]
    misses = (stretch.now - expected) * stretch.focal
    assert np.median(np.abs(misses)) < 0.1
