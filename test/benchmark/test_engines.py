# SPDX-License-Identifier: Apache-2.0
"""The table of benchmark/engines.py: measured rows, and empty rows with their reasons."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from benchmark import engines
from benchmark.engine_table import measure, networks, table
from clip2depth_ros.bundle.manifest import Manifest
from clip2depth_ros.engines.probe import GpuFacts

SIZE = (48, 64)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


@pytest.fixture
def small(monkeypatch, tiny_bundle):
    """The only network of the table is the tiny bundle; the machine has no GPU."""
    monkeypatch.setattr(engines, "gpu_facts", lambda: "the test has none")
    monkeypatch.setattr(table, "gpu_facts", lambda: "the test has none")
    monkeypatch.setattr(engines, "needs", lambda: "")
    monkeypatch.setattr(engines, "bundle_of", lambda *_: tiny_bundle)
    return {"tiny": (SIZE,)}


def test_a_row_has_times_memory_and_deviations(tiny_bundle):
    row = measure.measure(str(tiny_bundle.path), "openvino", "cpu", "fp32", 0.05, 1)
    median, high = row["whole"]
    assert 0 < median <= high < 1 and 0 < row["processor"] < 1
    assert row["frames"] >= 5
    assert row["memory"] >= 0  # over the process's peak so far, which another test may have set
    assert 0 <= row["deviation_99"] <= row["max_deviation"] < 1e-3
    assert row["network"] is None, "CUDA events need a GPU"


def test_rows_that_cannot_run_have_a_reason(tiny_bundle, no_gpu):
    row = measure.measure(str(tiny_bundle.path), "tensorrt", "cuda", "fp16", 0.05, 1)
    assert set(row) == {"missing"} and "no CUDA device" in row["missing"]


def test_deviations_are_relative_to_the_stored_results(make_bundle, tiny_depth):
    bundle = make_bundle(name="beside")
    images = np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3), np.uint8)
    depth = np.stack([tiny_depth(image) for image in images])
    depth[1, 0, 0] *= 1.25
    np.savez(bundle.path / networks.ANSWERS, images=images, depth=depth)
    row = measure.measure(str(bundle.path), "openvino", "cpu", "fp32", 0.01, 1)
    assert row["max_deviation"] == pytest.approx(0.2, rel=1e-3)
    assert row["deviation_99"] < 1e-3


def test_the_whole_table_without_a_gpu(small, tmp_path, capsys):
    text = "\n".join(engines._table(small, tmp_path, 0.05, 1)) + "\n"
    assert text == capsys.readouterr().out
    lines = text.splitlines()
    assert any(line.startswith("- GPU: none (the test has none)") for line in lines)
    rows = [cells(line) for line in lines if line.startswith("| tiny ")]
    assert [tuple(row[2:4]) for row in rows] == [
        (f"{engine} ({'GPU' if device == 'cuda' else 'CPU'})", precision)
        for engine, device, precision in engines.CONFIGURATIONS
    ]
    header = cells(next(line for line in lines if line.startswith("| network")))
    assert [len(row) for row in rows] == [len(header)] * len(rows), rows
    openvino = dict(zip(header, rows[0], strict=True))
    assert openvino["ratio"] == "1.00" and openvino["network alone, ms"] == ""
    assert float(openvino["with transfers, ms"]) > 0
    for row in rows:
        if "GPU" in row[2]:
            assert not any(row[4:]), "empty, not guessed"
    (reason,) = [line for line in lines if line.startswith("- tensorrt (GPU) fp16: ")]
    assert "no GPU here: the test has none [all networks]" in reason


def test_without_pytorch_only_the_included_bundle_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(engines, "needs", lambda: "needs torch")
    row = engines._row("ViT-B-16", (352, 352), engines.BASE, tmp_path, 0.1, 1)
    assert row == {"missing": "needs torch", "network": "ViT-B-16"}


def test_a_process_that_crashes_costs_one_row(small, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "HERE", tmp_path)  # a folder without measure.py
    row = engines._row("tiny", SIZE, engines.BASE, tmp_path, 0.1, 1)
    assert "the process ended with" in row["missing"]


def test_the_machine_is_named(monkeypatch):
    gpu = GpuFacts("Orin", "8.7", 8 * 2**30, "540.4", "12.6")
    monkeypatch.setattr(table, "gpu_facts", lambda: gpu)
    text = "\n".join(table.machine())
    assert "Orin (compute capability 8.7, 8 GiB), driver 540.4, CUDA 12.6" in text
    assert re.search(r"OpenVINO: 20\d\d", text) and "CPU: " in text


def test_the_included_table_has_every_network_and_only_measured_values():
    results = engines.HERE / "results" / "engines_cpu.md"
    rows = [cells(line) for line in results.read_text().splitlines() if line.startswith("| ")][1:]
    wanted = {(name, f"{w}x{h}") for name, sizes in networks.SIZES.items() for h, w in sizes}
    assert {(row[0], row[1]) for row in rows} == wanted
    assert len(rows) == len(wanted) * len(engines.CONFIGURATIONS)
    for row in rows:
        assert any(row[4:]) == ("CPU" in row[2])


@pytest.mark.slow
@pytest.mark.torch
def test_the_peer_is_as_large_as_depth_anything_small(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("timm")
    from benchmark.engine_table.peer import Peer

    peer = Peer((70, 98)).eval()
    # the paper says 24.8 M; the ViT's grid of positions depends on the input's size
    assert sum(weight.numel() for weight in peer.parameters()) / 1e6 == pytest.approx(24.8, abs=0.9)
    with torch.no_grad():
        depth = peer(torch.zeros((1, 70, 98, 3), dtype=torch.uint8))
    assert depth.shape == (1, 70, 98)
    assert peer.depth_range[0] <= depth.min() and depth.max() <= peer.depth_range[1] + 0.01


@pytest.mark.slow
@pytest.mark.torch
def test_a_network_is_created_once_with_its_results(tmp_path):
    pytest.importorskip("open_clip")
    bundle = networks.bundle_of("mini", (64, 96), tmp_path)
    images, depth = networks.answers(bundle)
    assert images.shape == (networks.IMAGES, 64, 96, 3) and depth.shape == images.shape[:3]
    assert np.log(depth).std() > 0.1, "depth that hardly varies would hide every error"
    assert isinstance(bundle.manifest, Manifest) and "random" in bundle.manifest.trained_on
    before = (bundle.path / "model.onnx").stat().st_mtime_ns
    assert networks.bundle_of("mini", (64, 96), tmp_path).path == bundle.path
    assert (bundle.path / "model.onnx").stat().st_mtime_ns == before
    row = measure.measure(str(bundle.path), "openvino", "cpu", "fp32", 0.05, 1)
    assert row["max_deviation"] < 1e-3 and json.dumps(row)
