# SPDX-License-Identifier: Apache-2.0
"""The command killed halfway, and several processes: real ones."""

import csv
import os
import signal
import subprocess
import sys
import time

import cv2
import pytest

pytest.importorskip("torch", reason="training needs PyTorch")

import torch

from clip2depth_ros.cli import main
from clip2depth_ros.network.checkpoint import read_tensors

pytestmark = [pytest.mark.torch, pytest.mark.slow]

STEPS, BATCH = 24, 2


@pytest.fixture
def arguments(small_recipe):
    """What follows `clip2depth`, but for --output."""
    depth = {
        "images": STEPS * BATCH,
        "phases": [{"share": 1.0, "size": [32, 64], "batch": BATCH}],
        "validate_images": 8,
        "report_steps": 3,
        "save_minutes": 0.0,
        "augmentation": {"min_crop": 0.5, "flip": 0.5, "noise": 5.0, "brightness": 0.3},
    }
    return ["train", *small_recipe(depth, 8, {"weights": "pretrained"}, precision="no")]


@pytest.fixture
def root(request):
    return request.config.rootpath


def rows(path):
    with path.open() as file:
        return [{k: v for k, v in row.items() if k != "minutes"} for row in csv.DictReader(file)]


def environment():
    return os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


def test_a_run_killed_halfway_ends_as_an_unbroken_one(arguments, tmp_path, root, monkeypatch):
    """SIGKILL, then the same command again: weights and loss curve are an unbroken run's, to the last bit."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    child = subprocess.Popen(
        [sys.executable, "-m", "clip2depth_ros", *arguments, "--output", str(broken)],
        cwd=root, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    log = broken / "depth-training.csv"
    deadline = time.monotonic() + 120
    while not (log.exists() and len(log.read_text().splitlines()) >= 4):  # nine steps
        assert child.poll() is None and time.monotonic() < deadline, child.stderr.read().decode()
        time.sleep(0.005)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stderr.close()
    assert len(rows(log)) < STEPS // 3, "it was killed too late to show anything"

    assert main([*arguments, "--output", str(broken)]) == 0
    torch.manual_seed(1234)
    assert main([*arguments, "--output", str(whole)]) == 0
    for name in ("checkpoint.safetensors", "depth.safetensors"):
        expected, found = read_tensors(whole / name)[0], read_tensors(broken / name)[0]
        assert expected.keys() == found.keys()
        different = [key for key, value in expected.items() if not torch.equal(found[key], value)]
        assert different == []
    for name in ("depth-training.csv", "depth-validation.csv"):
        assert rows(broken / name) == rows(whole / name)
    assert [row["step"] for row in rows(whole / "depth-training.csv")] == [str(n) for n in range(3, 25, 3)]
    curve = cv2.imread(str(whole / "depth-curve.png"))
    assert curve.shape[1] > 2 * curve.shape[0] and curve.std() > 10


def test_two_processes_share_each_batch(arguments, tmp_path, root):
    output = tmp_path / "two"
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--num_cpu_threads_per_process", "1", "--main_process_port", "0", "--module", "clip2depth_ros"]
    done = subprocess.run(
        [sys.executable, *launch, *arguments, "--output", str(output), "--limit-steps", "3"],
        cwd=root, env=environment(), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training complete; next: clip2depth export") == 1
    assert [row["images"] for row in rows(output / "depth-training.csv")] == ["6"]
    assert (output / "checkpoint.safetensors").exists()
