# SPDX-License-Identifier: Apache-2.0
"""Embeddings of a CLIP: unit vectors of images and of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch

from clip2depth_ros.network import create_clip, find_backbone
from clip2depth_ros.network.clip2depth import Preprocess

TEXTS = 64  # sentences in one pass


class ClipEmbeddings:
    """The towers of a CLIP in float32.

    weights: a safetensors file, such as a run's clip.safetensors, or "pretrained". device: of PyTorch, such
    as "cpu" or "cuda"; None takes CUDA if available. Raises Clip2DepthError as create_clip does.
    """

    def __init__(self, backbone: str, weights: Path | str, device: str | None = None, *, threads: int = 0):
        if threads:
            torch.set_num_threads(threads)
        self.backbone = find_backbone(backbone)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._clip: Any = create_clip(self.backbone, weights).to(self.device).eval()
        self._preprocess = Preprocess(self.backbone.mean, self.backbone.std).to(self.device)
        self._tokenizer = open_clip.get_tokenizer(self.backbone.clip)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images, pixels."""
        return self.backbone.input_height, self.backbone.input_width

    @torch.inference_mode()
    def of_images(self, images: np.ndarray) -> np.ndarray:
        """(N, D) float32 unit vectors of images (N, H, W, 3) uint8 RGB of `size`, in one batch."""
        batch = self._preprocess(torch.from_numpy(images).to(self.device))
        return self._clip.encode_image(batch, normalize=True).float().cpu().numpy()

    @torch.inference_mode()
    def of_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D) float32 unit vectors of sentences."""
        parts = [
            self._clip.encode_text(part.to(self.device), normalize=True)
            for part in self._tokenizer(list(texts)).split(TEXTS)
        ]
        return torch.cat(parts).float().cpu().numpy()
