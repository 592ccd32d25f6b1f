# SPDX-License-Identifier: Apache-2.0
# the package is not imported if PyTorch is missing
import pytest

pytest.importorskip("torch", reason="the network needs PyTorch")

import torch
from open_clip.model import CLIPVisionCfg, _build_vision_tower
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network import create_clip, find_backbone
from clip2depth_ros.network.image_tower import create_image_tower

pytestmark = pytest.mark.torch


def small_vit(image_size=64):
    torch.manual_seed(1)
    return VisionTransformer(image_size, patch_size=16, width=48, layers=5, heads=4, mlp_ratio=2.0).eval()


def small_resnet():
    torch.manual_seed(1)
    return ModifiedResNet([1, 1, 1, 1], output_dim=32, heads=4, image_size=64, width=8).eval()


def shapes(maps):
    return [tuple(m.shape) for m in maps]


@pytest.mark.parametrize("size", [(64, 64), (32, 96), (80, 48)])
def test_vit_taps_have_the_patch_grid_of_any_size(size):
    tower = create_image_tower(small_vit(), ["block1", "block3"], size).freeze()
    maps = tower(torch.rand(2, 3, *size))
    assert shapes(maps) == [(2, 48, size[0] // 16, size[1] // 16)] * 2
    assert tower.channels == (48, 48) and tower.strides == (16, 16)


def test_vit_taps_are_the_tokens_that_open_clip_computes():
    visual = small_vit()
    image = torch.rand(1, 3, 64, 64)
    expected = visual.forward_intermediates(image, indices=[1, 3], intermediates_only=True)[
        "image_intermediates"
    ]
    for ours, theirs in zip(
        create_image_tower(visual, ["block1", "block3"], (64, 64))(image), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_vit_position_embedding_is_interpolated_in_its_own_directions():
    visual = small_vit()
    grid = visual.positional_embedding.detach()[1:].reshape(4, 4, 48)
    with torch.no_grad():  # an embedding that varies only from row to row
        visual.positional_embedding[1:] = grid[:, :1].expand(4, 4, 48).reshape(16, 48)
    wide = create_image_tower(visual, ["block0"], (48, 128)).positional_embedding[1:].reshape(3, 8, 48)
    torch.testing.assert_close(wide, wide[:, :1].expand_as(wide), atol=1e-6, rtol=1e-5)
    assert (wide[0] - wide[2]).abs().max() > 1e-3


def test_vit_keeps_no_block_beyond_its_deepest_tap():
    assert len(create_image_tower(small_vit(), ["block1", "block3"], (64, 64)).blocks) == 4


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_modified_resnet_taps(size):
    tower = create_image_tower(small_resnet(), ["stem", "layer2", "layer4"], size)
    maps = tower(torch.rand(1, 3, *size))
    assert tower.strides == (4, 8, 32)
    assert shapes(maps) == [
        (1, c, size[0] // s, size[1] // s) for c, s in zip((8, 64, 256), (4, 8, 32), strict=True)
    ]


def test_modified_resnet_taps_are_open_clips_intermediates():
    visual, image = small_resnet(), torch.rand(1, 3, 64, 64)
    expected = visual.forward_intermediates(image, indices=[0, 2, 4], intermediates_only=True)[
        "image_intermediates"
    ]
    for ours, theirs in zip(
        create_image_tower(visual, ["stem", "layer2", "layer4"], (64, 64))(image), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_building_a_tower_changes_neither_batch_statistics_nor_modes():
    visual = small_resnet().train()
    before = {k: v.clone() for k, v in visual.state_dict().items()}
    create_image_tower(visual, ["layer1"], (64, 64))
    assert all(torch.equal(v, before[k]) for k, v in visual.state_dict().items())
    assert all(m.training for m in visual.layer1.modules())


def test_the_thin_resnet_of_mini_taps_at_a_size_that_is_not_square():
    backbone = find_backbone("mini")
    visual = create_clip(backbone).visual.eval()
    tower = create_image_tower(visual, ["stem", *backbone.taps], (64, 96))
    image = torch.rand(1, 3, 64, 96)
    maps = tower(image)
    assert tower.strides == (4, 4, 8, 16, 32)
    assert tower.channels == (32, 32, 64, 128, 256)
    assert [tuple(m.shape[2:]) for m in maps] == [(64 // s, 96 // s) for s in tower.strides]
    torch.testing.assert_close(maps[-1], visual.trunk.forward_features(image))


def test_timm_pyramid_taps():
    visual = _build_vision_tower(32, CLIPVisionCfg(timm_model_name="resnetv2_18", image_size=64), False)
    with pytest.raises(Clip2DepthError, match="stage9"):
        create_image_tower(visual, ["stage9"], (64, 64))
    tower = create_image_tower(visual.eval(), ["stage0", "stage3"], (64, 96))
    maps = tower(torch.rand(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 64 // s, 96 // s) for c, s in zip(tower.channels, tower.strides, strict=True)
    ]


@pytest.mark.slow
def test_mobileclip2_taps_at_a_size_that_is_not_square():
    backbone = find_backbone("MobileCLIP2-S0")
    tower = create_image_tower(create_clip(backbone).visual, backbone.taps, (64, 96)).freeze()
    assert tower.strides == (4, 8, 16, 32) and backbone.stride == 32
    assert shapes(tower(torch.rand(1, 3, 64, 96))) == [
        (1, 64, 16, 24), (1, 128, 8, 12), (1, 256, 4, 6), (1, 512, 2, 3)
    ]  # fmt: skip


@pytest.mark.parametrize(("taps", "size", "message"), [
    (["block5"], (64, 64), "block5.*block0 .. block4"),
    (["layer1"], (64, 64), "no tap 'layer1'"),
    (["block1"], (64, 60), "60x64 is not a multiple of the patch size 16x16"),
])  # fmt: skip
def test_vit_rejects_unsupported_taps(taps, size, message):
    with pytest.raises(Clip2DepthError, match=message):
        create_image_tower(small_vit(), taps, size)


def test_pyramid_rejects_a_size_that_its_strides_do_not_divide():
    with pytest.raises(Clip2DepthError, match="90x64 is not a multiple of 32"):
        create_image_tower(small_resnet(), ["layer1", "layer4"], (64, 90))


def test_other_towers_are_rejected_by_name():
    with pytest.raises(Clip2DepthError, match="Linear is not supported"):
        create_image_tower(torch.nn.Linear(1, 1), ["x"], (64, 64))
