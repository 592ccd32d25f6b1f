# SPDX-License-Identifier: Apache-2.0
"""Bundles that need half precision, and one of every kind of tower that the exporter writes."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def convolved_bundle(make_bundle):
    """The tiny bundle with a convolution, which engines compute in half precision when asked to."""
    return make_bundle(convolution=True, name="convolved")


@pytest.fixture(scope="session")
def mini():
    """The bundle that ships."""
    from clip2depth_ros.bundle import open_bundle

    return open_bundle("mini")


@pytest.fixture(scope="session")
def vit_bundle(tmp_path_factory):
    """A small CLIP with a vision transformer, random weights, as the exporter writes it."""
    torch = pytest.importorskip("torch", reason="the exporter needs PyTorch")
    from open_clip import CLIP

    from clip2depth_ros.export.exporter import export_bundle
    from clip2depth_ros.network.backbones import Backbone
    from clip2depth_ros.network.clip2depth import Clip2Depth

    torch.manual_seed(3)
    vision = {"image_size": 64, "layers": 4, "width": 48, "head_width": 12, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}
    clip = CLIP(embed_dim=24, vision_cfg=vision, text_cfg=text, quick_gelu=True)
    backbone = Backbone(
        name="small-vit",
        clip="small-vit",
        pretrained=None,
        taps=("block1", "block2", "block3"),
        stride=16,
        decoder_widths=(24, 24, 24),
        input_height=48,
        input_width=64,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        licence="Apache-2.0",
    )
    network = Clip2Depth(clip, backbone)
    with torch.no_grad():  # random weights say nearly the same everywhere: make the difference large
        network.decoder.head[-1].weight.mul_(30)
    image = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)
    folder = tmp_path_factory.mktemp("vit") / "small-vit"
    return export_bundle(network, folder, name="small-vit", trained_on="nothing", check_image=image)


@pytest.fixture(scope="session")
def stand_in():
    """The module of the stand-in for TensorRT."""
    import sys
    from importlib import util
    from pathlib import Path

    name = "clip2depth_fake_tensorrt"
    if name not in sys.modules:
        spec = util.spec_from_file_location(name, Path(__file__).parent / "fake_tensorrt.py")
        sys.modules[name] = module = util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]
