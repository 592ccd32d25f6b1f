# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network needs PyTorch")

from torch import nn  # noqa: E402

from clip2depth_ros.adaptation.floor import FEWEST, find_floor_pixels  # noqa: E402
from clip2depth_ros.adaptation.objective import Objective, Views, Weights, choose_views  # noqa: E402
from clip2depth_ros.adaptation.recording import Keyframes  # noqa: E402
from clip2depth_ros.camera import Camera  # noqa: E402
from clip2depth_ros.camera.transforms import pose_matrix  # noqa: E402
from clip2depth_ros.images.frame import Floor  # noqa: E402

CAMERA = Camera(96, 64, 80.0, 80.0, 47.5, 31.5)
TURN = np.radians(20.0)
DISTANCE = 2.0  # of the wall, meters


class Scaled(nn.Module):
    """Depth of a wall before view 0, seen from two views, times a trainable factor of each view."""

    def __init__(self, depth: np.ndarray) -> None:
        super().__init__()
        self.depth = torch.tensor(depth, dtype=torch.float32)
        self.log_factor = nn.Parameter(torch.zeros(len(depth)))

    def decode(self, taps: list[torch.Tensor]) -> torch.Tensor:
        numbers = taps[0].flatten().long()
        return self.depth[numbers] * self.log_factor[numbers].exp()[:, None, None]


@pytest.fixture
def turned():
    """Objective of two views of a wall, the second one turned to the side, and its network."""
    poses = np.stack([np.eye(4), pose_matrix(0, 0, 0, 0, TURN, 0)])
    x = (np.arange(CAMERA.width) - CAMERA.cx) / CAMERA.fx
    rays = np.stack(np.broadcast_arrays(x, 0.0, 1.0), -1)
    depth = np.stack([DISTANCE / (rays @ pose[:3, :3].T)[:, 2] for pose in poses])
    depth = np.broadcast_to(depth[:, None], (2, CAMERA.height, CAMERA.width)).astype(np.float32)
    images = np.full((2, CAMERA.height, CAMERA.width, 3), 128, np.uint8)
    inner = (slice(0, CAMERA.height), slice(0, CAMERA.width))
    frames = Keyframes(images, poses, np.array([0.0, 1.0]), ["0", "1"], None, CAMERA, inner, 1.0)
    network = Scaled(depth)
    taps = [np.arange(2, dtype=np.float16).reshape(2, 1, 1, 1)]
    return Objective(network, frames, taps, depth, Weights()), network  # pyright: ignore[reportArgumentType]


def test_true_depths_of_overlapping_views_agree(turned):
    objective, _ = turned
    apart, _ = objective._overlap(np.array([1]), np.array([0]))
    assert float(apart.detach()) < 0.01


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_the_factor_of_an_overlapping_view_is_taken_over(turned, factor):
    objective, network = turned
    with torch.no_grad():
        network.log_factor[1] = float(np.log(factor))
    apart, _ = objective._overlap(np.array([1]), np.array([0]))
    assert float(apart.detach()) == pytest.approx(abs(np.log(factor)), abs=0.05)
    apart.backward()
    gradient = network.log_factor.grad
    assert np.sign(float(gradient[1])) == np.sign(factor - 1)
    assert float(gradient[0]) == 0.0


def test_a_step_has_pairs_and_views_that_only_overlap():
    sources = [np.array([1]), np.array([0]), np.array([], np.int64), np.array([], np.int64)]
    overlapping = [np.array([], np.int64)] * 2 + [np.array([0, 1]), np.array([], np.int64)]
    views = choose_views(
        sources, overlapping, np.array([0, 1]), np.array([2]), 2, 3, 0, 0, np.random.default_rng(0)
    )
    assert set(views.targets) == {0, 1} and len(views.targets) == 4
    assert list(views.alone) == [2] and views.overlapping[0] in (0, 1)
    nothing = choose_views(
        sources, overlapping, np.array([0, 1]), np.array([], np.int64), 2, 3, 0, 0, np.random.default_rng(0)
    )
    assert len(nothing.alone) == len(nothing.overlapping) == 0


def textured_room(floor: Floor, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image (h, w, 3) uint8 and depth (h, w) of a floor with a wall 2.5 m ahead, from `position`."""
    rays = CAMERA.rays().astype(np.float64)
    ahead = np.array([0, 0, 1]) - floor.normal * floor.normal[2]
    ahead /= np.linalg.norm(ahead)
    below = floor.height / np.maximum(-(rays @ floor.normal), 1e-6)
    depth = np.minimum(below, (2.5 - position @ ahead) / np.maximum(rays @ ahead, 1e-6))
    phase = (rays * depth[..., None] + position) @ np.random.default_rng(5).normal(0, 12, (3, 6))
    gray = np.clip(127 + 20 * np.sin(phase).sum(-1), 0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2), depth.astype(np.float32)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_the_floor_corrects_the_scale_of_the_odometry(factor):
    """The old depth is wrong by the odometry's factor, so that images and odometry agree with it."""
    floor = Floor.from_mounting(0.5, pitch=0.25)
    positions = [np.zeros(3), np.array([0.15, 0.0, 0.0])] * (FEWEST // 2)
    images, depths = map(np.stack, zip(*(textured_room(floor, p) for p in positions), strict=True))
    poses = np.stack([np.eye(4)] * FEWEST)
    poses[:, :3, 3] = factor * np.stack(positions)
    inner = (slice(0, CAMERA.height), slice(0, CAMERA.width))
    names = [str(i) for i in range(FEWEST)]
    frames = Keyframes(images, poses, np.arange(float(FEWEST)), names, None, CAMERA, inner, 1.0)
    old = (factor * depths).astype(np.float32)
    network = Scaled(old)
    taps = [np.arange(FEWEST, dtype=np.float16).reshape(-1, 1, 1, 1)]
    pixels = find_floor_pixels(floor, CAMERA, old)
    objective = Objective(network, frames, taps, old, Weights(), 0.05, floor=pixels)  # pyright: ignore[reportArgumentType]
    nothing = np.empty(0, np.int64)
    views = Views(np.array([0, 1]), np.array([[1, 1, 1], [0, 0, 0]]), nothing, nothing, nothing)
    trained = [
        {"params": [network.log_factor], "lr": 3e-3},
        {"params": [objective.odometry_change], "lr": 1e-4},
    ]
    optimizer = torch.optim.Adam(trained)
    assert objective.odometry_factor == 1.0
    for step in range(150):
        optimizer.zero_grad()
        objective(views, step)[0].backward()
        optimizer.step()
    assert objective.odometry_factor == pytest.approx(factor, abs=0.02)
    assert network.log_factor[:2].detach().exp().numpy() == pytest.approx(1 / factor, abs=0.02)
