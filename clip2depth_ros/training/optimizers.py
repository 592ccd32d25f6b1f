# SPDX-License-Identifier: Apache-2.0
"""The optimizer of a stage, and which of its two update rules each parameter gets."""

from __future__ import annotations

import torch
from timm.optim.muon import Muon
from torch import nn

# Layers whose weight is a linear map of features: Muon makes its update orthogonal. Not embeddings, positions
# and the mirror, which are tables of vectors, nor the first and last convolution, which have too few channels
# on one side.
_MAPS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_LEAST_CHANNELS = 8


def create_optimizer(
    module: nn.Module, kind: str, *, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """An optimizer of the parameters of `module` that require a gradient. kind: "adamw" or "muon", see Stage.

    Muon is timm's (Jordan et al., https://kellerjordan.github.io/posts/muon), its updates scaled to the root
    mean square of AdamW's, so that one learning rate fits both (Liu et al., arXiv 2502.16982, section 2.2).
    All other parameters take AdamW's step. Biases, norms and scalars do not decay.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    maps = set()
    if kind == "muon":
        maps = {
            layer.weight
            for layer in module.modules()
            if isinstance(layer, _MAPS) and min(layer.weight.shape[:2]) >= _LEAST_CHANNELS
        }
    tables = [p for p in trained if p.ndim > 1 and p not in maps]
    flat = [p for p in trained if p.ndim <= 1]
    if kind == "adamw":
        groups = [
            {"params": tables, "weight_decay": weight_decay},
            {"params": flat, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=learning_rate, fused=True)
    groups = [
        {"params": [p for p in trained if p in maps], "weight_decay": weight_decay},
        {"params": tables, "weight_decay": weight_decay, "use_fallback": True},
        {"params": flat, "weight_decay": 0.0, "use_fallback": True},
    ]
    groups = [group for group in groups if group["params"]]
    return Muon(groups, lr=learning_rate, nesterov=True, betas=(0.9, 0.999), adjust_lr_fn="match_rms_adamw")
