# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
"""The whole recipe at toy size: render, pretrain, train, checkpoint, resume."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

import open_clip

import clip2depth_ros.training as training
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network import create_clip, find_backbone, load_checkpoint
from clip2depth_ros.network.checkpoint import checkpoint_facts
from clip2depth_ros.simulation.shards import SCENES_PER_SHARD, shard_path
from clip2depth_ros.training.configuration import Phase, read_recipe
from clip2depth_ros.training.objectives import caption_loss, encode_captions
from clip2depth_ros.training.recipe import Run
from clip2depth_ros.training.rooms import RoomViews

pytestmark = pytest.mark.torch

SIZE = (64, 96)


def write_shards(folder: Path, seed: int, rooms: int):
    """Shards as the simulator's, filled with walls whose brightness says their distance."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(seed, seed + rooms, SCENES_PER_SHARD):
        distance = rng.uniform(1, 5, SCENES_PER_SHARD)
        light = (250 / distance).astype(np.uint8)
        np.savez(
            shard_path(folder, first, SCENES_PER_SHARD, 1, 128, 96),
            image=np.broadcast_to(light[:, None, None, None], (SCENES_PER_SHARD, 96, 128, 3)),
            depth=np.broadcast_to(
                (1000 * distance).astype(np.uint16)[:, None, None], (SCENES_PER_SHARD, 96, 128)
            ),
            fx=np.full(SCENES_PER_SHARD, 100, np.float32),
            caption=np.array([f"a wall {d:.1f} metres away" for d in distance]),
        )


@pytest.fixture
def run(tmp_path):
    recipe = read_recipe(Path(training.__file__).parent / "configs" / "mini_sim.yaml")
    phases = (Phase(1.0, SIZE, 4),)
    stage = {"images": 8, "minutes": 10.0, "phases": phases}
    recipe = dataclasses.replace(
        recipe,
        network=dataclasses.replace(recipe.network, size=SIZE),
        views=dataclasses.replace(
            recipe.views, size=(96, 128), training_rooms=64, validation_rooms=32, views_per_room=1
        ),
        pretrain=dataclasses.replace(recipe.pretrain, **stage),
        depth=dataclasses.replace(recipe.depth, **stage),
        threads=1,
        bfloat16=False,
    )
    rooms = RoomViews(recipe.views, tmp_path / "cache")
    write_shards(rooms.folder, recipe.views.training_seed, 64)
    write_shards(rooms.folder, recipe.views.validation_seed, 32)
    return Run(recipe, tmp_path / "run", rooms)


@pytest.mark.slow
def test_recipe_ends_in_a_checkpoint_on_the_clip_it_made(run):
    checkpoint = run.train()
    network = load_checkpoint(checkpoint)
    assert network.size == SIZE and network.canonical_focal_px == run.recipe.network.canonical_focal_px
    facts = checkpoint_facts(checkpoint)
    assert facts["clip_weights"] == "clip.safetensors"
    assert facts["notes"]["validation"]["abs_rel"] > 0
    assert sorted(p.suffix for p in run.directory.iterdir() if p.suffix == ".part") == []

    weights = checkpoint.read_bytes()
    Run(run.recipe, run.directory, run.rooms).train()  # everything is done: nothing changes
    assert checkpoint.read_bytes() == weights


def test_views_that_are_not_rendered_are_an_error(run, tmp_path):
    empty = Run(run.recipe, tmp_path / "other", RoomViews(run.recipe.views, tmp_path / "nothing"))
    with pytest.raises(Clip2DepthError, match="no validation views: render some first"):
        empty.validation_batch()


def test_training_takes_in_shards_that_come_later(run):
    views = run.rooms.training()
    assert len(views) == 64
    (run.rooms.folder / "x").mkdir()
    late = shard_path(run.rooms.folder, 32, 32, 1, 128, 96)
    moved = late.rename(run.rooms.folder / "x" / "late")
    fresh = RoomViews(run.recipe.views, run.rooms.folder.parent)
    assert len(fresh.training()) == 32
    moved.rename(late)
    assert len(fresh.training()) == 64 and fresh.training() is fresh.training()


def test_validation_is_fixed_and_unaugmented(run):
    first, second = run.validation_batch(), run.validation_batch()
    assert np.array_equal(first.image, second.image)
    assert first.image.shape == (32, *SIZE, 3)


def test_training_and_validation_rooms_may_not_overlap(run, tmp_path):
    views = dataclasses.replace(run.recipe.views, validation_seed=10)
    with pytest.raises(Clip2DepthError, match="overlap"):
        RoomViews(views, tmp_path)


def test_captions_cut_short_are_the_same_captions():
    backbone = find_backbone("mini")
    clip = create_clip(backbone).eval()
    tokens = open_clip.get_tokenizer(backbone.clip)(
        ["a chair", "a long table with three cups 2.1 metres away"]
    )
    with torch.no_grad():
        torch.testing.assert_close(
            encode_captions(clip, tokens), clip.encode_text(tokens), atol=1e-5, rtol=1e-4
        )


def test_equal_captions_match_each_other():
    logits = torch.tensor([[9.0, 9.0, 0.0], [9.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    told = caption_loss(logits, ["a", "a", "b"])
    untold = caption_loss(logits, ["a", "c", "b"])
    assert told.item() == pytest.approx(untold.item(), rel=1e-4)
    swapped = caption_loss(logits[[0, 2, 1]], ["a", "b", "c"])
    assert swapped > told + 3
