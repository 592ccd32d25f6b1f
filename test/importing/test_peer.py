# SPDX-License-Identifier: Apache-2.0
"""A network of realistic size through the import: ViT-S/14 with a DPT head, random weights."""

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from clip2depth_ros.cli import main
from clip2depth_ros.engines import open_engine
from clip2depth_ros.importing import find_kind, import_model


@pytest.mark.slow
def test_the_peer_of_the_benchmark_is_imported(tmp_path, rgbd, capsys):
    """Like Depth Anything V2 Small: exported for one size by PyTorch, normalized outside, with some shared
    weights."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("timm")
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmark"))
    try:
        from engine_table.peer import Peer
    finally:
        sys.path.pop(0)
    size = (252, 336)
    torch.manual_seed(0)

    class Theirs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.peer = Peer(size).eval()
            self.peer.preprocess = torch.nn.Identity()

        def forward(self, image):
            return self.peer(image)

    theirs = Theirs().eval()
    path = tmp_path / "peer.onnx"
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                theirs,
                (torch.zeros(1, 3, *size),),
                str(path),
                input_names=["image"],
                output_names=["depth"],
                opset_version=17,
                dynamo=False,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    bundle = import_model(path, find_kind("depth_anything_v2_metric_indoor"), tmp_path / "b").bundle
    image, _ = bundle.check()
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    planes = ((image / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(planes)).numpy()[0]
    for name in ("openvino", "pytorch"):
        with open_engine(bundle, name, precision="fp32", device="cpu") as engine:
            np.testing.assert_allclose(engine.infer(image), expected, rtol=2e-3)
    relative = import_model(path, find_kind("depth_anything_v2"), tmp_path / "relative").bundle
    assert relative.manifest.depth_kind == "affine_inverse"
    arguments = ["run", "--input", str(rgbd / "hall"), "--bundle", str(relative.path), "--engine", "openvino"]
    arguments += ["--limit", "3", "--output", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert re.search("choose a scale source with --scale-height", capsys.readouterr().err)
    assert main([*arguments, "--scale-ranges", "60"]) == 0  # with random weights, the meters have no meaning
