# SPDX-License-Identifier: Apache-2.0
"""The network of the CLIP2Depth paper: frozen CLIP, mirror, decoder; uint8 image in, metric depth out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import open_clip
import torch
from torch import nn

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network.backbones import Backbone, clip_fingerprint
from clip2depth_ros.network.decoder import Decoder
from clip2depth_ros.network.image_tower import create_image_tower
from clip2depth_ros.network.mirror import MIRROR_TOKENS, Mirror, TextTower, word_embeddings

CONDITIONS = ("mirror", "random", "sentence", "none")
SENTENCE = "How far is this location from the camera?"


class Preprocess(nn.Module):
    """uint8 RGB (B, H, W, 3) -> normalized float32 (B, 3, H, W)."""

    factor: torch.Tensor
    offset: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        mean_, std_ = torch.tensor(mean), torch.tensor(std)
        self.register_buffer("factor", (1 / (255 * std_))[:, None, None], persistent=False)
        self.register_buffer("offset", (-mean_ / std_)[:, None, None], persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.permute(0, 3, 1, 2).float() * self.factor + self.offset


class Clip2Depth(nn.Module):
    """Monocular metric depth from a CLIP with frozen weights.

    clip            an open_clip model; the network takes over its towers
    backbone        registry entry: taps, decoder widths, normalization
    size            (height, width) of the input in pixels; the registry's default if None
    depth_range     (min, max) of the output, meters
    canonical_focal_px  focal length in input pixels for which all depth is given, at any input size: an
    object
                    of a given size in pixels has one distance, as a convolution sees it. None: depth as it is
    skips           False: only the deepest tap is used
    condition       "mirror", as in the paper; or, for comparison, "random" (a mirror that is not trained),
                    "sentence" (the words of SENTENCE instead) or "none" (a decoder without condition)
    frozen          False: CLIP is trainable (to pretrain a small CLIP with depth and captions)

    Only the mirror and the decoder are trainable (`trainable_state`).
    """

    def __init__(
        self,
        clip: nn.Module,
        backbone: Backbone,
        *,
        size: tuple[int, int] | None = None,
        depth_range: tuple[float, float] = (0.1, 30.0),
        canonical_focal_px: float | None = None,
        mirror_tokens: int = MIRROR_TOKENS,
        skips: bool = True,
        condition: str = "mirror",
        frozen: bool = True,
    ) -> None:
        super().__init__()
        if condition not in CONDITIONS:
            raise Clip2DepthError(
                f"unknown condition '{condition}'; known conditions: {', '.join(CONDITIONS)}"
            )
        if not 0 < depth_range[0] < depth_range[1]:
            raise Clip2DepthError(f"depth range {depth_range} must be positive and increasing")
        self.backbone = backbone
        self.size = tuple(size or (backbone.input_height, backbone.input_width))
        self.depth_range = (float(depth_range[0]), float(depth_range[1]))
        self.canonical_focal_px = canonical_focal_px
        self.clip_sha256 = clip_fingerprint(clip) if frozen else ""
        self.preprocess = Preprocess(backbone.mean, backbone.std)
        self.image_tower = create_image_tower(clip.visual, backbone.taps, self.size)
        self.condition = condition
        text_tower = TextTower(clip)
        self.decoder = Decoder(
            self.image_tower.channels,
            self.image_tower.strides,
            backbone.decoder_widths,
            text_tower.embedding_dim,
            skips=skips,
            film=condition != "none",
        )
        words = None
        if condition == "sentence":
            words = word_embeddings(clip, open_clip.get_tokenizer(backbone.clip), SENTENCE)
        self.text_tower: TextTower | None = None
        self.mirror: Mirror | None = None
        if (
            condition != "none"
        ):  # after the decoder, so that its random weights do not depend on the condition
            self.text_tower = text_tower
            self.mirror = Mirror(text_tower, mirror_tokens, trained=condition == "mirror", words=words)
        if frozen:
            self.image_tower.freeze()
            text_tower.freeze()

    def embedding(self) -> torch.Tensor:
        """The mirror's (embedding_dim,) embedding, computed by the text tower."""
        if self.text_tower is None or self.mirror is None:
            raise Clip2DepthError("this network has no mirror, or its text tower was dropped")
        return self.mirror(self.text_tower)

    @torch.no_grad()
    def freeze_mirror(self) -> Clip2Depth:
        """Run the text tower once, keep the FiLM constants, drop text tower and mirror. Returns self."""
        if self.text_tower is not None:
            self.decoder.film.hold(self.embedding())
            self.text_tower = self.mirror = None
        return self

    def decode(self, taps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Depth (B, H, W) from the image tower's taps."""
        embedding = None if self.text_tower is None else self.embedding()
        low, high = (math.log(limit) for limit in self.depth_range)
        raw = self.decoder(taps, embedding).squeeze(1).float()
        return torch.exp(low + (high - low) * torch.sigmoid(raw))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """image: uint8 RGB (B, H, W, 3), or normalized float (B, 3, H, W).

        Returns depth (B, H, W), float32, meters, for the canonical focal length if there is one.
        """
        if image.dtype == torch.uint8:
            image = self.preprocess(image)
        return self.decode(self.image_tower(image))

    def trainable_state(self) -> dict[str, torch.Tensor]:
        """Tensors of mirror and decoder by name, including batch-norm statistics."""
        return {k: v for k, v in self.state_dict().items() if k.startswith(("mirror.", "decoder."))}
