# SPDX-License-Identifier: Apache-2.0
"""KITTI: raw drives, annotated depth, a split's list, calibration and the car's poses."""

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.datasets import motion_between, open_data_set
from clip2depth_ros.training.datasets.kitti_calibration import EARTH_RADIUS

DATE = "2011_09_26"
SIZE = (1242, 375)
# As published for this day, to four digits.
CAMERAS = """calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
R_rect_00: 9.999239e-01 9.837760e-03 -7.445048e-03 -9.869795e-03 9.999421e-01 -4.278459e-03 7.402527e-03 4.351614e-03 9.999631e-01
S_rect_02: 1.242000e+03 3.750000e+02
P_rect_02: 7.215377e+02 0.000000e+00 6.095593e+02 4.485728e+01 0.000000e+00 7.215377e+02 1.728540e+02 2.163791e-01 0.000000e+00 0.000000e+00 1.000000e+00 2.745884e-03
"""  # noqa: E501
IMU_TO_LIDAR = """calib_time: 25-May-2012 16:47:16
R: 9.999976e-01 7.553071e-04 -2.035826e-03 -7.854027e-04 9.998898e-01 -1.482298e-02 2.024406e-03 1.482454e-02 9.998881e-01
T: -8.086759e-01 3.195559e-01 -7.997231e-01
"""  # noqa: E501
LIDAR_TO_CAMERA = """calib_time: 15-Mar-2012 11:37:16
R: 7.533745e-03 -9.999714e-01 -6.166020e-04 1.480249e-02 7.280733e-04 -9.998902e-01 9.998621e-01 7.523790e-03 1.480755e-02
T: -4.069766e-03 -7.631618e-02 -2.717806e-01
"""  # noqa: E501


@pytest.fixture
def kitti(tmp_path, write_image, numbered):
    """Two drives; the first has frames 5, 6 and 8 and oxts that drive 1 m a frame to the north-east."""
    raw, annotated = tmp_path / "raw", tmp_path / "annotated"
    lines = []
    depth = np.zeros(SIZE[::-1], np.uint16)
    depth[::7, ::5] = round(12.5 * 256)
    for drive, folder, numbers in (("0001", "train", (5, 6, 8)), ("0002", "val", (0,))):
        name = f"{DATE}_drive_{drive}_sync"
        for n in numbers:
            image = f"{DATE}/{name}/image_02/data/{n:010d}"
            truth = f"{name}/proj_depth/groundtruth/image_02/{n:010d}.png"
            write_image(raw / f"{image}.png", numbered(10 * n, *SIZE[::-1]))
            write_image(annotated / folder / truth, depth)
            lines.append(f"{image}.jpg {truth} 721.5377")
    lines.append(f"{DATE}/{DATE}_drive_0002_sync/image_02/data/0000000009.png None 721.5377")
    (raw / "eigen_train_files_with_gt.txt").write_text("\n".join(lines) + "\n")
    (raw / DATE / "calib_cam_to_cam.txt").write_text(CAMERAS)
    (raw / DATE / "calib_imu_to_velo.txt").write_text(IMU_TO_LIDAR)
    (raw / DATE / "calib_velo_to_cam.txt").write_text(LIDAR_TO_CAMERA)
    oxts = raw / DATE / f"{DATE}_drive_0001_sync" / "oxts" / "data"
    oxts.mkdir(parents=True)
    step = np.degrees(1.0 / EARTH_RADIUS / np.sqrt(2))
    for n in range(10):
        latitude, longitude = 49.0 + n * step, 8.4 + n * step / np.cos(np.radians(49.0))
        # Heading north-east: yaw, from east, is 45 degrees.
        (oxts / f"{n:010d}.txt").write_text(
            f"{latitude:.12f} {longitude:.12f} 112.8 0 0 {np.pi / 4:.9f} 1 2 3\n"
        )
    return {"kind": "kitti", "root": str(raw), "depth_root": str(annotated)}


def test_frames_of_the_list_with_their_calibration(kitti):
    data = open_data_set({**kitti, "split": "all"})
    assert data.benchmark == "kitti" and len(data) == 4, "the line without depth is left out"
    sample = data[1]
    assert sample.image.shape == (375, 1242, 3) and sample.image[5, 1000, 0] == 60
    camera = sample.camera
    assert (camera.fx, camera.cx, camera.cy) == (721.5377, 609.5593, 172.854)
    known = np.isfinite(sample.depth)
    assert np.unique(sample.depth[known]) == [12.5] and known[::7, ::5].all()
    assert known.sum() == known[::7, ::5].size
    assert [data.following(i) for i in range(4)] == [1, None, None, None]


def test_kb_crop_is_the_lower_middle(kitti):
    sample = open_data_set({**kitti, "split": "train"})[0]
    assert sample.image.shape == (352, 1216, 3) == (*sample.depth.shape, 3)
    assert sample.camera.cx == pytest.approx(609.5593 - 13) and sample.camera.cy == pytest.approx(
        172.854 - 23
    )
    whole = open_data_set({**kitti, "split": "all"})[0]
    np.testing.assert_array_equal(sample.depth, whole.depth[23:, 13:1229])


def test_poses_follow_the_car(kitti):
    """The car drives forward: so does the camera, level and without turning."""
    data = open_data_set({**kitti, "split": "all"})
    motion = motion_between(data[0], data[1])
    np.testing.assert_allclose(motion[:3, :3], np.eye(3), atol=1e-6)
    # Points come nearer by the metre driven; the sensors are mounted within a few degrees of each other.
    np.testing.assert_allclose(motion[:3, 3], [0, 0, -1], atol=0.03)
    assert np.linalg.norm(motion[:3, 3]) == pytest.approx(1.0, abs=1e-4)
    assert data[3].pose is None, "the second drive has no oxts"


def test_drives_are_not_shared_between_training_and_validation(kitti):
    drives = {
        split: {sample.name.split("/")[1] for sample in open_data_set({**kitti, "split": split})}
        for split in ("train", "validation")
    }
    assert len(drives["train"] | drives["validation"]) == 2 and not drives["train"] & drives["validation"]


def test_what_is_missing_is_named(kitti, tmp_path):
    with pytest.raises(Clip2DepthError, match=r"no list file eigen_test_files_with_gt\.txt.*cleinc/bts"):
        open_data_set({**kitti, "split": "test"})
    data = open_data_set({**kitti, "depth_root": str(tmp_path / "elsewhere"), "split": "all"})
    with pytest.raises(
        Clip2DepthError, match=r"elsewhere/.*0000000005\.png is missing; .*data_depth_annotated"
    ):
        data[0]
    other = tmp_path / "other"
    other.mkdir()
    (other / "list.txt").write_text("some/image.png some/depth.png 721\n")
    with pytest.raises(Clip2DepthError, match=r"a line begins with date/drive/image_02"):
        open_data_set({"kind": "kitti", "root": str(other), "list": "list.txt"})


def test_a_day_without_calibration_is_named(kitti, tmp_path):
    (tmp_path / "raw" / DATE / "calib_cam_to_cam.txt").rename(tmp_path / "away")
    from clip2depth_ros.training.datasets.kitti import _camera

    _camera.cache_clear()
    with pytest.raises(Clip2DepthError, match=r"There is no .*calib_cam_to_cam\.txt; get the raw drives"):
        open_data_set({**kitti, "split": "all"})[0]
