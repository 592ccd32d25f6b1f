# SPDX-License-Identifier: Apache-2.0
"""A TUM RGB-D sequence as an input of `run`."""

import cv2
import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io import open_source
from clip2depth_ros.io.tum import CAMERAS


@pytest.fixture
def sequence(tmp_path):
    """Four colour images 0.1 s apart; the third has no depth."""
    folder = tmp_path / "rgbd_dataset_freiburg2_room"
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    times = [1311868164.0 + 0.1 * i for i in range(4)]
    depth = np.full((480, 640), 5000, np.uint16)
    depth[0] = 0
    for i, time in enumerate(times):
        cv2.imwrite(str(folder / "rgb" / f"{time:.6f}.png"), np.full((480, 640, 3), 40 * i, np.uint8))
        cv2.imwrite(str(folder / "depth" / f"{time:.6f}.png"), depth)
    (folder / "rgb.txt").write_text("# color\n" + "".join(f"{t:.6f} rgb/{t:.6f}.png\n" for t in times))
    with_depth = [t for i, t in enumerate(times) if i != 2]
    (folder / "depth.txt").write_text("".join(f"{t + 0.01:.6f} depth/{t:.6f}.png\n" for t in with_depth))
    (folder / "groundtruth.txt").write_text(
        "".join(f"{t:.6f} {i} 0 0 0 0 0 1\n" for i, t in enumerate(times))
    )
    return folder


def test_images_depth_poses_and_the_cameras_own_calibration(sequence):
    with open_source(sequence, odometry=True) as source:
        assert source.length == 4 and source.fps == pytest.approx(10.0, rel=1e-3) and source.has_depth
        frames = [(f.stamp, f.camera, f.depth, f.pose, f.odometry) for f in source]
    assert [round((f[0] - frames[0][0]) / 1e8) for f in frames] == [0, 1, 2, 3]
    assert all(f[1] == CAMERAS[2] for f in frames)
    assert [f[2] is not None for f in frames] == [True, True, False, True]
    assert np.isnan(frames[0][2][0]).all() and (frames[0][2][1:] == 1.0).all()
    assert [f[3][0, 3] for f in frames] == [0, 1, 2, 3] and frames[1][4] is not None


def test_a_name_that_tells_no_camera(sequence):
    renamed = sequence.rename(sequence.with_name("desk"))
    with pytest.raises(Clip2DepthError, match="give the camera with --camera"):
        open_source(renamed)
    with open_source(renamed, camera=CAMERAS[1]) as source:
        assert next(iter(source)).camera == CAMERAS[1]


@pytest.mark.parametrize("line", ["nan rgb/a.png", "1e300 rgb/a.png", "-1 rgb/a.png", "1.0", "x y"])
def test_lines_that_are_none(sequence, line):
    (sequence / "rgb.txt").write_text(line)
    with pytest.raises(Clip2DepthError, match=r"rgb\.txt, line 1"):
        open_source(sequence)
