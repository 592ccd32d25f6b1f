# SPDX-License-Identifier: Apache-2.0
"""The CLIP models on which the network is built: a JSON registry and a function that creates them."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import open_clip
from safetensors import SafetensorError
from torch import nn

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network import thin_resnet  # noqa: F401  # registers the tower of `mini` with timm

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Backbone:
    """A CLIP and the taps of the depth network in it.

    clip            architecture name in open_clip
    pretrained      weights tag in open_clip, or None if the weights are a local file
    taps            feature maps of the image tower, shallow to deep
    stride          of the deepest tap: input pixels per feature cell, the patch size of a plain ViT
    decoder_widths  decoder channels at each tap, deepest first
    input_height, input_width   default network input in pixels
    mean, std       normalization of RGB in 0..1
    """

    name: str
    clip: str
    pretrained: str | None
    taps: tuple[str, ...]
    stride: int
    decoder_widths: tuple[int, ...]
    input_height: int
    input_width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str


@cache
def backbones() -> dict[str, Backbone]:
    """All registered backbones by name."""
    open_clip.add_model_config(_HERE / "configs")
    entries = json.loads((_HERE / "backbones.json").read_text())
    return {
        name: Backbone(name=name, **{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})
        for name, entry in entries.items()
    }


def find_backbone(name: str) -> Backbone:
    """The backbone registered as `name`. Raises Clip2DepthError with the known names if there is none."""
    known = backbones()
    if name not in known:
        raise Clip2DepthError(f"unknown backbone '{name}'; known backbones: {', '.join(sorted(known))}")
    return known[name]


def create_clip(backbone: Backbone, weights: str | Path | None = None) -> nn.Module:
    """Create the CLIP model of `backbone` in float32 on the CPU, with both towers.

    weights: None for random weights; "pretrained" for the registry's published ones (open_clip downloads and
    caches them); or a path to a safetensors file with an open_clip state dict.
    """
    pretrained = None
    if weights == "pretrained":
        if backbone.pretrained is None:
            raise Clip2DepthError(
                f"backbone '{backbone.name}' has no published weights: give the CLIP weights as a file"
            )
        pretrained = backbone.pretrained
    elif weights is not None:
        if not Path(weights).is_file():
            raise Clip2DepthError(f"no CLIP weights at {weights}")
        if Path(weights).suffix != ".safetensors":
            raise Clip2DepthError(f"CLIP weights must be a .safetensors file, not {weights}")
        pretrained = str(weights)
    root = logging.getLogger()
    level = root.level
    if pretrained is None:
        root.setLevel(
            logging.ERROR
        )  # suppresses open_clip's warning about random weights, which are intended here
    try:
        return open_clip.create_model(backbone.clip, pretrained=pretrained)
    except (RuntimeError, SafetensorError) as error:
        if pretrained != str(weights):
            raise
        why = str(error).splitlines()[0]
        raise Clip2DepthError(
            f"{weights} does not contain weights of {backbone.clip}, the CLIP of {backbone.name}: {why}"
        ) from None
    finally:
        root.setLevel(level)


def clip_fingerprint(clip: nn.Module) -> str:
    """SHA-256 over names and values of all CLIP weights, 64 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(clip.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
