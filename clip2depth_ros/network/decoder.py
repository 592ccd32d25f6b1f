# SPDX-License-Identifier: Apache-2.0
"""The compact deconvolutional decoder: taps and one embedding in, log depth out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class Film(nn.Module):
    """Feature-wise linear modulation: x * scale + shift, both linear in the embedding; initially the
    identity.

    After `hold`, scale and shift are constants and the linear layers are removed.
    """

    held_scale: torch.Tensor
    held_shift: torch.Tensor

    def __init__(self, embedding_dim: int, channels: int) -> None:
        super().__init__()
        self.scale = nn.Linear(embedding_dim, channels)
        self.shift = nn.Linear(embedding_dim, channels)
        for layer in (self.scale, self.shift):
            nn.init.normal_(layer.weight, std=0.1 * embedding_dim**-0.5)
            nn.init.zeros_(layer.bias)
        nn.init.ones_(self.scale.bias)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor | None) -> torch.Tensor:
        """x: (B, C, h, w); embedding: (embedding_dim,), or None after `hold`."""
        if embedding is None:
            scale, shift = self.held_scale, self.held_shift
        else:
            scale, shift = self.scale(embedding)[:, None, None], self.shift(embedding)[:, None, None]
        return x * scale.to(x.dtype) + shift.to(x.dtype)

    def hold(self, embedding: torch.Tensor) -> None:
        """Store scale and shift for this embedding and remove the layers that compute them."""
        self.register_buffer("held_scale", self.scale(embedding).detach()[:, None, None].clone())
        self.register_buffer("held_shift", self.shift(embedding).detach()[:, None, None].clone())
        del self.scale, self.shift


def _conv(channels_in: int, channels_out: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _deconv(channels_in: int, channels_out: int) -> nn.Sequential:
    """Doubles the size. With kernel 4 and stride 2 every output pixel is covered equally: no checkerboard."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class _Refine(nn.Module):
    """A residual pair of 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(x + self.body(x))


class Decoder(nn.Module):
    """Fuses taps from deep to shallow to one channel at half the input's resolution, then resizes bilinearly.

    channels, strides  of the image tower's taps, shallow to deep
    widths             decoder channels at each tap, deepest first
    skips              False: only the deepest tap is used (an ablation)
    film               False: no embedding (an ablation)
    """

    OUTPUT_STRIDE = 2

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        widths: Sequence[int],
        embedding_dim: int,
        *,
        skips: bool = True,
        film: bool = True,
    ) -> None:
        super().__init__()
        if len(widths) != len(channels):
            raise ValueError(f"{len(channels)} taps need as many decoder widths, not {len(widths)}")
        channels, strides = list(channels)[::-1], list(strides)[::-1]
        self.skips = skips
        self.reduce = nn.ModuleList(
            nn.Conv2d(c, w, 1)
            for i, (c, w) in enumerate(zip(channels, widths, strict=True))
            if skips or i == 0
        )
        self.refine = nn.ModuleList(_Refine(w) for w in widths)
        self.step = nn.ModuleList()
        for i in range(1, len(widths)):
            self.step.append(_rise(widths[i - 1], widths[i], strides[i - 1] // strides[i]))
        self.stride = strides[-1]
        head: list[nn.Module] = []
        width, stride = widths[-1], strides[-1]
        while stride > self.OUTPUT_STRIDE:
            narrower = max(width // 2, 24)
            head.append(_deconv(width, narrower))
            width, stride = narrower, stride // 2
        self.head = nn.Sequential(*head, nn.Conv2d(width, 1, 3, padding=1))
        self.upsample = stride
        # last, so that the other layers begin with the same random weights with and without FiLM
        self.film = Film(embedding_dim, widths[0]) if film else None

    def forward(self, taps: Sequence[torch.Tensor], embedding: torch.Tensor | None) -> torch.Tensor:
        """taps: shallow to deep; embedding: (embedding_dim,), or None after `hold` or without FiLM.

        Returns (B, 1, H, W).
        """
        taps = list(taps)[::-1]
        x = self.reduce[0](taps[0])
        if self.film is not None:
            x = self.film(x, embedding)
        x = self.refine[0](x)
        for i, step in enumerate(self.step, start=1):
            x = step(x)
            if self.skips:
                x = x + self.reduce[i](taps[i])
            x = self.refine[i](x)
        x = self.head(x).float()
        if self.upsample > 1:
            x = functional.interpolate(x, scale_factor=self.upsample, mode="bilinear", align_corners=False)
        return x


def _rise(channels_in: int, channels_out: int, factor: int) -> nn.Module:
    """Upsampling from one tap's resolution to that of the next shallower tap."""
    if factor == 1:
        return _conv(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()
    layers = []
    while factor > 1:
        layers.append(_deconv(channels_in, channels_out))
        channels_in, factor = channels_out, factor // 2
    return nn.Sequential(*layers)
