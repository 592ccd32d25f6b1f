# SPDX-License-Identifier: Apache-2.0
"""benchmark/machine/same_depth.py finds a known deviation, and the pixels known on one machine only."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmark.machine import same_depth
from clip2depth_ros.camera import Camera


def write(folder, depth: np.ndarray) -> None:
    (folder / "depth").mkdir(parents=True)
    np.save(folder / "depth.npy", depth)
    for number, image in enumerate(depth):
        millimeters = np.nan_to_num(np.rint(image * 1000)).astype(np.uint16)
        cv2.imwrite(str(folder / f"depth/{number:06d}.png"), millimeters)


def test_differences_are_reported(tmp_path, capsys):
    depth = np.full((2, 10, 10), 2.0, np.float32)
    other = depth.copy()
    other[0, 0, 0] = 2.5
    other[1, 0, 0] = np.nan
    write(tmp_path / "one" / "openvino-single", depth)
    write(tmp_path / "two" / "openvino-single", other)
    write(tmp_path / "one" / "opencv-single", depth)  # which the other has not run
    same_depth.compare(tmp_path / "one", tmp_path / "two")
    (row,) = capsys.readouterr().out.splitlines()[2:]
    name, highest, _, mean, beyond, one_only, images = (cell.strip() for cell in row.strip("|").split("|"))
    assert (name, beyond, one_only, images) == ("openvino-single", "1 of 200", "1", "2000 mm")
    assert float(highest.strip("%")) == pytest.approx(25.0)
    assert float(mean.strip("%")) == pytest.approx(25.0 / 199, rel=1e-4)


def test_the_compared_depth_is_the_commands_output(tmp_path):
    """In float32 the depth that the command writes in millimeters, with the stabilizer on and off."""
    images = tmp_path / "images"
    images.mkdir()
    Camera.from_fov(64, 48, 1.2).to_file(images / "camera.json")
    noise = np.random.default_rng(3)
    for number in range(2):
        cv2.imwrite(str(images / f"{number}.png"), noise.integers(0, 256, (48, 64, 3), np.uint8))
    same_depth.depth(images, tmp_path / "out", "opencv")
    for kind in ("steady", "single"):
        folder = tmp_path / "out" / f"opencv-{kind}"
        kept = np.load(folder / "depth.npy")
        written = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.glob("depth/*.png"))]
        assert kept.shape == (2, 48, 64) and kept.dtype == np.float32
        np.testing.assert_allclose(np.stack(written) / 1000, kept, atol=6e-4)
