# SPDX-License-Identifier: Apache-2.0
"""Costs of a network: parameters by part, and multiplications from PyTorch's own counter."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from clip2depth_ros.network.clip2depth import Clip2Depth


@dataclass(frozen=True)
class Costs:
    """Parameters, and multiply-accumulates (MACs) for one image.

    mirror, decoder           the trained parts
    image_tower, text_tower   the frozen parts; the text tower without its vocabulary, and only during
    training tower_macs, decoder_macs  at run time, when text tower and mirror are constants
    """

    mirror: int
    decoder: int
    image_tower: int
    text_tower: int
    tower_macs: int
    decoder_macs: int

    @property
    def trained(self) -> int:
        return self.mirror + self.decoder

    @property
    def running(self) -> int:
        """Number of parameters at run time."""
        return self.image_tower + self.decoder

    @property
    def macs(self) -> int:
        return self.tower_macs + self.decoder_macs


def costs(network: Clip2Depth) -> Costs:
    """Costs of `network` at its own input size. Only convolutions and matrix products are counted."""
    parameters = {
        name: sum(p.numel() for p in part.parameters()) if part is not None else 0
        for name, part in (
            ("mirror", network.mirror),
            ("decoder", network.decoder),
            ("image_tower", network.image_tower),
            ("text_tower", network.text_tower),
        )
    }
    held = (
        copy.deepcopy(network).freeze_mirror().eval().to("meta")
    )  # only shapes are needed, nothing is computed
    image = torch.empty(1, 3, *network.size, device="meta")
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not support the fused operator
    try:
        with torch.no_grad():
            taps, tower_macs = _macs(held.image_tower, image)
            _, decoder_macs = _macs(held.decoder, taps, None)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return Costs(**parameters, tower_macs=tower_macs, decoder_macs=decoder_macs)


def _macs(module: nn.Module, *arguments):
    """Output of the module and its MACs: half of its floating-point operations."""
    # attention as plain matrix products: some PyTorch versions cannot count all fused kernels
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        result = module(*arguments)
    return result, counter.get_total_flops() // 2
