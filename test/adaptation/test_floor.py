# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the loss needs PyTorch")

from clip2depth_ros.adaptation.floor import FEWEST, find_floor_pixels  # noqa: E402
from clip2depth_ros.camera import Camera  # noqa: E402
from clip2depth_ros.images.frame import Floor  # noqa: E402

CAMERA = Camera(112, 80, 90.0, 90.0, 55.5, 39.5)
FLOOR = Floor.from_mounting(0.5, pitch=0.15, roll=0.02)
WALL = 3.0


def room(height: float = FLOOR.height) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) depth of a floor `height` below the camera with a wall behind, and which pixels are floor."""
    slope = -(CAMERA.rays() @ FLOOR.normal)
    depth = np.where(slope > 0, height / np.maximum(slope, 1e-6), np.inf)
    return np.minimum(depth, WALL).astype(np.float32), depth < WALL


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.5])
def test_the_floor_is_found_in_depth_of_another_scale(factor):
    depth, floor = room()
    found = find_floor_pixels(FLOOR, CAMERA, np.stack([factor * depth] * FEWEST))
    assert found is not None and found.views == FEWEST
    on = found.on[0]
    assert (on & floor).sum() > 0.95 * floor.sum() and (on & ~floor).sum() < 0.05 * floor.sum()


def test_the_error_is_that_of_the_floors_depth():
    depth, _ = room()
    found = find_floor_pixels(FLOOR, CAMERA, np.stack([depth] * FEWEST))
    numbers = np.array([0, 3])
    both = torch.from_numpy(np.stack([depth, 1.1 * depth]))
    exact, scaled = found.errors(numbers, both).tolist()
    assert exact < 1e-3
    seen = float(found.errors(numbers, both * np.e**0.2)[0]) / 0.2  # the weight of the floor in view
    assert 0.2 < seen < 1.0 and scaled == pytest.approx(seen * np.log(1.1), rel=0.02)


def test_the_wall_behind_does_not_count():
    """But for a few pixels at its foot, which lie on the floor's plane within the band."""
    depth, floor = room()
    found = find_floor_pixels(FLOOR, CAMERA, np.stack([depth] * FEWEST))
    changed = torch.from_numpy(np.where(floor, depth, 2 * depth)[None])
    assert float(found.errors(np.array([0]), changed)) < 0.01


def test_a_table_is_no_floor():
    table, _ = room(0.2)
    assert find_floor_pixels(FLOOR, CAMERA, np.stack([table] * FEWEST)) is None
    floors = [room()[0]] * FEWEST
    found = find_floor_pixels(FLOOR, CAMERA, np.stack([*floors, table]))
    assert found.views == FEWEST and not found.on[-1].any()


def test_a_plane_unlike_the_floor_of_most_keyframes_is_left_out():
    box, _ = room(0.3)
    found = find_floor_pixels(FLOOR, CAMERA, np.stack([*[room()[0]] * FEWEST, box]))
    assert not found.on[-1].any()


def test_too_few_floors_are_none():
    depth, _ = room()
    wall = np.full_like(depth, WALL)
    assert find_floor_pixels(FLOOR, CAMERA, np.stack([*[depth] * (FEWEST - 1), *[wall] * 20])) is None


def test_a_minority_at_the_given_height_is_no_floor():
    """The height is wrong: most keyframes have their floor elsewhere, and a few a shelf that fits."""
    shelf, floor = room(0.4)[0], room(1.2)[0]
    assert find_floor_pixels(FLOOR, CAMERA, np.stack([shelf] * FEWEST)) is not None
    assert find_floor_pixels(FLOOR, CAMERA, np.stack([*[shelf] * FEWEST, *[floor] * (FEWEST + 1)])) is None
