# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
"""The whole recipe at toy size: pretrain, train, checkpoint, resume; and what it refuses."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

import open_clip

import clip2depth_ros.training as training
from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network import Clip2Depth, create_clip, find_backbone, load_checkpoint
from clip2depth_ros.network.checkpoint import checkpoint_facts, read_tensors, write_tensors
from clip2depth_ros.training import recipe as recipe_file
from clip2depth_ros.training.ablation import Ablation
from clip2depth_ros.training.configuration import Data, Phase, read_recipe
from clip2depth_ros.training.loss.objectives import (
    ClipWithDepth,
    DepthObjective,
    caption_loss,
    encode_captions,
)
from clip2depth_ros.training.recipe import Run
from clip2depth_ros.training.recovery import load_bundle_weights
from clip2depth_ros.training.state import read_facts

pytestmark = pytest.mark.torch

SIZE = (64, 96)
VALIDATION_SEED = 500


@pytest.fixture
def make_run(tmp_path, write_rooms):
    write_rooms(tmp_path / "cache", 0, 32)
    write_rooms(tmp_path / "cache", VALIDATION_SEED, 32)

    def make(name="run", network=None, depth=None, start=None, **changes):
        recipe = read_recipe(Path(training.__file__).parent / "configs" / "mini_sim.yaml")
        stage = {"images": 8, "phases": (Phase(1.0, SIZE, 4),), "report_steps": 1}
        rooms = {
            "kind": "rooms", "size": [96, 128], "rooms": 32, "validation_rooms": 32, "views_per_room": 1,
            "validation_seed": VALIDATION_SEED,
        }  # fmt: skip
        recipe = dataclasses.replace(
            recipe,
            network=dataclasses.replace(recipe.network, size=SIZE, **(network or {})),
            data=Data((rooms,), (rooms | {"split": "validation"},), validation_views=8, workers=0),
            # Not the recipe's Muon: a step of a whole CLIP takes ten seconds on a slow processor.
            pretrain=dataclasses.replace(recipe.pretrain, optimizer="adamw", **stage),
            depth=dataclasses.replace(recipe.depth, **stage, **(depth or {})),
            threads=1,
            precision="no",
        )
        recipe = dataclasses.replace(recipe, **changes)
        return Run(recipe, tmp_path / name, cache=tmp_path / "cache", start=start)

    return make


@pytest.fixture
def clip_file(tmp_path):
    torch.manual_seed(5)
    write_tensors(tmp_path / "clip.safetensors", create_clip(find_backbone("mini")).state_dict(), {})
    return tmp_path / "clip.safetensors"


@pytest.mark.slow
def test_recipe_ends_in_a_checkpoint_on_the_clip_it_made(make_run):
    run = make_run()
    checkpoint = run.train()
    network = load_checkpoint(checkpoint)
    assert network.size == SIZE and network.canonical_focal_px == run.recipe.network.canonical_focal_px
    joint = load_checkpoint(run.directory / "joint.safetensors")  # on the same CLIP, which it checks
    assert not torch.equal(joint.decoder.head[-1].weight, network.decoder.head[-1].weight)
    facts = checkpoint_facts(checkpoint)
    assert facts["clip_weights"] == "clip.safetensors"
    assert facts["notes"]["validation"]["abs_rel"] > 0
    assert sorted(p.suffix for p in run.directory.iterdir() if p.suffix == ".part") == []
    names = read_tensors(checkpoint)[0].keys() | read_tensors(run.directory / "depth.safetensors")[0].keys()
    assert not any("image_tower" in name or "text_tower" in name for name in names)

    weights = checkpoint.read_bytes()
    make_run().train()  # everything is done: nothing changes
    assert checkpoint.read_bytes() == weights


def test_pretraining_begins_where_a_bundle_ends(make_run, make_bundle):
    """At a learning rate of next to nothing, what comes out is the bundle."""
    stage = {"learning_rate": 1e-12, "final_learning_rate": 1e-12, "average": 0.0}
    pretrain = dataclasses.replace(make_run().recipe.pretrain, **stage)
    run = make_run("further", start="mini", pretrain=pretrain)
    run.pretrain()
    joint = load_checkpoint(run.directory / "joint.safetensors")
    bundle = open_bundle("mini")
    backbone = find_backbone("mini")
    other = Clip2Depth(create_clip(backbone), backbone, size=SIZE, canonical_focal_px=200.0)
    load_bundle_weights(other, bundle, run.validation_batch().image)
    for layer in ("decoder.head.1", "decoder.step.0.0.0", "image_tower.stages.layer3.1.conv2"):
        one, two = (model.get_submodule(layer).weight.detach().numpy() for model in (joint, other))
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-4)
    facts = read_facts(run.directory / "pretrain.safetensors")
    assert facts["identity"]["CLIP"] == bundle.manifest.model_sha256[:12]
    with pytest.raises(Clip2DepthError, match="backbone 'none', the network of 'mini'"):
        make_run("wrong", start=make_bundle().path).pretrain()


def test_a_bundle_s_decoder_is_trained_further_on_its_image_tower(make_run, monkeypatch):
    """At a learning rate of next to nothing, what comes out is the bundle; and it can be stopped."""
    stage = {"learning_rate": 1e-12, "final_learning_rate": 1e-12, "average": 0.0}
    run = make_run("camera", {"weights": "mini"}, stage, pretrain=None)
    run.train(limit=1)
    clip = run.clip_file.read_bytes()
    run = make_run("camera", {"weights": "mini"}, stage, pretrain=None)
    monkeypatch.setattr(run, "_take_from_bundle", None)  # it goes on with what is there
    network = load_checkpoint(run.train())
    assert run.clip_file.read_bytes() == clip and run.clip_file.parent == run.directory
    image = run.validation_batch().image[:1]
    backbone = find_backbone("mini")
    other = Clip2Depth(create_clip(backbone), backbone, size=SIZE, canonical_focal_px=200.0)
    load_bundle_weights(other, open_bundle("mini"), image)
    for layer in ("head.1", "reduce.2", "step.0.0.0"):  # into which no batch norm was folded
        one, two = (model.decoder.get_submodule(layer).weight.detach().numpy() for model in (network, other))
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-4)
    with torch.no_grad():
        maps = [
            model.eval().image_tower(model.preprocess(torch.from_numpy(image))) for model in (network, other)
        ]
    for one, two in zip(*maps, strict=True):
        assert one.numpy() == pytest.approx(two.numpy(), rel=1e-3, abs=1e-3)
    with pytest.raises(
        Clip2DepthError, match="an ablation trains every decoder from the start, but mini is a bundle"
    ):
        Ablation(run.recipe, run.directory, rows=("mirror",), seeds=1, judge=None, make_run=None)


@pytest.mark.parametrize("condition", ["random", "sentence", "none"])
def test_other_conditions_train_what_is_left_and_come_back(make_run, clip_file, condition):
    run = make_run(condition, {"weights": str(clip_file), "condition": condition}, pretrain=None)
    network = load_checkpoint(run.train())
    assert network.condition == condition and network.size == SIZE
    trained = read_tensors(run.directory / "depth.safetensors")[0]
    assert not any("mirror" in name for name in trained)
    assert any("decoder" in name for name in trained)


@pytest.mark.parametrize("decoder", ["new", "joint"])
def test_the_depth_stage_begins_anew_or_where_pretraining_ended(make_run, decoder):
    """At a learning rate of next to nothing, where it begins is where it ends."""
    slow = {"learning_rate": 1e-9, "final_learning_rate": 1e-9, "average": 0.0}
    run = make_run(decoder, depth=slow, decoder=decoder)
    network = load_checkpoint(run.train())
    joint = load_checkpoint(run.directory / "joint.safetensors")
    same = [
        torch.allclose(one, two, atol=1e-6)
        for (_, one), (_, two) in zip(network.named_parameters(), joint.named_parameters(), strict=True)
    ]
    tower = sum("image_tower" in name or "text_tower" in name for name, _ in network.named_parameters())
    assert all(same) if decoder == "joint" else tower <= sum(same) < len(same)
    identity = read_facts(run.directory / "depth.safetensors")["identity"]
    assert identity.get("decoder") == (None if decoder == "new" else "joint")


def test_pairs_train_with_the_temporal_loss(make_run, clip_file):
    run = make_run(
        "pairs", {"weights": str(clip_file)}, {"loss": dataclasses.replace(
            make_run().recipe.depth.loss, temporal=1.0)}, pretrain=None,
    )  # fmt: skip
    run.train()
    header, first, *_ = (run.directory / "depth-training.csv").read_text().splitlines()
    row = dict(zip(header.split(","), map(float, first.split(",")), strict=True))
    assert row["temporal"] > 0 and row["loss"] == pytest.approx(row["depth"] + row["temporal"], rel=1e-4)


def test_unknown_motion_goes_by_flow(make_run, clip_file, monkeypatch):
    """Both frames of a pair are the same room: with the motion taken away, flow finds that nothing moved."""
    loss = dataclasses.replace(make_run().recipe.depth.loss, temporal=1.0)
    run = make_run("flow", {"weights": str(clip_file)}, {"loss": loss}, pretrain=None)
    batches = run._batches(run.recipe.depth, 1)
    batch = batches(0, run.recipe.depth.phases[0])
    assert batch.flow is None and np.isfinite(batch.motion).all()
    batch.motion[1:] = np.nan
    batch.image[:] = batch.next_image[:] = np.random.default_rng(0).integers(0, 256, batch.image.shape)
    monkeypatch.setattr(type(batches.maker), "__call__", lambda *_, **__: batch)
    flowing = batches(0, run.recipe.depth.phases[0])
    assert np.isnan(flowing.flow[0]).all()
    assert np.nanmax(np.abs(flowing.flow[1:])) < 0.5 and np.isfinite(flowing.flow[1:]).mean() > 0.9
    network = run._network(create_clip(run.backbone, clip_file), frozen=True)
    _, parts = DepthObjective(network, loss)(flowing, 0)
    assert parts["temporal"] > 0


def test_random_weights_are_for_trying_out(make_run):
    checkpoint = make_run("random", {"weights": "random"}, pretrain=None).train(limit=1)
    with pytest.raises(Clip2DepthError, match="random weights that were not saved"):
        load_checkpoint(checkpoint)


def test_a_run_refuses_to_go_on_with_another_clip_or_another_recipe(make_run, clip_file):
    make_run("one", {"weights": str(clip_file)}, pretrain=None).train(limit=1)
    faster = {"learning_rate": 0.5}
    with pytest.raises(Clip2DepthError, match=r"with learning_rate 0\.001 and cannot be resumed with 0\.5"):
        make_run("one", {"weights": str(clip_file)}, faster, pretrain=None).train()
    torch.manual_seed(6)
    write_tensors(clip_file, create_clip(find_backbone("mini")).state_dict(), {})
    with pytest.raises(Clip2DepthError, match="was started with CLIP"):
        make_run("one", {"weights": str(clip_file)}, pretrain=None).train()


def test_a_clip_can_begin_with_an_earlier_ones_weights(make_run, clip_file):
    run = make_run(start=clip_file)
    run.pretrain(limit=1)
    begun, (made, _) = read_tensors(clip_file)[0], read_tensors(run.clip_file)
    learned = [n for n in begun if not n.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    moved = max((made[name] - begun[name]).abs().max().item() for name in learned)
    assert 0 < moved < 2 * run.recipe.pretrain.learning_rate
    with pytest.raises(Clip2DepthError, match="was started with CLIP"):
        make_run().pretrain()
    with pytest.raises(Clip2DepthError, match="trains no CLIP that could start from"):
        make_run(start=clip_file, pretrain=None)


def test_validation_is_fixed_and_unaugmented(make_run):
    first, second = make_run().validation_batch(), make_run().validation_batch()
    assert np.array_equal(first.image, second.image)
    assert first.image.shape == (8, *SIZE, 3)


def test_data_are_below_the_root(make_run, tmp_path):
    data = Data(({"kind": "kitti", "root": "kitti/raw", "split": "train"},), ())
    with pytest.raises(Clip2DepthError, match=f"{tmp_path}/elsewhere/kitti/raw"):
        Run(make_run(data=data).recipe, tmp_path, root=tmp_path / "elsewhere").training_sets  # noqa: B018
    with pytest.raises(Clip2DepthError, match="mini_sim names no data set"):
        make_run(data=Data((), ())).prepare()


def test_a_precision_that_the_machine_lacks_is_an_error_in_words(make_run, monkeypatch):
    def refuse(**_):
        raise ValueError("bf16 mixed precision requires a newer GPU")

    monkeypatch.setattr(recipe_file, "Accelerator", refuse)
    with pytest.raises(Clip2DepthError, match="precision bf16 does not work here"):
        make_run(precision="bf16").train()


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


def test_images_without_a_caption_take_no_part_in_the_captions_loss():
    """Real frames have none: they train depth alone."""
    backbone = find_backbone("mini")
    torch.manual_seed(0)
    clip = create_clip(backbone).eval()
    network = Clip2Depth(clip, backbone, size=(64, 64), depth_range=(0.1, 30.0), canonical_focal_px=100.0)
    module = ClipWithDepth(clip, network.eval(), open_clip.get_tokenizer(backbone.clip)).eval()
    images = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        _, some = module(images, ["a chair", "", "a table", ""])
        _, alone = module(images[[0, 2]], ["a chair", "a table"])
        _, none = module(images, ["", "", "", ""])
    torch.testing.assert_close(some, alone, atol=1e-4, rtol=1e-3)
    assert none is None


def test_equal_captions_match_each_other():
    logits = torch.tensor([[9.0, 9.0, 0.0], [9.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    told = caption_loss(logits, ["a", "a", "b"])
    untold = caption_loss(logits, ["a", "c", "b"])
    assert told.item() == pytest.approx(untold.item(), rel=1e-4)
    swapped = caption_loss(logits[[0, 2, 1]], ["a", "b", "c"])
    assert swapped > told + 3
