#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Costs of each backbone: trained and frozen parameters, multiplications for one image.

    python benchmark/costs.py

Counted by PyTorch's own counter (torch.utils.flop_counter) with random weights; nothing is downloaded. Needs
PyTorch.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# (height, width): the registry's default first
SIZES = {
    "mini": [(160, 224), (96, 128)],
    "MobileCLIP2-S0": [(192, 256), (256, 256), (384, 512)],
    "ViT-B-16-quickgelu": [(352, 352), (224, 224), (352, 480), (224, 768)],
}


def main() -> None:
    if find_spec("torch") is None or find_spec("open_clip") is None:
        print("No cost table: it needs PyTorch and open_clip (pip install 'clip2depth_ros[train]').")
        return
    from clip2depth_ros.network import Clip2Depth, create_clip, find_backbone
    from clip2depth_ros.network.costs import costs

    print(
        "| backbone | input | trained: mirror + decoder | frozen: image tower | text tower (training only) "
        "| trained share | GMACs: tower | decoder |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, sizes in SIZES.items():
        backbone = find_backbone(name)
        clip = create_clip(backbone)
        for height, width in sizes:
            cost = costs(Clip2Depth(clip, backbone, size=(height, width)))
            share = cost.trained / (cost.trained + cost.image_tower + cost.text_tower)
            print(
                f"| {name} | {width}x{height} | {cost.mirror / 1e6:.3f} M + {cost.decoder / 1e6:.3f} M "
                f"| {cost.image_tower / 1e6:.2f} M | {cost.text_tower / 1e6:.1f} M | {100 * share:.1f} % "
                f"| {cost.tower_macs / 1e9:.2f} | {cost.decoder_macs / 1e9:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
