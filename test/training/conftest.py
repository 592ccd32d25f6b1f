# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _one_thread_and_one_seed():
    torch = pytest.importorskip("torch", reason="the network needs PyTorch")
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _own_accelerator():
    """Accelerate keeps its first settings for the whole process; each test begins without any."""
    state = pytest.importorskip("accelerate.state", reason="training needs Accelerate")
    state.AcceleratorState._reset_state(True)
    yield
    state.AcceleratorState._reset_state(True)


def _write_rooms(cache: Path, seed: int, rooms: int) -> None:
    from clip2depth_ros.simulation.shards import SCENES_PER_SHARD, shard_path

    rng = np.random.default_rng(seed)
    (cache / "rooms").mkdir(parents=True, exist_ok=True)
    for first in range(seed, seed + rooms, SCENES_PER_SHARD):
        count = min(SCENES_PER_SHARD, seed + rooms - first)
        distance = rng.uniform(1, 5, count)
        light = (250 / distance).astype(np.uint8)[:, None, None, None]
        depth = (1000 * distance).astype(np.uint16)[:, None, None]
        np.savez(
            shard_path(cache / "rooms", first, count, 1, 128, 96),
            image=np.broadcast_to(light, (count, 96, 128, 3)),
            depth=np.broadcast_to(depth, (count, 96, 128)),
            fx=np.full(count, 100, np.float32),
            caption=np.array([f"a wall {d:.1f} metres away" for d in distance]),
        )


@pytest.fixture
def write_rooms():
    """Function (cache, seed, rooms): shards as the simulator's, one view a room of 128x96 pixels.

    They show walls whose brightness says their distance.
    """
    return _write_rooms
