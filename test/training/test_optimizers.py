# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from torch import nn

from clip2depth_ros.training.optimizers import create_optimizer

pytestmark = pytest.mark.torch


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.mirror = nn.Parameter(torch.randn(8, 16))
        self.first = nn.Conv2d(3, 16, 3)
        self.middle = nn.Conv2d(16, 24, 3)
        self.norm = nn.BatchNorm2d(24)
        self.up = nn.ConvTranspose2d(24, 12, 4, 2)
        self.frozen = nn.Linear(16, 16).requires_grad_(False)


def names_of(module, parameters):
    names = {parameter: name for name, parameter in module.named_parameters()}
    return {names[parameter] for parameter in parameters}


def step(module, optimizer):
    """One step down a random slope; the change of each parameter."""
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    for p in module.parameters():
        if p.requires_grad:
            p.grad = torch.randn_like(p)
    optimizer.step()
    return {name: p.detach() - before[name] for name, p in module.named_parameters()}


def test_adamw_takes_all_and_decays_only_matrices():
    module = Small()
    optimizer = create_optimizer(module, "adamw", learning_rate=0.1, weight_decay=0.3)
    assert isinstance(optimizer, torch.optim.AdamW)
    decaying, plain = optimizer.param_groups
    assert decaying["weight_decay"] == 0.3 and plain["weight_decay"] == 0
    assert names_of(module, plain["params"]) == {
        "first.bias", "middle.bias", "norm.weight", "norm.bias", "up.bias"
    }  # fmt: skip
    assert names_of(module, decaying["params"]) == {
        "words.weight", "mirror", "first.weight", "middle.weight", "up.weight"
    }  # fmt: skip


def test_muon_is_for_maps_of_features_alone():
    module = Small()
    optimizer = create_optimizer(module, "muon", learning_rate=0.1, weight_decay=0.3)
    maps, *others = optimizer.param_groups
    assert names_of(module, maps["params"]) == {"middle.weight", "up.weight"}
    assert all(group["use_fallback"] for group in others)
    step(module, optimizer)
    kinds = {optimizer.state[p]["use_muon"] for p in maps["params"]}
    assert kinds == {True}
    assert not any(optimizer.state[p]["use_muon"] for group in others for p in group["params"])


def test_muon_s_step_is_orthogonal_and_as_large_as_adamw_s():
    torch.manual_seed(0)
    module = Small()
    rate = 0.01
    change = step(module, create_optimizer(module, "muon", learning_rate=rate, weight_decay=0.0))
    matrix = change["middle.weight"].flatten(1)
    values = torch.linalg.svdvals(matrix)
    assert values.max() / values.min() < 2  # of the slope itself, a random matrix, it is more than 3
    assert change["middle.weight"].square().mean().sqrt() == pytest.approx(0.2 * rate, rel=0.25)
    assert change["frozen.weight"].abs().max() == 0
