# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # the package is not imported if PyTorch is missing
import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="export needs PyTorch")
onnx = pytest.importorskip("onnx", reason="the graph is read with onnx")

import torch

from clip2depth_ros.bundle.library import Bundle
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.export import exporter
from clip2depth_ros.export.exporter import AGREEMENT, export_bundle, onnx_model, relative_difference, run_onnx
from clip2depth_ros.network import create_network

pytestmark = pytest.mark.torch


def slightly_trained(name, size, **options):
    """A network whose mirror, FiLM, decoder and batch statistics differ from their initial values."""
    torch.set_num_threads(1)
    torch.manual_seed(5)
    network = create_network(name, weights=None, size=size, **options)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(2):
        network.train()
        loss = network(torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)).log().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def some_image(size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


BACKBONES = [
    pytest.param("mini", (64, 96)),
    pytest.param("ViT-B-16-quickgelu", (48, 80), marks=pytest.mark.slow),
    pytest.param("MobileCLIP2-S0", (64, 96), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "size"), BACKBONES)
def test_onnx_agrees_with_pytorch_and_its_live_text_tower(name, size):
    network = slightly_trained(name, size)
    image = some_image(size)
    with torch.no_grad():
        live = network(torch.from_numpy(image)[None]).numpy()
    assert live.std() / live.mean() > 1e-3  # a constant would always agree
    model = onnx_model(network)
    assert network.text_tower is not None  # the export does not change the network
    assert relative_difference(run_onnx(model, image[None]), live) < AGREEMENT

    graph = onnx.load_from_string(model)
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", 17)]
    weights = sum(np.prod(t.dims) for t in graph.graph.initializer)
    kept = (network.image_tower, network.decoder)
    expected = sum(p.numel() for module in kept for p in module.parameters())
    assert weights < 1.02 * expected  # no text tower in the graph


def test_bundle_is_static_self_checked_and_complete(tmp_path):
    size = (64, 96)
    network = slightly_trained("mini", size, canonical_focal_px=123.0, depth_range=(0.2, 12.0))
    image = some_image(size)
    written = export_bundle(
        network,
        tmp_path / "b",
        name="b",
        trained_on="two steps of noise",
        check_image=image,
        errors={"x": 1.0},
    )
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["check.npz", "manifest.json", "model.onnx"]
    bundle = Bundle(tmp_path / "b")
    manifest = bundle.manifest
    assert (manifest.input_height, manifest.input_width) == size
    assert (manifest.canonical_focal_px, manifest.depth_min, manifest.depth_max) == (123.0, 0.2, 12.0)
    assert manifest.backbone == "mini" and manifest.trained_on == "two steps of noise"
    assert manifest.errors == {"x": 1.0}
    assert (
        json.loads((tmp_path / "b" / "manifest.json").read_text())["model_sha256"]
        == written.manifest.model_sha256
    )
    check_image, check_depth = bundle.check()
    assert np.array_equal(check_image, image)
    assert relative_difference(run_onnx(bundle.model(), image[None])[0], check_depth) < AGREEMENT

    graph = onnx.load_from_string(bundle.model()).graph
    inputs, outputs = ([(v.name, v.type.tensor_type.elem_type, [d.dim_value for d in
    v.type.tensor_type.shape.dim])
                        for v in values] for values in (graph.input, graph.output))  # fmt: skip
    assert inputs == [("image", onnx.TensorProto.UINT8, [1, 64, 96, 3])]
    assert outputs == [("depth", onnx.TensorProto.FLOAT, [1, 64, 96])]


def test_a_model_that_disagrees_is_not_written(tmp_path, monkeypatch):
    network = slightly_trained("mini", (32, 32))
    true_run = exporter.run_onnx
    monkeypatch.setattr(exporter, "run_onnx", lambda model, image: 1.01 * true_run(model, image))
    with pytest.raises(Clip2DepthError, match=r"differs from PyTorch's by 0\.01"):
        export_bundle(network, tmp_path / "b", name="b", trained_on="x", check_image=some_image((32, 32)))
    assert not (tmp_path / "b").exists()


def test_check_image_must_fit(tmp_path):
    network = create_network("mini", weights=None, size=(32, 64))
    with pytest.raises(Clip2DepthError, match="check image must be uint8"):
        export_bundle(network, tmp_path, name="b", trained_on="x", check_image=some_image((64, 32)))
