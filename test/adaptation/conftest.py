# SPDX-License-Identifier: Apache-2.0
"""Recordings of a textured wall, drawn by shifting a picture: depth and motion are known exactly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import Frame

DISTANCE = 2.0
FPS = 10


@pytest.fixture(autouse=True)
def _one_thread():
    torch = pytest.importorskip("torch", reason="the network needs PyTorch")
    state = pytest.importorskip("accelerate.state", reason="adapting needs Accelerate")
    torch.set_num_threads(1)
    state.AcceleratorState._reset_state(True)
    yield
    state.AcceleratorState._reset_state(True)


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 of blobs of several sizes."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for size in (1.2, 3, 8, 20):
        noise = cv2.GaussianBlur(rng.standard_normal((height, width, 3)).astype(np.float32), (0, 0), size)
        total += noise / noise.std()
    return np.clip(127 + 30 * total, 0, 255).astype(np.uint8)


def _wall_frames(
    count: int, step: float, *, distance: float = DISTANCE, picture: np.ndarray | None = None
) -> list[Frame]:
    """`count` frames, each `step` meters further sideways along a wall that is `distance` meters away."""
    camera = Camera.from_fov(224, 160, 1.1)
    shift = camera.fx * step / distance
    if picture is None:
        picture = texture(160, 224 + int(abs(shift) * count) + 2)
    frames = []
    for index in range(count):
        move = np.array([[1, 0, -shift * index], [0, 1, 0]], np.float32)
        image = cv2.warpAffine(picture, move, (224, 160), borderMode=cv2.BORDER_REFLECT)
        pose = np.eye(4)
        pose[0, 3] = step * index
        frame = Frame(image, index * 10**9 // FPS, "camera", camera, f"{index:06d}")
        frame.odometry, frame.depth = pose, np.full((160, 224), distance, np.float32)
        frames.append(frame)
    return frames


@pytest.fixture(scope="session")
def recorded(mini):
    """(frames, most=100) -> their keyframes for mini."""
    from clip2depth_ros.adaptation.recording import Recorder

    def record(frames, most=100):
        recorder = Recorder(mini.manifest, most)
        for frame in frames:
            recorder.add(frame)
        return recorder.finish()

    return record


@pytest.fixture(scope="session")
def wall_frames():
    """(count, step, distance=DISTANCE, picture=None) -> frames."""
    return _wall_frames


@pytest.fixture(scope="session")
def mini():
    from clip2depth_ros.bundle import open_bundle

    return open_bundle("mini")
