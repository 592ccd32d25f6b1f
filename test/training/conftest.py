# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml


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


def _write_rooms(cache: Path, seed: int, rooms: int, what: str = "rooms") -> None:
    from clip2depth_ros.simulation.shards import SCENES_PER_SHARD, shard_path

    rng = np.random.default_rng(seed)
    (cache / what).mkdir(parents=True, exist_ok=True)
    for first in range(seed, seed + rooms, SCENES_PER_SHARD):
        count = min(SCENES_PER_SHARD, seed + rooms - first)
        distance = rng.uniform(1, 5, count)
        light = (250 / distance).astype(np.uint8)[:, None, None, None]
        depth = (1000 * distance).astype(np.uint16)[:, None, None]
        np.savez(
            shard_path(cache / what, first, count, 1, 128, 96, what),
            image=np.broadcast_to(light, (count, 96, 128, 3)),
            depth=np.broadcast_to(depth, (count, 96, 128)),
            fx=np.full(count, 100, np.float32),
            caption=np.array([f"a wall {d:.1f} metres away" for d in distance]),
        )


@pytest.fixture
def write_rooms():
    """Function (cache, seed, rooms, what="rooms"): shards as the simulator's, one 128x96 view of each room.

    They show walls whose brightness says their distance.
    """
    return _write_rooms


@pytest.fixture
def small_recipe(tmp_path, write_rooms):
    """Function (depth, validation_rooms, **changes): a recipe of a few small steps over made-up rooms.

    Writes it, its rooms and a CLIP's weights; returns the command line's arguments that name them. depth: the
    stage. changes: other parts of the recipe; of its network, what differs.
    """

    def make(depth: dict, validation_rooms: int, network: dict | None = None, **changes) -> list[str]:
        from clip2depth_ros.network import create_clip, find_backbone
        from clip2depth_ros.network.checkpoint import write_tensors

        cache, config, weights = (tmp_path / name for name in ("cache", "small.yaml", "clip.safetensors"))
        write_rooms(cache, 0, 32)
        write_rooms(cache, 500, validation_rooms)
        write_tensors(weights, create_clip(find_backbone("mini")).state_dict(), {})
        rooms = {
            "kind": "rooms", "size": [96, 128], "rooms": 32, "validation_rooms": validation_rooms,
            "views_per_room": 1, "validation_seed": 500,
        }  # fmt: skip
        recipe = {
            "name": "small",
            "trained_on": "nothing real",
            "threads": 1,
            "network": {"backbone": "mini", "size": [32, 64]} | (network or {}),
            "data": {"training": [rooms], "validation": [rooms | {"split": "validation"}], "workers": 1},
            "depth": {"learning_rate": 1e-3} | depth,
        }
        config.write_text(yaml.safe_dump(recipe | changes))
        return ["--config", str(config), "--cache", str(cache), "--clip-weights", str(weights)]

    return make
