# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.training.datasets import DataSet


class TwoDrives(DataSet):
    """Frames 0 to 3 are one drive, 4 to 6 another."""

    name = "two drives"

    def __len__(self):
        return 7

    def __getitem__(self, index):
        depth = np.full((4, 6), 1.0 + index, np.float32)
        return Frame(
            np.zeros((4, 6, 3), np.uint8),
            10 * index,
            "camera",
            Camera.from_fov(6, 4, 1.0),
            f"s{index}",
            depth,
        )

    def following(self, index):
        return index + 1 if index not in (3, 6) else None


def test_frames_know_what_they_continue():
    found = list(TwoDrives().frames())
    assert [frame.name for frame, _ in found] == [f"s{i}" for i in range(7)]
    assert [follows for _, follows in found] == [False, True, True, True, False, True, True]
    assert found[2][0].depth[0, 0] == 3.0 and found[5][0].stamp == 50


def test_every_nth_frame_continues_the_one_n_before():
    found = list(TwoDrives().frames(every=2, limit=4))
    assert [(frame.name, follows) for frame, follows in found] == [
        ("s0", False), ("s2", True), ("s4", False), ("s6", True)
    ]  # fmt: skip


def test_evaluating_a_bundle_needs_neither_pytorch_nor_the_rest():
    program = """
import sys
import clip2depth_ros.commands.evaluate, clip2depth_ros.evaluation.evaluate, clip2depth_ros.training.datasets
print([m for m in ("torch", "open_clip", "mujoco", "matplotlib", "h5py", "rclpy") if m in sys.modules])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "[]", ended.stderr
