# SPDX-License-Identifier: Apache-2.0
"""A network of Depth Anything V2 Small's size for comparison: ViT-S/14, DPT head, random weights.

Architecture and sizes are those of the DPT paper (arXiv 2103.13413) and of the Depth Anything V2 paper (arXiv
2406.09414); the ViT is timm's. It has the same cost as the original, but random weights.
"""

from __future__ import annotations

import timm
import torch
from torch import nn
from torch.nn import functional

from clip2depth_ros.network.clip2depth import Preprocess

PATCH = 14
BLOCKS = (2, 5, 8, 11)
REASSEMBLED = (48, 96, 192, 384)
FEATURES = 64
FARTHEST = 20.0  # meters, as its metric indoor variant


class Refine(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.second = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(functional.relu(self.first(functional.relu(x))))


class Fuse(nn.Module):
    """Adds a level's features to those of the coarser level, and upsamples the sum."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.lateral = None if first else Refine()
        self.refine = Refine()
        self.out = nn.Conv2d(FEATURES, FEATURES, 1)

    def forward(
        self, level: torch.Tensor, coarser: torch.Tensor | None, size: tuple[int, int]
    ) -> torch.Tensor:
        x = level if coarser is None else coarser + self.lateral(level)
        return self.out(functional.interpolate(self.refine(x), size=size, mode="bilinear"))


class Peer(nn.Module):
    """uint8 image (1, H, W, 3) -> depth (1, H, W) float32, meters; sides are multiples of 14."""

    depth_range = (0.001, FARTHEST)

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.preprocess = Preprocess((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        self.tower = timm.create_model("vit_small_patch14_dinov2", pretrained=False, img_size=size)
        channels = self.tower.embed_dim
        self.projections = nn.ModuleList(nn.Conv2d(channels, width, 1) for width in REASSEMBLED)
        four, two, _, half = REASSEMBLED
        self.resizers = nn.ModuleList(
            [
                nn.ConvTranspose2d(four, four, 4, stride=4),
                nn.ConvTranspose2d(two, two, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(half, half, 3, stride=2, padding=1),
            ]
        )
        self.laterals = nn.ModuleList(
            nn.Conv2d(width, FEATURES, 3, padding=1, bias=False) for width in REASSEMBLED
        )
        self.fusions = nn.ModuleList(Fuse(first=index == 3) for index in range(4))
        self.head = nn.Conv2d(FEATURES, FEATURES // 2, 3, padding=1)
        self.out = nn.Sequential(
            nn.Conv2d(FEATURES // 2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 1), nn.Sigmoid()
        )

    def freeze_mirror(self) -> Peer:
        """It has no mirror; the exporter calls this method."""
        return self

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        levels = self.tower.forward_intermediates(
            self.preprocess(image), indices=list(BLOCKS), intermediates_only=True, norm=True
        )
        levels = [
            lateral(resize(project(level)))
            for level, project, resize, lateral in zip(
                levels, self.projections, self.resizers, self.laterals, strict=True
            )
        ]
        x = None
        for index in (3, 2, 1, 0):
            finer = levels[index - 1].shape[-2:] if index else [2 * side for side in levels[0].shape[-2:]]
            x = self.fusions[index](levels[index], x, finer)
        x = functional.interpolate(self.head(x), size=self.size, mode="bilinear")
        return FARTHEST * self.out(x).squeeze(1) + self.depth_range[0]
