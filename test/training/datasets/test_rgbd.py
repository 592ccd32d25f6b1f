# SPDX-License-Identifier: Apache-2.0
"""RGB-D folders: rgb/, depth/, camera.json, poses.txt."""

import json

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.datasets import motion_between, open_data_set

FACTS = {"fx": 50, "fy": 51, "cx": 31.5, "cy": 23.5, "width": 64, "height": 48, "depth_scale": 2000}


@pytest.fixture
def make(tmp_path, write_image, numbered, millimetres):
    def make(name="kitchen", frames=5, missing=(), facts=FACTS, poses=False):
        folder = tmp_path / name
        for n in range(frames):
            write_image(folder / "rgb" / f"{n:06d}.jpg", numbered(10 * n, 48, 64))
            if n not in missing:
                write_image(folder / "depth" / f"{n:06d}.png", millimetres(1 + n % 20, 48, 64, units=2000))
        if facts is not None:
            (folder / "camera.json").write_text(json.dumps(facts))
        if poses:
            rows = [f"{n} 1 0 0 {0.1 * n} 0 1 0 0 0 0 1 0" for n in range(frames)]
            (folder / "poses.txt").write_text("\n".join(rows) + "\n")
        return folder

    return make


def entry(folder, **others):
    return {"kind": "rgbd", "root": str(folder), **others}


def test_frames_with_depth_in_the_camera_s_units(make):
    data = open_data_set(entry(make(missing=(2,), poses=True), split="all"))
    assert [s.name for s in data] == [f"kitchen/{n:06d}" for n in (0, 1, 3, 4)]
    sample = data[2]
    assert sample.camera == Camera(64, 48, 50, 51, 31.5, 23.5)
    assert np.isnan(sample.depth[0]).all() and np.unique(sample.depth[1:]) == [4.0]
    assert abs(int(sample.image[5, 60, 0]) - 30) < 5
    assert [data.following(i) for i in range(4)] == [1, None, 3, None]
    np.testing.assert_allclose(motion_between(data[0], data[1])[:3, 3], [-0.1, 0, 0])


def test_without_poses_motion_is_unknown(make):
    data = open_data_set(entry(make(), split="all"))
    assert data.following(0) == 1 and motion_between(data[0], data[1]) is None


def test_a_distorted_camera_is_rectified(make):
    data = open_data_set(entry(make(facts={**FACTS, "distortion": [-0.2, 0.05, 0, 0, 0]}), split="all"))
    assert data[0].camera.is_rectified
    assert np.unique(data[1].depth[np.isfinite(data[1].depth)]) == [2.0]


def test_the_end_of_a_single_folder_is_held_out_behind_a_gap(make):
    folder = make(frames=40)
    train, validation = (open_data_set(entry(folder, split=split)) for split in ("train", "validation"))
    assert [s.name[-2:] for s in validation] == ["36", "37", "38", "39"]
    assert [s.name[-2:] for s in train] == [f"{n:02d}" for n in range(32)]
    assert train.following(31) is None


def test_whole_folders_are_held_out(make, tmp_path):
    for name in ("a", "b", "c"):
        make(name, frames=3)
    train, validation = (open_data_set(entry(tmp_path, split=split)) for split in ("train", "validation"))
    held_out = {s.name.split("/")[0] for s in validation}
    assert len(held_out) == 1 and len(validation) == 3
    assert {s.name.split("/")[0] for s in train} == {"a", "b", "c"} - held_out
    assert train.following(2) is None, "one folder does not follow another"


def test_what_is_missing_or_wrong_is_named(make, tmp_path):
    with pytest.raises(Clip2DepthError, match=r"There is no folder rgb in .*; a folder holds rgb/NAME"):
        open_data_set(entry(tmp_path))
    with pytest.raises(Clip2DepthError, match=r"There is no .*camera\.json"):
        open_data_set(entry(make("bare", facts=None)))
    with pytest.raises(Clip2DepthError, match=r"camera\.json: depth_scale must be a number from 0.1"):
        open_data_set(entry(make("scale", facts={**FACTS, "depth_scale": 0})))
    with pytest.raises(Clip2DepthError, match=r"No image of .* has a depth image"):
        open_data_set(entry(make("blind", missing=range(5))))
    with pytest.raises(Clip2DepthError, match="the image is 64x48, its depth 64x48 and its camera 32x24"):
        open_data_set(entry(make("small", facts={**FACTS, "width": 32, "height": 24}), split="all"))[0]
    with pytest.raises(Clip2DepthError, match="1 frames are too few"):
        open_data_set(entry(make("one", frames=1)))
