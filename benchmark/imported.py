#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cost per frame of imported networks on the CPU, compared with the included bundle.

    python benchmark/imported.py [--frames 9]

Depth Anything's architecture, a DINOv2 ViT with a DPT head, with random weights, exported and imported like
any other file; Depth Anything 3, Metric3D v2, UniDepth v2 and MoGe-2 have such an encoder too, with other
heads. Frames of the two bundles alternate, so that load on the machine slows both: use the ratio.
Needs PyTorch and timm.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine_table.peer import REASSEMBLED, Peer

from clip2depth_ros.bundle import Bundle, open_bundle
from clip2depth_ros.engines import open_engine
from clip2depth_ros.importing import find_kind, import_model

CASES = (("small", (252, 336)), ("small", (392, 518)), ("small", (518, 518)), ("base", (252, 336)))


class Theirs(nn.Module):
    """The network as its exporters write it: the image is normalized."""

    def __init__(self, tower: str, size: tuple[int, int]) -> None:
        super().__init__()
        self.peer = Peer(size)
        self.peer.preprocess = nn.Identity()
        if tower != "small":
            name = f"vit_{tower}_patch14_dinov2"
            self.peer.tower = timm.create_model(name, pretrained=False, img_size=size)
            channels = self.peer.tower.embed_dim
            self.peer.projections = nn.ModuleList(nn.Conv2d(channels, width, 1) for width in REASSEMBLED)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.peer(image)


def imported(tower: str, size: tuple[int, int], folder: Path) -> Bundle:
    """A bundle of that encoder for images of (height, width)."""
    path = folder / f"{tower}.onnx"
    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Theirs(tower, size).eval(),
            (torch.zeros(1, 3, *size),),
            str(path),
            input_names=["image"],
            output_names=["depth"],
            opset_version=17,
            dynamo=False,
        )
    return import_model(path, find_kind("depth_anything_v2_metric_indoor"), folder / tower).bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=9)
    args = parser.parse_args()
    print(f"{'encoder':10}{'size':>10}{'ms':>9}{'mini, ms':>10}{'ratio':>8}")
    with open_engine(open_bundle("mini"), "openvino") as mini:
        for tower, size in CASES:
            with tempfile.TemporaryDirectory() as folder:
                bundle = imported(tower, size, Path(folder))
                with open_engine(bundle, "openvino") as engine:
                    times = np.array([(_seconds(engine), _seconds(mini)) for _ in range(args.frames)])
            theirs, ours = np.median(times, axis=0) * 1e3
            ratio = float(np.median(times[:, 0] / times[:, 1]))
            name = f"ViT-{tower[0].upper():6}{size[1]:>6}x{size[0]}"
            print(f"{name}{theirs:9.0f}{ours:10.1f}{ratio:8.0f}", flush=True)


def _seconds(engine) -> float:
    manifest = engine.manifest
    image = np.random.default_rng(0).integers(
        0, 256, (manifest.input_height, manifest.input_width, 3), np.uint8
    )
    engine.infer(image)  # warms up the caches after the other engine
    started = time.perf_counter()
    engine.infer(image)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
