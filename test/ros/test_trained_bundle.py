# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch or ROS is missing
"""The whole way by the commands of docs/training.md: a recording, train, evaluate, export, run, the node."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
torch = pytest.importorskip("torch", reason="training needs PyTorch")

from clip2depth_ros.msg import DepthQuality
from sensor_msgs.msg import Image

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.cli import main
from clip2depth_ros.images.depth_images import read_depth
from clip2depth_ros.network import create_clip, find_backbone
from clip2depth_ros.network.checkpoint import write_tensors

pytestmark = [pytest.mark.torch, pytest.mark.ros, pytest.mark.slow]

RECIPE = """
name: own
trained_on: a made-up recording
threads: 1
precision: "no"
network: {backbone: mini, size: [64, 96], canonical_focal_px: 80.0}
data:
  training: [{kind: rgbd, root: room, split: train}]
  validation: [{kind: rgbd, root: room, split: validation}]
  test: [{kind: rgbd, root: room, split: all}]
  validation_views: 4
  workers: 0
depth:
  images: 8
  learning_rate: 1.0e-3
  phases: [{share: 1.0, size: [64, 96], batch: 4}]
"""


def record(folder):
    """Ten frames in the RGB-D layout."""
    rng = np.random.default_rng(0)
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    for i in range(10):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"rgb/{i:06d}.png"), cv2.resize(coarse, (96, 64)))
        far = cv2.resize(rng.uniform(1000, 4000, (3, 4)), (96, 64))
        cv2.imwrite(str(folder / f"depth/{i:06d}.png"), far.astype(np.uint16))
    Camera.from_fov(96, 64, 1.0).to_file(folder / "camera.json")


def test_from_a_recording_to_the_node(graph, make_depth_node, fake_camera, tmp_path, capsys):
    torch.manual_seed(0)
    record(tmp_path / "data/room")
    recipe, run, report, bundle = (tmp_path / name for name in ("own.yaml", "RUN", "REPORT", "own"))
    recipe.write_text(RECIPE)
    clip = tmp_path / "clip.safetensors"
    write_tensors(clip, create_clip(find_backbone("mini")).state_dict(), {})
    data = ["--config", str(recipe), "--root", str(tmp_path / "data")]
    checkpoint = ["--checkpoint", str(run / "checkpoint.safetensors")]

    assert main(["train", *data, "--output", str(run), "--clip-weights", str(clip)]) == 0
    assert main(["evaluate", *data, *checkpoint, "--output", str(report), "--no-temporal"]) == 0
    photograph = str(tmp_path / "data/room/rgb/000000.png")
    export = ["export", *checkpoint, "--output", str(bundle), "--report", str(report)]
    assert main([*export, "--check-image", photograph]) == 0
    manifest = open_bundle(bundle).manifest
    assert manifest.trained_on == "a made-up recording" and manifest.errors["rgbd all"]["images"] == 10
    call = ["run", "--input", str(tmp_path / "data/room"), "--bundle", str(bundle), "--limit", "3"]
    assert main([*call, "--output", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out/summary.json").read_text())["frames"] == 3
    capsys.readouterr()

    make_depth_node(bundle=str(bundle))
    camera = fake_camera()
    depth = graph.listen(Image, "/clip2depth/depth/image_rect")
    quality = graph.listen(DepthQuality, "/clip2depth/quality")
    camera.wait_for_subscriber()

    def answered():
        if not (depth and quality):
            camera.send()
            graph.spin(0.1)
        return depth and quality

    graph.wait(answered, "depth of the trained bundle")
    assert quality[0].bundle == "own" and not math.isnan(quality[0].valid_fraction)
    metres = read_depth(depth[0])
    assert metres.shape == (48, 64) and np.nanmin(metres) > 0
