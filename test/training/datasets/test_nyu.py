# SPDX-License-Identifier: Apache-2.0
"""NYU Depth v2: the labelled MATLAB file with its split, and raw frames with a list."""

import os
import pickle

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.datasets import open_data_set
from clip2depth_ros.training.datasets.nyu_labelled import CAMERA

SCENES = ("kitchen_0001", "kitchen_0001", "office_0002", "bedroom_0003", "bedroom_0003", "study_0004")
TRAIN, TEST = (1, 2, 3, 5), (4, 6)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Six images in MATLAB's layout: HDF5 with a user block, columns first, text as references."""
    h5py, io = pytest.importorskip("h5py"), pytest.importorskip("scipy.io")
    root = tmp_path_factory.mktemp("nyu")
    images = np.zeros((6, 480, 640, 3), np.uint8)
    images[..., 0] = (10 * np.arange(1, 7))[:, None, None]
    images[:, :240, :, 1] = 200  # the upper half
    images[:, :, :320, 2] = 90  # the left half
    depths = np.full((6, 480, 640), 1.0, np.float32) * np.arange(1, 7)[:, None, None]
    raw = depths.copy()
    raw[:, 100:110] = 0
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        # MATLAB writes an array of size (480, 640, 3, 6) so that HDF5 sees (6, 3, 640, 480).
        file["images"] = images.transpose(0, 3, 2, 1)
        file["depths"], file["rawDepths"] = depths.transpose(0, 2, 1), raw.transpose(0, 2, 1)
        cells = file.create_dataset("scenes", (1, 6), h5py.ref_dtype)
        for number, scene in enumerate(SCENES):
            text = file.create_dataset(
                f"#refs#/{number}", data=np.array([[ord(c)] for c in scene], np.uint16)
            )
            cells[0, number] = text.ref
    io.savemat(
        root / "splits.mat",
        {
            "trainNdxs": np.array(TRAIN)[:, None].astype(float),
            "testNdxs": np.array(TEST)[:, None].astype(float),
        },
    )
    return root


def entry(root, **others):
    return {"kind": "nyu_labelled", "root": str(root), **others}


def test_the_test_split_is_the_official_one_whole_and_upright(labelled):
    data = open_data_set(entry(labelled, split="test"))
    assert data.benchmark == "nyu" and [s.name for s in data] == ["00004", "00006"]
    sample = data[1]
    assert sample.image.shape == (480, 640, 3) and sample.camera == CAMERA
    assert sample.image[10, 600].tolist() == [60, 200, 0] and sample.image[470, 10].tolist() == [60, 0, 90]
    assert np.isnan(sample.depth[100:110]).all() and np.unique(sample.depth[110:]) == [6.0]
    assert not np.isnan(open_data_set(entry(labelled, split="test", depth="filled"))[0].depth).any()


def test_validation_takes_whole_scenes_of_the_training_images(labelled):
    names = {
        split: [s.name for s in open_data_set(entry(labelled, split=split, validation_share=0.34))]
        for split in ("train", "validation")
    }
    assert sorted(names["train"] + names["validation"]) == [f"{n:05d}" for n in TRAIN]
    scenes = {split: {SCENES[int(n) - 1] for n in found} for split, found in names.items()}
    assert not scenes["train"] & scenes["validation"] and len(scenes["validation"]) == 1
    others = [
        [s.name for s in open_data_set(entry(labelled, split="validation", validation_share=0.34, seed=n))]
        for n in range(8)
    ]
    assert len({tuple(found) for found in others}) > 1, "the seed chooses"


def test_training_images_lose_their_white_frame_and_the_camera_follows(labelled):
    sample = open_data_set(entry(labelled, split="train"))[0]
    assert sample.image.shape == (427, 565, 3) and sample.depth.shape == (427, 565)
    assert (sample.camera.fx, sample.camera.cx) == (CAMERA.fx, CAMERA.cx - 43)
    assert sample.camera.cy == CAMERA.cy - 45
    assert len(open_data_set(entry(labelled, split="all", crop=True))) == 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_each_process_opens_the_file_itself(labelled):
    data = open_data_set(entry(labelled, split="test"))
    data[0]
    assert np.array_equal(pickle.loads(pickle.dumps(data))[0].image, data[0].image)
    handle = data._opened()
    child = os.fork()
    if child == 0:
        mine = data._opened()
        os._exit(0 if mine is not handle and data[1].image[470, 10].tolist() == [60, 0, 90] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert data._opened() is handle


def test_what_is_missing_or_wrong_is_named(labelled, tmp_path):
    with pytest.raises(Clip2DepthError, match=r"There is no .*labeled\.mat; get .* from https://"):
        open_data_set(entry(tmp_path))
    (tmp_path / "nyu_depth_v2_labeled.mat").symlink_to(labelled / "nyu_depth_v2_labeled.mat")
    with pytest.raises(Clip2DepthError, match=r"There is no .*splits\.mat"):
        open_data_set(entry(tmp_path))
    (tmp_path / "splits.mat").write_bytes(b"not a matlab file" * 20)
    with pytest.raises(Clip2DepthError, match="is not the split with trainNdxs"):
        open_data_set(entry(tmp_path))
    (tmp_path / "nyu_depth_v2_labeled.mat").unlink()
    (tmp_path / "nyu_depth_v2_labeled.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(Clip2DepthError, match=r"is no MATLAB 7\.3 file"):
        open_data_set(entry(tmp_path))


def test_a_split_of_another_file_is_refused(labelled, tmp_path):
    io = pytest.importorskip("scipy.io")
    (tmp_path / "nyu_depth_v2_labeled.mat").symlink_to(labelled / "nyu_depth_v2_labeled.mat")
    io.savemat(tmp_path / "splits.mat", {"trainNdxs": [[1.0]], "testNdxs": [[1449.0]]})
    with pytest.raises(Clip2DepthError, match=r"names image 1449, .* has 6"):
        open_data_set(entry(tmp_path))


@pytest.fixture
def raw(tmp_path, write_image, numbered, millimetres):
    """Two scenes of four and two frames, with the published lists' paths; the kitchen has no frame 3."""
    lines = []
    for scene, numbers in (("kitchen_0028b", (0, 1, 2, 4)), ("office_0001", (0, 1))):
        for n in numbers:
            write_image(tmp_path / scene / f"rgb_{n:05d}.jpg", numbered(40 * n))
            write_image(tmp_path / scene / f"sync_depth_{n:05d}.png", millimetres(1.5 + n))
            lines.append(f"/{scene}/rgb_{n:05d}.jpg /{scene}/sync_depth_{n:05d}.png 518.8579")
    (tmp_path / "nyudepthv2_train_files_with_gt.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_raw_frames_of_a_list(raw):
    data = open_data_set({"kind": "nyu_raw", "root": str(raw), "split": "all"})
    assert len(data) == 6 and data[1].name == "kitchen_0028b/rgb_00001"
    sample = data[3]
    assert sample.camera == CAMERA and np.isnan(sample.depth[0]).all()
    assert np.unique(sample.depth[1:]) == pytest.approx([5.5]) and abs(int(sample.image[5, 600, 0]) - 160) < 4
    assert [data.following(i) for i in range(6)] == [1, 2, None, None, 5, None]
    assert sample.pose is None


def test_raw_training_and_validation_share_no_scene(raw):
    found = {}
    for split in ("train", "validation"):
        data = open_data_set({"kind": "nyu_raw", "root": str(raw), "split": split})
        found[split] = {sample.name.split("/")[0] for sample in data}
        assert data[0].image.shape == (427, 565, 3)
    assert found["train"] | found["validation"] == {"kitchen_0028b", "office_0001"}
    assert not found["train"] & found["validation"]


def test_raw_files_that_are_missing_are_named(raw, tmp_path_factory):
    with pytest.raises(Clip2DepthError, match=r"no list file nyudepthv2_test_files_with_gt\.txt.*https://"):
        open_data_set({"kind": "nyu_raw", "root": str(raw), "split": "test"})
    data = open_data_set({"kind": "nyu_raw", "root": str(raw), "split": "all"})
    (raw / "kitchen_0028b" / "sync_depth_00001.png").unlink()
    with pytest.raises(Clip2DepthError, match=r"sync_depth_00001\.png is missing"):
        data[1]
    (raw / "kitchen_0028b" / "rgb_00000.jpg").write_bytes(b"\xff\xd8 cut short")
    with pytest.raises(Clip2DepthError, match=r"rgb_00000\.jpg cannot be read"):
        data[0]
    (raw / "bad.txt").write_text("only_one_word\n")
    with pytest.raises(Clip2DepthError, match=r"bad\.txt, line 1"):
        open_data_set({"kind": "nyu_raw", "root": str(raw), "list": "bad.txt"})
