# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
"""A checkpoint is judged before its export, and its bundle after it says the same."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="a checkpoint needs PyTorch")

from clip2depth_ros.cli import main
from clip2depth_ros.commands import evaluate
from clip2depth_ros.export.exporter import export_bundle
from clip2depth_ros.network import load_checkpoint
from clip2depth_ros.training.validation.network_engine import NetworkEngine

pytestmark = pytest.mark.torch
SIZE = (64, 96)


@pytest.fixture
def checkpoint(tmp_path, write_checkpoint):
    return write_checkpoint(tmp_path / "RUN", {"trained_on": "nothing"})


def test_it_is_an_engine_that_says_what_the_network_says(checkpoint):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    with NetworkEngine(checkpoint, "cpu", threads=1) as engine:
        depth = engine.infer(image)
        manifest = engine.manifest
    network = load_checkpoint(checkpoint)
    with torch.no_grad():
        np.testing.assert_allclose(depth, network(torch.from_numpy(image)[None])[0].numpy(), rtol=1e-5)
    assert depth.dtype == np.float32 and depth.shape == SIZE
    assert (manifest.name, manifest.trained_on, manifest.canonical_focal_px) == ("RUN", "nothing", 100.0)


def test_checkpoint_and_bundle_get_the_same_marks(checkpoint, room, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    bundle = export_bundle(
        load_checkpoint(checkpoint), tmp_path / "bundle", name="b", trained_on="nothing", check_image=image
    )
    found = []
    for number, network in enumerate((["--checkpoint", str(checkpoint)], ["--bundle", str(bundle.path)])):
        call = [
            "evaluate",
            "--data",
            "rgbd",
            "--root",
            str(room),
            "--split",
            "all",
            "--no-temporal",
            *network,
        ]
        assert main([*call, "--output", str(tmp_path / f"{number}")]) == 0
        found.append(json.loads((tmp_path / f"{number}/metrics.json").read_text()))
    first, second = found
    assert first["errors"] == pytest.approx(second["errors"], rel=1e-3)
    assert first["network"]["kind"] != second["network"]["kind"]
    assert first["network"]["engine"].startswith("pytorch on ")


def test_without_pytorch_it_says_what_to_install(checkpoint, room, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "find_spec", lambda name: None)
    call = ["evaluate", "--input", str(room), "--checkpoint", str(checkpoint)]
    assert main([*call, "--output", str(tmp_path / "out")]) == 2
    assert "pip install 'clip2depth_ros[train]'" in capsys.readouterr().err
