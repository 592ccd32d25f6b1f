# SPDX-License-Identifier: Apache-2.0
# the package is not imported if PyTorch is missing
import copy
import dataclasses

import pytest

pytest.importorskip("torch", reason="the network needs PyTorch")

import open_clip
import torch

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network import (
    backbones,
    create_clip,
    create_network,
    find_backbone,
    load_checkpoint,
    save_checkpoint,
)
from clip2depth_ros.network.checkpoint import checkpoint_facts, write_tensors
from clip2depth_ros.network.clip2depth import CONDITIONS, SENTENCE

pytestmark = pytest.mark.torch

SIZE = (64, 96)


@pytest.fixture
def network():
    return create_network("mini", weights=None, size=SIZE)


def some_images(count=2, size=SIZE):
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8)


def take_steps(network, steps=3):
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        network.train()
        loss = (network(some_images()).log() - 1.0).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_an_unknown_backbone_lists_the_known_ones():
    with pytest.raises(
        Clip2DepthError, match="'vit'; known backbones: MobileCLIP2-S0, ViT-B-16-quickgelu, mini"
    ):
        find_backbone("vit")


def test_the_registry_is_complete():
    for backbone in backbones().values():
        assert len(backbone.taps) == len(backbone.decoder_widths)
        assert len(backbone.mean) == len(backbone.std) == 3
        assert backbone.licence
    assert find_backbone("ViT-B-16-quickgelu").taps == ("block3", "block6", "block9")


def test_clip_weights_are_safetensors_and_nothing_else(tmp_path):
    mini = find_backbone("mini")
    with pytest.raises(Clip2DepthError, match="no published weights"):
        create_clip(mini, "pretrained")
    with pytest.raises(Clip2DepthError, match="no CLIP weights at"):
        create_clip(mini, tmp_path / "none.safetensors")
    pickle = tmp_path / "clip.pt"
    torch.save({}, pickle)
    with pytest.raises(Clip2DepthError, match=r"must be a .safetensors file"):
        create_clip(mini, pickle)


def test_depth_is_metric_positive_and_of_the_images_size(network):
    depth = network.eval()(some_images())
    assert depth.shape == (2, *SIZE) and depth.dtype == torch.float32
    assert depth.min() >= network.depth_range[0] and depth.max() <= network.depth_range[1]


def test_bytes_and_normalized_floats_are_the_same_image(network):
    image = some_images()
    mean, std = (torch.tensor(v)[:, None, None] for v in (network.backbone.mean, network.backbone.std))
    normalised = (image.permute(0, 3, 1, 2) / 255 - mean) / std
    network.eval()
    torch.testing.assert_close(network(normalised), network(image), rtol=1e-4, atol=0)


def test_frozen_towers_are_bit_identical_after_training_steps(network):
    towers = ("image_tower.", "text_tower.")
    before = {k: v.clone() for k, v in network.state_dict().items()}
    take_steps(network)
    after = network.state_dict()
    assert any("running_mean" in k for k in before if k.startswith("image_tower."))
    for name, value in after.items():
        if name.startswith(towers):
            assert torch.equal(value, before[name]), name
    assert not torch.equal(after["mirror.tokens"], before["mirror.tokens"])
    moved = [k for k in after if k.startswith("decoder.") and not torch.equal(after[k], before[k])]
    assert len(moved) > 20


def test_only_mirror_and_decoder_are_trainable_and_saved(network):
    trainable = {k for k, p in network.named_parameters() if p.requires_grad}
    assert trainable == {k for k, _ in network.named_parameters() if k.startswith(("mirror.", "decoder."))}
    assert trainable <= network.trainable_state().keys()
    assert not any("tower" in k for k in network.trainable_state())


def test_towers_stay_in_evaluation_mode(network):
    network.train()
    assert network.training and network.decoder.training
    assert not any(m.training for m in network.image_tower.modules())
    assert not any(m.training for m in network.text_tower.modules())


def test_mirror_gets_a_gradient_through_the_text_tower(network):
    take_steps(network, 1)
    assert (network.mirror.tokens.grad.abs().sum(1) > 0).all()


def test_cached_embedding_equals_the_live_one(network):
    take_steps(network)
    image = some_images()
    network.eval()
    live = network(image)
    network.freeze_mirror()
    torch.testing.assert_close(network(image), live, rtol=1e-6, atol=0)
    assert network.text_tower is None and network.mirror is None
    assert not any("text_tower" in k or "mirror" in k for k in network.state_dict())
    with pytest.raises(Clip2DepthError, match="was dropped"):
        network.embedding()


def test_the_mirror_reaches_the_depth(network):
    network.eval()
    image = some_images()
    before = network(image)
    with torch.no_grad():
        network.mirror.tokens.normal_()
    assert (network(image) / before - 1).abs().max() > 1e-4


def test_without_skips_only_the_deepest_tap_counts():
    network = create_network("mini", weights=None, size=SIZE, skips=False).eval()
    taps = network.image_tower(network.preprocess(some_images()))
    other = [torch.zeros_like(t) for t in taps[:-1]] + taps[-1:]
    assert torch.equal(network.decode(taps), network.decode(other))


@pytest.mark.slow
def test_the_papers_network_trains_about_1_2_million_parameters():
    network = create_network("ViT-B-16-quickgelu", weights=None, size=(64, 96))
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert network.mirror.tokens.shape == (64, 512)
    assert 0.9e6 < trainable < 1.3e6
    assert network.image_tower.strides[-1] == network.backbone.stride == 16
    take_steps(network, 1)
    assert network.eval()(some_images(1)).shape == (1, 64, 96)


def test_checkpoint_round_trip_with_its_clip(network, tmp_path):
    take_steps(network, 1)
    clip = create_clip(find_backbone("mini"))
    write_tensors(tmp_path / "clip.safetensors", clip.state_dict(), {})
    ours = type(network)(
        clip, network.backbone, size=SIZE, canonical_focal_px=77.0, depth_range=(0.2, 9.0)
    ).eval()
    save_checkpoint(tmp_path / "c.safetensors", ours, clip_weights="clip.safetensors", notes={"seed": 3})
    loaded = load_checkpoint(tmp_path / "c.safetensors")
    image = some_images()
    assert torch.equal(loaded(image), ours(image))
    assert (loaded.canonical_focal_px, loaded.depth_range, loaded.size) == (77.0, (0.2, 9.0), SIZE)
    assert checkpoint_facts(tmp_path / "c.safetensors")["notes"] == {"seed": 3}

    write_tensors(tmp_path / "clip.safetensors", create_clip(find_backbone("mini")).state_dict(), {})
    with pytest.raises(Clip2DepthError, match="belongs to a CLIP with SHA-256"):
        load_checkpoint(tmp_path / "c.safetensors")


def test_broken_checkpoints_are_errors_that_name_the_file(tmp_path):
    with pytest.raises(Clip2DepthError, match=r"no file .*none.safetensors"):
        load_checkpoint(tmp_path / "none.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(Clip2DepthError, match=r"torn.safetensors is not a readable safetensors file"):
        load_checkpoint(tmp_path / "torn.safetensors")
    write_tensors(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(Clip2DepthError, match=r"not a clip2depth checkpoint: .*other.safetensors"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_invalid_depth_range_is_rejected(network):
    clip = create_clip(network.backbone)
    with pytest.raises(Clip2DepthError, match="depth range"):
        type(network)(clip, dataclasses.replace(network.backbone), depth_range=(2.0, 1.0))


def test_the_sentence_replaces_the_mirror(network):
    """That is, its own embedding, scaled like the mirror's, and never trained."""
    clip = create_clip(network.backbone).eval()
    told = type(network)(clip, network.backbone, size=SIZE, condition="sentence")
    with torch.no_grad():
        expected = clip.encode_text(open_clip.get_tokenizer("clip2depth-mini")([SENTENCE]))[0]
        expected = expected / expected.square().mean().sqrt()
        torch.testing.assert_close(told.embedding(), expected, atol=1e-4, rtol=1e-4)
    before = told.mirror.tokens.clone()
    take_steps(told)
    assert torch.equal(told.mirror.tokens, before) and "mirror.tokens" in told.trainable_state()


def test_a_random_mirror_is_not_trained(network):
    frozen = create_network("mini", weights=None, size=SIZE, condition="random")
    before = frozen.mirror.tokens.clone()
    take_steps(frozen)
    assert torch.equal(frozen.mirror.tokens, before)
    assert frozen.mirror.tokens.shape == network.mirror.tokens.shape


def test_without_condition_there_is_no_film(network):
    plain = create_network("mini", weights=None, size=SIZE, condition="none")
    take_steps(plain, 1)
    assert not any("film" in name or "mirror" in name for name in plain.trainable_state())
    held = copy.deepcopy(plain).eval()
    assert torch.equal(held.freeze_mirror()(some_images(1)[:0]), torch.empty(0, *SIZE))


def test_conditions_begin_with_the_same_decoder():
    first = {}
    for condition in CONDITIONS:
        torch.manual_seed(11)
        network = create_network("mini", weights=None, size=SIZE, condition=condition)
        for name, value in network.decoder.state_dict().items():
            assert torch.equal(value, first.setdefault(name, value)), (condition, name)


def test_an_unknown_condition_is_rejected():
    with pytest.raises(
        Clip2DepthError, match="unknown condition 'words'; known conditions: mirror, random, sentence, none"
    ):
        create_network("mini", weights=None, size=SIZE, condition="words")
