# SPDX-License-Identifier: Apache-2.0
"""The network of a bundle or checkpoint, prepared for adaptation: decoder and mirror train, CLIP does not."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network import Clip2Depth, load_checkpoint
from clip2depth_ros.network.backbones import create_clip, find_backbone
from clip2depth_ros.training.recovery import load_bundle_weights

AGREEMENT = 1e-3
"""Largest relative difference of a recovered network from the bundle's check sample."""


def open_trainable(bundle: Bundle, checkpoint: Path | None, images: np.ndarray) -> Clip2Depth:
    """The bundle's network in evaluation mode, with gradients for the trained parameters.

    With a checkpoint these are mirror and decoder. Without one the network is read from the bundle, which has
    no mirror and no text tower: the decoder and its two FiLM vectors are trained. The mirror affects depth
    through these vectors only. Batch norms are folded into the convolutions before them, and do not change.

    images: (B, H, W, 3) uint8 RGB at the network's size, a few of the recording.
    Raises Clip2DepthError for a bundle whose weights cannot be read back, and for a checkpoint that is not
    the bundle's.
    """
    network = load_checkpoint(checkpoint) if checkpoint is not None else _recovered(bundle, images)
    network.eval().requires_grad_(False)
    network.decoder.requires_grad_(True)
    if network.mirror is not None and network.condition == "mirror":
        network.mirror.tokens.requires_grad_(True)
    _fold_norms(network.decoder)
    _check(network, bundle, checkpoint)
    return network


def what_trains(network: Clip2Depth) -> str:
    """The trained parts, in words."""
    return "mirror and decoder" if network.mirror is not None else "decoder, FiLM's scale and shift included"


def _recovered(bundle: Bundle, images: np.ndarray) -> Clip2Depth:
    manifest = bundle.manifest
    backbone = find_backbone(manifest.backbone)
    network = Clip2Depth(
        create_clip(backbone),
        backbone,
        size=(manifest.input_height, manifest.input_width),
        depth_range=(manifest.depth_min, manifest.depth_max),
        canonical_focal_px=manifest.canonical_focal_px,
    )
    try:
        load_bundle_weights(network, bundle, images)
    except Clip2DepthError as error:
        raise Clip2DepthError(
            f"the weights of bundle {bundle.path} cannot be read back ({error}); give the checkpoint that it "
            f"was exported from with --checkpoint."
        ) from None
    network.freeze_mirror()
    film = network.decoder.film
    if film is not None:
        for name in ("held_scale", "held_shift"):
            held = getattr(film, name)
            delattr(film, name)
            film.register_parameter(name, nn.Parameter(held))
    return network


def _fold_norms(decoder: nn.Module) -> None:
    """Fold the batch norms, which do not train, into convolutions: a tenth less time per step on a CPU."""
    for block in decoder.modules():
        if not isinstance(block, nn.Sequential):
            continue
        for index, (conv, norm) in enumerate(itertools.pairwise(list(block))):
            if isinstance(norm, nn.BatchNorm2d):
                block[index] = fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))
                block[index].bias.requires_grad_(False)
                block[index + 1] = nn.Identity()


@torch.no_grad()
def _check(network: Clip2Depth, bundle: Bundle, checkpoint: Path | None) -> None:
    image, depth = bundle.check()
    if tuple(network.size) != image.shape[:2]:
        raise Clip2DepthError(f"{checkpoint} is of another input size than bundle {bundle.path}.")
    found = network(torch.from_numpy(image)[None])[0].numpy()
    apart = float(np.max(np.abs(found / depth - 1)))
    if not apart <= AGREEMENT:
        raise Clip2DepthError(
            f"{checkpoint or 'what was read back'} is not the network of bundle {bundle.path}: its depth "
            f"differs by {apart:.1%} on the bundle's check sample; give the bundle's own checkpoint."
        )
