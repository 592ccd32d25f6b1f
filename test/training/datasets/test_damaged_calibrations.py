# SPDX-License-Identifier: Apache-2.0
"""Calibrations, poses and lists of data sets that are damaged: one sentence that names the file."""

from __future__ import annotations

import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.tum import read_index, read_pose_list
from clip2depth_ros.training.datasets.kitti_calibration import camera_of, pose_of
from clip2depth_ros.training.datasets.listed import read_list

P = "P_rect_02: 700 0 600 45 0 700 180 0 0 0 1 0\n"
R = "R_rect_00: 1 0 0 0 1 0 0 0 1\n"
RIGID = "R: 1 0 0 0 1 0 0 0 1\nT: 0 0 0\n"
GOOD = {
    "calib_cam_to_cam.txt": P + R + "S_rect_02: 1242 375\n",
    "calib_imu_to_velo.txt": RIGID,
    "calib_velo_to_cam.txt": RIGID,
    "drive/oxts/data/0000000000.txt": "49.0 8.4 110 0.1 0.0 1.5 1 2 3\n",
    "drive/oxts/data/0000000001.txt": "49.0 8.4 110 0.1 0.0 1.5 1 2 3\n",
}


@pytest.fixture
def date(tmp_path):
    """A date of KITTI's raw data; a folder for every test, because the readers remember folders."""
    for name, text in GOOD.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def read_kitti(date):
    return camera_of(date, "image_02", "get it"), pose_of(date, "drive", "image_02", 1)


def test_what_is_whole_is_read(date):
    camera, pose = read_kitti(date)
    assert camera.size == (1242, 375) and pose.shape == (4, 4)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("calib_cam_to_cam.txt", (P + R + "S_rect_02: nan 375\n").encode()),
        ("calib_cam_to_cam.txt", (P + R + "S_rect_02: 1e400 375\n").encode()),
        ("calib_cam_to_cam.txt", (P.replace("700", "1e-3") + R + "S_rect_02: 1242 375\n").encode()),
        ("calib_cam_to_cam.txt", (P + "S_rect_02: 1242 375\n").encode()),
        ("calib_cam_to_cam.txt", (P + R[:-4] + "\nS_rect_02: 1242 375\n").encode()),
        ("calib_cam_to_cam.txt", b"\xff\xfe" + bytes(100)),
        ("calib_cam_to_cam.txt", bytes(2**20 + 1)),
        ("calib_imu_to_velo.txt", b"R: 1 2 3\n"),
        ("calib_imu_to_velo.txt", b"R: 0 0 0 0 0 0 0 0 0\nT: 0 0 0\n"),
        ("calib_velo_to_cam.txt", b"T: nan 0 0\nR: 1 0 0 0 1 0 0 0 1\n"),
        ("drive/oxts/data/0000000001.txt", b""),
        ("drive/oxts/data/0000000001.txt", b"49.0 8.4 110 nan 0.0 1.5\n"),
        ("drive/oxts/data/0000000001.txt", b"1e400 8.4 110 0 0.0 1.5\n"),
        ("drive/oxts/data/0000000000.txt", b"north east\n"),
        ("drive/oxts/data/0000000000.txt", b"90 0 0 0 0 0\n"),
    ],
)
def test_kitti(date, file, content):
    (date / file).write_bytes(content)
    with pytest.raises(Clip2DepthError) as refusal:
        read_kitti(date)
    assert str(date) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "line",
    ["2 0 0 0 0 0 0 0", "2 0 0 0 0 1e300 0 1", "2 nan 0 0 0 0 0 1", "2 0 inf 0 0 0 0 1", "nan 0 0 0 0 0 0 1"],
)
def test_a_line_that_is_no_pose(tmp_path, line):
    (tmp_path / "groundtruth.txt").write_text(f"1 0 0 0 0 0 0 2\n{line}\n")
    with pytest.raises(
        Clip2DepthError, match=r"groundtruth\.txt: the line of time (2\.000000|nan) is no pose"
    ):
        read_pose_list(tmp_path / "groundtruth.txt")


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b"one two\n" * 3 + b"\0" * 50, b"word\x1b[31m" * 9000])
@pytest.mark.parametrize("read", [read_index, read_pose_list, lambda path: read_list(path, "get it")])
def test_tables(tmp_path, read, content):
    (tmp_path / "table.txt").write_bytes(content)
    with pytest.raises(Clip2DepthError) as refusal:
        read(tmp_path / "table.txt")
    assert "table.txt" in str(refusal.value) and len(str(refusal.value)) < 500
    assert str(refusal.value).isprintable()
