# SPDX-License-Identifier: Apache-2.0
"""A checkpoint as an engine: the network before its export, for evaluation on any PyTorch device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from clip2depth_ros.bundle import Manifest
from clip2depth_ros.engines import Engine
from clip2depth_ros.files.bounded import sha256_of
from clip2depth_ros.network import load_checkpoint
from clip2depth_ros.network.checkpoint import checkpoint_facts


class NetworkEngine(Engine):
    """Runs the network of a checkpoint in float32, text tower included.

    device: of PyTorch, such as "cpu" or "cuda"; None takes CUDA if available. Raises Clip2DepthError as
    load_checkpoint does.
    """

    name, precision = "pytorch", "fp32"

    def __init__(self, checkpoint: Path, device: str | None = None, *, threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._network = load_checkpoint(checkpoint).to(self.device).eval()
        network, backbone = self._network, self._network.backbone
        notes = checkpoint_facts(checkpoint)["notes"]
        folder = checkpoint.resolve().parent.name
        self.manifest = Manifest(
            name=notes.get("recipe") or (checkpoint.stem if checkpoint.stem != "checkpoint" else folder),
            backbone=backbone.name,
            pretrained=backbone.pretrained or "trained by clip2depth itself",
            input_height=network.size[0],
            input_width=network.size[1],
            mean=backbone.mean,
            std=backbone.std,
            canonical_focal_px=network.canonical_focal_px,
            depth_min=network.depth_range[0],
            depth_max=network.depth_range[1],
            trained_on=notes.get("trained_on", "not said"),
            licence=backbone.licence,
            model_sha256=sha256_of(checkpoint),
        )

    @torch.inference_mode()
    def infer(self, image: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(image)[None].to(self.device)
        return self._network(batch)[0].float().cpu().numpy()

    def close(self) -> None:
        self._network = None
