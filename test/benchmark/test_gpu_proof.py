# SPDX-License-Identifier: Apache-2.0
"""The test for a GPU machine: each step with a simulated GPU, the whole without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import gpu_proof

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("onnx", reason="the graph is read with onnx")


@pytest.mark.parametrize(("engine", "version"), [("tensorrt", "10.3.0"), ("tensorrt_rtx", "1.7.1.116")])
def test_rejections_are_reported(fake_tensorrt, engine, version):
    trt = fake_tensorrt(version, "", engine)
    trt.gpu["compute_capability"] = "8.6"
    said = gpu_proof.refusals(engine)["said"]
    assert said[0].startswith("built and checked (") and said[1].startswith("from the cache taken")
    assert len(said) == 7 and all("refused, built again" in text for text in said[2:])
    assert trt.builds == 6


def test_a_missing_engine_is_a_reason(no_gpu):
    assert "no CUDA device" in gpu_proof.refusals("tensorrt")["missing"]


def test_the_letterbox_is_compared(fake_tensorrt):
    fake_tensorrt()
    said = gpu_proof.resize()["said"]
    assert len(said) == len(gpu_proof.RESIZED)
    assert all("off by 1 at most" in text or "off by 0 at most" in text for text in said)


@pytest.mark.parametrize(("fault", "wrong"), [("", "first time's: 0;"), ("jumps", None)])
def test_continuous_running(fake_tensorrt, fault, wrong):
    fake_tensorrt(fault=fault)
    first, speed, drift, *choice = gpu_proof.sustained(0.3)["said"]
    engine = "tensorrt fp16" if wrong else "openvino fp32"  # an engine with jumps is rejected
    assert first.startswith(engine) and "640x480, resized on the" in first
    assert "at 50, 95, 99 and 100 %" in speed and "first time's: 0;" in drift
    assert any("chosen" in step for step in choice)


@pytest.mark.slow
def test_the_whole_without_a_gpu(tmp_path):
    if os.path.exists("/dev/nvidia0"):
        pytest.skip("this machine has a GPU")
    environment = os.environ | {"PYTHON": sys.executable, "OUT": str(tmp_path / "out")}
    (tmp_path / "out").mkdir()
    program = (
        "import sys; from benchmark import gpu_proof as p; p.TOTAL = 60.0; p.SUSTAINED = 1.0; "
        "p.SIZES = {'mini': p.SIZES['mini']}; sys.argv = ['gpu_proof', '--results', sys.argv[1]]; "
        "sys.exit(p.main())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "results")],
        cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    text = (tmp_path / "results" / "engines_no_gpu.md").read_text()
    assert (tmp_path / "out" / "engines_no_gpu.md").read_text() == text
    for words in (
        "GPU: none",
        "## Refusals",
        "Tests marked gpu",
        "| mini | 224x160 |",
        "Empty rows:",
        "in all. Log:",
    ):
        assert words in text
    assert "$ " in (tmp_path / "out" / "engines_no_gpu.log").read_text()
    assert subprocess.run(["bash", "-n", ROOT / "benchmark" / "gpu_proof.sh"], check=False).returncode == 0
