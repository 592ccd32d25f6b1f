# SPDX-License-Identifier: Apache-2.0
"""TUM RGB-D: files listed with times, joined by time, poses between the measured ones."""

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.tum import match_times, pose_at
from clip2depth_ros.training.datasets import motion_between, open_data_set

START = 1311868164.363181


def write_sequence(root, name, write_image, numbered, millimetres, frames=6, poses=True):
    """Colour at 30 Hz, depth 8 ms later, but 25 ms for frame 3; poses at 100 Hz, 0.5 m/s along x."""
    folder = root / name
    (folder / "rgb").mkdir(parents=True)
    lists = {"rgb": ["# color images", "# timestamp filename"], "depth": ["# depth maps"]}
    for n in range(frames):
        time = START + n / 30
        write_image(folder / "rgb" / f"{time:.6f}.png", numbered(10 * n))
        lists["rgb"].append(f"{time:.6f} rgb/{time:.6f}.png")
        later = time + (0.025 if n == 3 else 0.008)
        write_image(folder / "depth" / f"{later:.6f}.png", millimetres(1 + n / 10, units=5000))
        lists["depth"].append(f"{later:.6f} depth/{later:.6f}.png")
    for kind, lines in lists.items():
        (folder / f"{kind}.txt").write_text("\n".join(lines) + "\n")
    if poses:
        rows = [f"{START - 0.05 + t:.4f} {0.5 * t:.6f} 0 1 0 0 0 1" for t in np.arange(0, 0.5, 0.01)]
        (folder / "groundtruth.txt").write_text("\n".join(["# timestamp tx ty tz qx qy qz qw", *rows]) + "\n")
    return folder


@pytest.fixture
def make(tmp_path, write_image, numbered, millimetres):
    def make(name="rgbd_dataset_freiburg3_office", **options):
        return write_sequence(tmp_path, name, write_image, numbered, millimetres, **options)

    return make


def test_frames_are_joined_by_time_and_have_poses(make):
    data = open_data_set({"kind": "tum", "root": str(make()), "split": "all"})
    assert len(data) == 5, "a depth image 25 ms late belongs to nothing"
    sample = data[1]
    assert sample.image[5, 600, 0] == 10 and np.isnan(sample.depth[0]).all()
    assert np.unique(sample.depth[1:]) == pytest.approx([1.1], abs=1e-6)
    assert sample.camera.fx == 535.4 and sample.stamp == pytest.approx((START + 1 / 30) * 1e9, abs=1000)
    # The camera moved to the right, so points move to the left; 1/60 m in 1/30 s.
    np.testing.assert_allclose(motion_between(data[0], data[1])[:3, 3], [-0.5 / 30, 0, 0], atol=2e-4)
    assert [data.following(i) for i in range(5)] == [1, 2, 3, 4, None], "a lost frame is no pause"


def test_a_pause_ends_the_sequence(make):
    folder = make(frames=12)
    lines = (folder / "rgb.txt").read_text().splitlines()
    (folder / "rgb.txt").write_text("\n".join(lines[:4] + lines[8:]) + "\n")  # frames 0, 1 and 6 on
    data = open_data_set({"kind": "tum", "root": str(folder), "split": "all"})
    assert [data.following(i) for i in range(4)] == [1, None, 3, 4]


def test_distorted_images_are_rectified(make):
    data = open_data_set({"kind": "tum", "root": str(make("rgbd_dataset_freiburg1_desk")), "split": "all"})
    sample = data[0]
    assert sample.camera.is_rectified and (sample.camera.fx, sample.camera.cx) == (517.3, 318.6)
    # freiburg1's lens bends straight lines: the unknown first row is now a curve.
    unknown = np.isnan(sample.depth)
    assert unknown[0].any() and not np.array_equal(unknown[:40].sum(0).min(), unknown[:40].sum(0).max())
    assert np.unique(sample.depth[~unknown]) == pytest.approx([1.0])


def test_whole_sequences_are_held_out(make, tmp_path):
    for name in ("a", "b", "c"):
        make(f"rgbd_dataset_freiburg2_{name}", poses=False)
    found = {}
    for split in ("train", "validation"):
        data = open_data_set({"kind": "tum", "root": str(tmp_path), "split": split})
        found[split] = {s.name.split("/")[0] for s in data}
        assert data[0].pose is None
    assert (len(found["train"]), len(found["validation"])) == (2, 1) and not found["train"] & found[
        "validation"
    ]


def test_matching_takes_the_closest_first_and_nothing_twice():
    first, second = np.array([0.0, 0.03, 0.06]), np.array([0.012, 0.028, 0.09])
    assert match_times(first, second, 0.02) == [(0, 0), (1, 1)]
    assert match_times(np.array([0.0, 0.010]), np.array([0.006]), 0.02) == [(1, 0)]
    assert match_times(first, np.array([]), 0.02) == []


def test_a_pose_between_two_is_between_them():
    times, positions = np.array([0.0, 0.02]), np.array([[0.0, 0, 0], [2.0, 0, 0]])
    half = np.sqrt(0.5)
    quaternions = np.array([[0, 0, 0, 1.0], [0, 0, -half, -half]])  # level, and 90 degrees about z, as -q
    pose = pose_at(times, positions, quaternions, 0.01, 0.02)
    turned = np.array([[half, -half, 0], [half, half, 0], [0, 0, 1]])
    np.testing.assert_allclose(pose[:3, :3], turned, atol=1e-12)
    np.testing.assert_allclose(pose[:3, 3], [1, 0, 0])
    np.testing.assert_allclose(pose_at(times, positions, quaternions, 0.02, 0.02)[:3, 3], [2, 0, 0])
    assert pose_at(times, positions, quaternions, 0.03, 0.02) is None
    assert pose_at(times, positions, quaternions, 0.01, 0.005) is None


def test_what_is_missing_or_wrong_is_named(make, tmp_path):
    with pytest.raises(Clip2DepthError, match=r"no rgb\.txt in .*; get the sequences from https://"):
        open_data_set({"kind": "tum", "root": str(tmp_path)})
    folder = make("some_recording")
    with pytest.raises(Clip2DepthError, match="does not say which camera"):
        open_data_set({"kind": "tum", "root": str(folder)})
    data = open_data_set({"kind": "tum", "root": str(folder), "camera": 3, "split": "all"})
    next((folder / "depth").iterdir()).unlink()
    with pytest.raises(Clip2DepthError, match=r"depth image .* is missing"):
        list(data)
    (folder / "depth.txt").write_text("1.0\n")
    with pytest.raises(Clip2DepthError, match=r"depth\.txt, line 1"):
        open_data_set({"kind": "tum", "root": str(folder), "camera": 3})
    (folder / "depth.txt").write_text("1.0 depth/1.png\n")
    with pytest.raises(Clip2DepthError, match=r"no color image has a depth image within 0\.02 s"):
        open_data_set({"kind": "tum", "root": str(folder), "camera": 3})
    with pytest.raises(Clip2DepthError, match="no official test split"):
        open_data_set({"kind": "tum", "root": str(folder), "split": "test"})
