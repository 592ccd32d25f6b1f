# SPDX-License-Identifier: Apache-2.0
"""The objectives of the two stages, and their validation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from open_clip.timm_model import TimmModel
from torch import nn
from torch.nn import functional

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.metrics.depth import depth_errors, mean_errors
from clip2depth_ros.network import Clip2Depth
from clip2depth_ros.training.configuration import Stage
from clip2depth_ros.training.loss.losses import DepthLoss, temporal_difference
from clip2depth_ros.training.views.batches import Batch

LARGEST_LOGIT_SCALE = 100.0


class ClipWithDepth(nn.Module):
    """A CLIP in training: contrastive loss of captions and images, and depth by its own mirror and decoder.

    Takes an open_clip CLIP whose image tower is a timm pyramid with average pooling, at any image size.
    """

    clip: Any  # torch.nn.Module declares none of a CLIP's members

    def __init__(self, clip: nn.Module, network: Clip2Depth, tokenizer) -> None:
        super().__init__()
        if not isinstance(clip.visual, TimmModel):
            raise Clip2DepthError("only a CLIP with a timm image tower can be pretrained here")
        self.clip, self.network = clip, network
        self._tokenizer = tokenizer

    def forward(
        self, image: torch.Tensor, captions: list[str] | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """image: (B, H, W, 3) uint8. Returns depth (B, H, W) and the caption loss, None without captions."""
        taps = self.network.image_tower(
            self.network.preprocess(image).contiguous(memory_format=torch.channels_last)
        )
        depth = self.network.decode(taps)
        known = [] if captions is None else [i for i, caption in enumerate(captions) if caption]
        if not known:
            return depth, None
        captions = [captions[i] for i in known]  # real frames have none
        visual = self.clip.visual
        pooled = visual.head(visual.trunk.forward_head(taps[-1], pre_logits=True))
        images = functional.normalize(pooled[known].float(), dim=-1)
        tokens = self._tokenizer(captions).to(image.device)
        texts = functional.normalize(encode_captions(self.clip, tokens).float(), dim=-1)
        scale = self.clip.logit_scale.exp().clamp(max=LARGEST_LOGIT_SCALE)
        return depth, caption_loss(scale * images @ texts.T, captions)


def encode_captions(clip: Any, tokens: torch.Tensor) -> torch.Tensor:
    """clip.encode_text of an open_clip CLIP, without the padding after the longest caption."""
    ends = tokens.argmax(1)
    length = int(ends.max()) + 1
    x = clip.token_embedding(tokens[:, :length]) + clip.positional_embedding[:length]
    x = clip.transformer(x, attn_mask=clip.attn_mask[:length, :length])
    return clip.ln_final(x)[torch.arange(len(x)), ends] @ clip.text_projection


def caption_loss(logits: torch.Tensor, captions: list[str]) -> torch.Tensor:
    """Symmetric cross entropy of (B, B) image-to-text logits; equal captions are matches of each other."""
    same = torch.tensor([[a == b for b in captions] for a in captions], dtype=logits.dtype)
    target = (same / same.sum(1, keepdim=True)).to(logits.device)
    return 0.5 * (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target))


class PretrainObjective(nn.Module):
    """Objective of the first stage: depth in every step, and captions in every `caption_every`th."""

    def __init__(self, module: ClipWithDepth, stage: Stage) -> None:
        super().__init__()
        self.module = module
        self._stage = stage

    def forward(self, batch: Batch, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        device = self.module.clip.logit_scale.device
        captions = batch.captions if step % self._stage.caption_every == 0 else None
        depth, caption = self.module(_tensor(batch.image, device), captions)
        with torch.autocast(device.type, enabled=False):
            loss = self._stage.loss(depth, _tensor(batch.depth, device))
        parts = {"depth": loss.item(), "caption": math.nan}
        if caption is not None:
            loss = loss + self._stage.caption_weight * caption
            parts["caption"] = caption.item()
        return loss, parts


class DepthObjective(nn.Module):
    """The paper's objective: depth by mirror and decoder; with pairs of frames also temporal consistency."""

    def __init__(self, network: Clip2Depth, loss: DepthLoss) -> None:
        super().__init__()
        self.network = network
        self._loss = loss

    def forward(self, batch: Batch, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        device = self.network.preprocess.factor.device
        image, truth = _tensor(batch.image, device), _tensor(batch.depth, device)
        if not self._loss.temporal:
            depth = self.network(image)
            with torch.autocast(device.type, enabled=False):
                return self._loss(depth, truth), {}
        # both frames in one pass: one set of batch statistics, and several devices allow one pass only
        next_truth = _tensor(batch.next_depth, device)
        depth = self.network(torch.cat([image, _tensor(batch.next_image, device)]))
        with torch.autocast(device.type, enabled=False):
            loss = self._loss(depth, torch.cat([truth, next_truth]))
            first, second = depth.chunk(2)
            difference = temporal_difference(
                first,
                second,
                truth,
                next_truth,
                _tensor(batch.motion, device),
                _tensor(batch.intrinsics, device),
                None if batch.flow is None else _tensor(batch.flow, device),
            )
        parts = {"depth": loss.item(), "temporal": difference.item()}
        return loss + self._loss.temporal * difference, parts


def _tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(array).to(device, non_blocking=True)


@torch.no_grad()
def network_depth(network: Clip2Depth, images: np.ndarray, batch: int = 16) -> np.ndarray:
    """Depth (N, H, W) float32 of images (N, H, W, 3) uint8, in evaluation mode and float32."""
    network.eval()
    device = next(iter(network.parameters()), torch.empty(0)).device
    parts = [
        network(torch.from_numpy(images[start : start + batch]).to(device)).cpu()
        for start in range(0, len(images), batch)
    ]
    return torch.cat(parts).numpy()


def validation_errors(
    network: Clip2Depth, batch: Batch, depth_range: tuple[float, float]
) -> dict[str, float]:
    """Mean errors over a fixed batch, in canonical meters."""
    found = []
    for predicted, truth in zip(network_depth(network, batch.image), batch.depth, strict=True):
        errors = depth_errors(predicted, truth, depth_min=depth_range[0], depth_max=depth_range[1])
        if errors is not None:
            found.append(errors)
    if not found:
        raise Clip2DepthError("no validation view has known depth")
    return mean_errors(found)
