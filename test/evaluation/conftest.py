# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera

GREY = round(0.3 * 255)  # the tiny network says 1 / (0.1 + 0.3) = 2.5 m


@pytest.fixture
def room(tmp_path):
    """Six frames in the RGB-D layout with poses of a camera that stands still: 2.5 m by the tiny network, 2 m
    in truth, and its top ten rows unknown."""
    folder = tmp_path / "room"
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    speckle = np.random.default_rng(0).integers(-3, 4, (48, 64, 1), np.int16)
    for i in range(6):
        cv2.imwrite(str(folder / f"rgb/{i:06d}.png"), (GREY + np.repeat(speckle, 3, 2)).astype(np.uint8))
        truth = np.full((48, 64), 2000, np.uint16)
        truth[:10] = 0
        cv2.imwrite(str(folder / f"depth/{i:06d}.png"), truth)
    Camera.from_fov(64, 48, 1.0).to_file(folder / "camera.json")
    rows = [f"{i} 1 0 0 0 0 1 0 0 0 0 1 0" for i in range(6)]
    (folder / "poses.txt").write_text("\n".join(rows) + "\n")
    return folder
