# SPDX-License-Identifier: Apache-2.0
"""Export of a trained network to a bundle. Needs PyTorch; the bundle does not."""

from __future__ import annotations

import copy
import platform
import tempfile
import warnings
from pathlib import Path

import numpy as np
import open_clip
import torch

from clip2depth_ros import __version__
from clip2depth_ros.bundle.library import Bundle
from clip2depth_ros.bundle.manifest import Manifest
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network import Clip2Depth
from clip2depth_ros.system.offline import openvino_core

OPSET = 17  # the newest that TensorRT 8.5 reads
AGREEMENT = 1e-3  # largest relative difference between ONNX and PyTorch


def export_bundle(
    network: Clip2Depth,
    folder: str | Path,
    *,
    name: str,
    trained_on: str,
    check_image: np.ndarray,
    errors: dict | None = None,
    licence: str | None = None,
    pretrained: str | None = None,
) -> Bundle:
    """Write `network` as a bundle: image tower, decoder and the mirror's cached FiLM constants, static shape.

    check_image: (H, W, 3) uint8 RGB at the network's size; its depth, from PyTorch with the live text tower,
    becomes the check sample. Raises Clip2DepthError if the exported model's depth differs from that by more
    than 1e-3. The network itself is not changed.
    """
    height, width = network.size
    if check_image.shape != (height, width, 3) or check_image.dtype != np.uint8:
        raise Clip2DepthError(
            f"the check image must be uint8 {(height, width, 3)}, not {check_image.dtype} {check_image.shape}"
        )
    image = torch.from_numpy(np.ascontiguousarray(check_image))[None]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            depth = network(image).numpy()
        model = onnx_model(network)
    finally:
        for module, training in modes:
            module.training = training
    difference = relative_difference(run_onnx(model, image.numpy()), depth)
    if difference > AGREEMENT:
        raise Clip2DepthError(
            f"the exported model's depth differs from PyTorch's by {difference:.2g}, "
            f"more than {AGREEMENT:g}: not written"
        )
    backbone = network.backbone
    manifest = Manifest(
        name=name,
        backbone=backbone.name,
        pretrained=pretrained or backbone.pretrained or "trained by clip2depth itself",
        input_height=height,
        input_width=width,
        mean=backbone.mean,
        std=backbone.std,
        canonical_focal_px=network.canonical_focal_px,
        depth_min=network.depth_range[0],
        depth_max=network.depth_range[1],
        trained_on=trained_on,
        errors=errors or {},
        licence=licence or backbone.licence,
        created_with=(
            f"clip2depth_ros {__version__}, PyTorch {torch.__version__}, open_clip {open_clip.__version__}, "
            f"Python {platform.python_version()}"
        ),
    )
    return Bundle.write(folder, model, manifest, check_image, depth[0])


def onnx_model(network: Clip2Depth) -> bytes:
    """The ONNX file of `network`: "image" uint8 [1, H, W, 3] -> "depth" float32 [1, H, W]."""
    held = copy.deepcopy(network).freeze_mirror().eval().to(memory_format=torch.contiguous_format)
    image = torch.zeros((1, *network.size, 3), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        # The TorchScript exporter is deprecated; its replacement cannot write opset 17.
        warnings.simplefilter("ignore")
        path = Path(scratch) / "model.onnx"
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # the fused operator has no ONNX equivalent
        try:
            torch.onnx.export(
                held,
                (image,),
                str(path),
                input_names=["image"],
                output_names=["depth"],
                opset_version=OPSET,
                dynamo=False,
            )
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
        return path.read_bytes()


def run_onnx(model: bytes, image: np.ndarray) -> np.ndarray:
    """Depth (1, H, W) of image (1, H, W, 3) uint8, computed by OpenVINO on the CPU in float32."""
    core = openvino_core()
    compiled = core.compile_model(core.read_model(model, b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled(image)[0])


def relative_difference(depth: np.ndarray, reference: np.ndarray) -> float:
    """Largest |depth - reference| / reference."""
    return float(np.max(np.abs(depth - reference) / reference))
