# SPDX-License-Identifier: Apache-2.0
# the package is not imported if PyTorch is missing
"""The mirror's exact property: with a prompt's own token embeddings, it is equal to that prompt."""

import pytest

pytest.importorskip("torch", reason="the network needs PyTorch")

import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network.mirror import Mirror, TextTower

pytestmark = pytest.mark.torch

VISION = {"layers": 1, "width": 16, "head_width": 16, "patch_size": 16, "image_size": 32}
PROMPTS = [
    "How far is this location from the camera?",
    "a chair",
    "one two three four five six seven eight nine ten",
]


def small_clip(kind=CLIP, **text):
    torch.manual_seed(2)
    text = {"context_length": 24, "width": 32, "heads": 4, "layers": 2, **text}
    model = kind(embed_dim=20, vision_cfg=VISION, text_cfg=text).eval()
    return model.requires_grad_(False)


KINDS = [
    pytest.param(CLIP, {}, id="CLIP"),
    pytest.param(CustomTextCLIP, {}, id="CustomTextCLIP"),
    pytest.param(CustomTextCLIP, {"no_causal_mask": True}, id="no causal mask"),
    pytest.param(CustomTextCLIP, {"proj_bias": True}, id="projection with bias"),
    pytest.param(CustomTextCLIP, {"proj_type": "none"}, id="no projection"),
]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(("kind", "text"), KINDS)
def test_mirror_of_a_prompts_tokens_is_that_prompt(kind, text, prompt):
    clip = small_clip(kind, **text)
    tokens = open_clip.SimpleTokenizer(context_length=24)(prompt)
    words = tokens[0, 1 : tokens.argmax()]
    embedding = getattr(clip, "text", clip).token_embedding(words)
    torch.testing.assert_close(TextTower(clip)(embedding), clip.encode_text(tokens)[0], atol=1e-6, rtol=1e-5)


def test_mirror_normalizes_to_unit_mean_square():
    tower = TextTower(small_clip())
    assert Mirror(tower, 8)(tower).square().mean().item() == pytest.approx(1.0, rel=1e-5)


def test_number_of_tokens_is_limited():
    tower = TextTower(small_clip())
    assert Mirror(tower).tokens.shape == (22, 32)
    assert Mirror(tower, 5).tokens.shape == (5, 32)
    with pytest.raises(Clip2DepthError, match="23 mirror tokens do not fit: this text tower has room for 22"):
        tower(torch.zeros(23, 32))


def test_every_token_gets_a_gradient_through_the_frozen_tower():
    tower = TextTower(small_clip()).freeze()
    mirror = Mirror(tower)
    mirror(tower)[0].backward()
    assert (mirror.tokens.grad.abs().sum(1) > 0).all()
    assert all(p.grad is None for p in tower.parameters())


def test_the_vocabulary_is_not_kept():
    tower = TextTower(small_clip())
    assert max(t.numel() for t in tower.state_dict().values()) < 49408


def test_a_text_tower_that_does_not_pool_at_eos_is_rejected():
    with pytest.raises(Clip2DepthError, match="pools by 'last'"):
        TextTower(small_clip(CustomTextCLIP, pool_type="last"))
