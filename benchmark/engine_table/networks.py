# SPDX-License-Identifier: Apache-2.0
"""The networks of the table as bundles, each with PyTorch's results in FP32."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.bundle import Bundle, open_bundle

PEER = "ViT-S/14 + DPT (peer)"

# (height, width) of each; first the network's own size, the others mostly near 352x352 and 480x640.
SIZES = {
    "mini": ((160, 224), (192, 256), (352, 352), (480, 640)),
    "MobileCLIP2-S0": ((192, 256), (352, 352), (480, 640)),
    "ViT-B-16": ((352, 352), (480, 640)),
    PEER: ((518, 518), (350, 350), (476, 644)),
}
BACKBONES = {"ViT-B-16": "ViT-B-16-quickgelu"}
ANSWERS = "answers.npz"
IMAGES = 3
LOG_SPREAD = 0.5  # approximate standard deviation of log depth over an image


def needs() -> str:
    """Why networks other than the included bundle cannot be created here; "" if they can."""
    missing = [name for name in ("torch", "open_clip", "timm") if find_spec(name) is None]
    return f"needs {' and '.join(missing)}: pip install 'clip2depth_ros[train]'" if missing else ""


def bundle_of(name: str, size: tuple[int, int], folder: Path) -> Bundle:
    """The network as a bundle, created in `folder` if missing. Random weights, seed 0, except for mini at its
    own size, which is the included bundle. Needs PyTorch except for that one.
    """
    own = folder / f"{name.split()[0].replace('/', '-')}_{size[1]}x{size[0]}"
    if (own / ANSWERS).is_file():
        return open_bundle(own)
    if (name, size) == ("mini", SIZES["mini"][0]):
        return open_bundle("mini")
    return _make(name, size, own)


def answers(bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 3) uint8, and their depth from PyTorch in FP32, (N, H, W) float32, meters."""
    path = bundle.path / ANSWERS
    if path.is_file():
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["images"], arrays["depth"]
    image, depth = bundle.check()  # the exporter computed it with PyTorch
    return image[None], depth[None]


def pictures(size: tuple[int, int], count: int) -> np.ndarray:
    """(count, H, W, 3) uint8: independent noise images with coarse, middle and fine grain."""
    height, width = size
    rng = np.random.default_rng(5)
    images = np.zeros((count, height, width, 3), np.float32)
    for image in images:
        for cells in (5, 20, 80):
            grain = rng.random((cells, cells, 3), np.float32)
            image += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC) / 3
    return np.clip(images * 255, 0, 255).astype(np.uint8)


def _make(name: str, size: tuple[int, int], folder: Path) -> Bundle:
    import torch

    from clip2depth_ros.bundle.manifest import Manifest
    from clip2depth_ros.export.exporter import onnx_model
    from clip2depth_ros.network import create_network

    torch.manual_seed(0)
    if name == PEER:
        from benchmark.engine_table.peer import Peer

        network, mean, std = Peer(size), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    else:
        network = create_network(BACKBONES.get(name, name), weights=None, size=size)
        mean, std = network.backbone.mean, network.backbone.std
    network.eval()
    images = pictures(size, IMAGES)
    with torch.no_grad():
        _spread(network, torch.from_numpy(images[:1]))
        depth = np.concatenate([network(torch.from_numpy(image)[None]).numpy() for image in images])
    manifest = Manifest(
        name=folder.name,
        backbone=name,
        pretrained="random weights",
        input_height=size[0],
        input_width=size[1],
        mean=mean,
        std=std,
        canonical_focal_px=None,
        depth_min=network.depth_range[0],
        depth_max=network.depth_range[1],
        trained_on="nothing: random weights, to measure speed",
        licence="none",
    )
    bundle = Bundle.write(folder, onnx_model(network), manifest, images[0], depth[0])
    np.savez(folder / ANSWERS, images=images, depth=depth)
    return bundle


def _spread(network, image) -> None:
    """Set the last layer's weights so that depth varies over the image, as in a trained network: with nearly
    constant depth, every precision would look exact.
    """
    last = [module for module in network.modules() if getattr(module, "out_channels", 0) == 1][-1]
    deviation = network(image).log().std()
    last.weight *= LOG_SPREAD / deviation
