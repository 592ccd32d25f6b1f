# SPDX-License-Identifier: Apache-2.0
"""The network of the paper, in PyTorch over open_clip. Needed for training and export, not for inference."""

from __future__ import annotations

from pathlib import Path

from clip2depth_ros.network.backbones import Backbone, backbones, create_clip, find_backbone
from clip2depth_ros.network.checkpoint import load_checkpoint, save_checkpoint
from clip2depth_ros.network.clip2depth import Clip2Depth

__all__ = [
    "Backbone",
    "Clip2Depth",
    "backbones",
    "create_clip",
    "create_network",
    "find_backbone",
    "load_checkpoint",
    "save_checkpoint",
]


def create_network(name: str, *, weights: str | Path | None = "pretrained", **options) -> Clip2Depth:
    """A new network on the backbone `name`. weights: see `create_clip`; options: see `Clip2Depth`."""
    backbone = find_backbone(name)
    return Clip2Depth(create_clip(backbone, weights), backbone, **options)
