# SPDX-License-Identifier: Apache-2.0
"""Batches are functions of their number: drawn fairly, mixed by weight, with pairs, in any process."""

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.training.datasets import DataSet, open_data_set
from clip2depth_ros.training.views.augmentation import Augmentation
from clip2depth_ros.training.views.batches import BatchMaker, fixed_batch

SIZE = (24, 32)
CAMERA = Camera(64, 48, 60, 60, 31.5, 23.5)


class Numbers(DataSet):
    """Frame n is a gray wall n metres away; its drives have four frames, a metre apart."""

    def __init__(self, count, blue=0, poses=True, drives=True):
        self.name, self.count, self.blue, self.poses, self.drives = "numbers", count, blue, poses, drives

    def __len__(self):
        return self.count

    def following(self, index):
        return index + 1 if self.drives and (index + 1) % 4 and index + 1 < self.count else None

    def __getitem__(self, index):
        image = np.full((48, 64, 3), (index, index, self.blue), np.uint8)
        pose = np.eye(4)
        pose[2, 3] = -(index + 1)
        return Frame(
            image, index, "camera", CAMERA, f"{index}", np.full((48, 64), index + 1.0, np.float32),
            pose if self.poses else None, caption=f"wall {index}",
        )  # fmt: skip


def maker(*data_sets, weights=None, **others):
    settings = {"augmentation": Augmentation(), "seed": (1, 0), "canonical_focal_px": None} | others
    return BatchMaker(data_sets, weights or (1.0,) * len(data_sets), **settings)


def numbers(batch):
    return (np.rint(batch.depth[:, 5, 5]) - 1).astype(int).tolist()


def test_a_batch_says_all_about_its_views():
    batch = maker(Numbers(8), canonical_focal_px=60.0)(3, size=SIZE, count=5)
    assert batch.image.shape == (5, *SIZE, 3) and batch.image.dtype == np.uint8
    assert batch.depth.shape == (5, *SIZE) and batch.depth.dtype == np.float32 and len(batch) == 5
    np.testing.assert_allclose(batch.scale, 2.0)  # half the size: half the focal length
    np.testing.assert_allclose(batch.intrinsics[0], [[30, 0, 15.5], [0, 30, 11.5], [0, 0, 1]], atol=1e-5)
    shown = batch.image[:, 5, 5, 0]
    np.testing.assert_allclose(batch.depth[:, 5, 5], 2.0 * (shown + 1.0))
    assert batch.captions == [f"wall {n}" for n in shown]
    assert batch.next_image is None and batch.motion is None


def test_everything_has_its_turn_before_anything_returns():
    make = maker(Numbers(24))
    epochs = [
        [n for step in range(4) for n in numbers(make(4 * e + step, size=SIZE, count=6))] for e in range(3)
    ]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert epochs[0] != epochs[1] and epochs[0] != list(range(24))


def test_processes_share_an_epoch_between_them():
    make = maker(Numbers(24))
    seen = [
        n
        for step in range(2)
        for rank in range(3)
        for n in numbers(make(step, size=SIZE, count=4, rank=rank, world=3))
    ]
    assert sorted(seen) == list(range(24))


def test_weights_mix():
    make = maker(Numbers(50), Numbers(10, blue=200), weights=(3.0, 1.0))
    blue = np.concatenate([make(step, size=SIZE, count=50).image[:, 5, 5, 2] for step in range(20)])
    assert (blue == 200).mean() == pytest.approx(0.25, abs=0.05)


def test_the_same_number_gives_the_same_batch_and_another_another():
    strong = Augmentation(min_crop=0.5, flip=0.5, brightness=0.3, noise=5.0, border=0.5, jpeg=0.5)
    make = maker(Numbers(30), augmentation=strong)
    first, again = (make(7, size=SIZE, count=6, pairs=True) for _ in range(2))
    for name in ("image", "depth", "next_image", "next_depth", "motion", "intrinsics", "scale"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    for other in (make(8, size=SIZE, count=6), replace(make, seed=(1, 1))(7, size=SIZE, count=6),
                  make(7, size=SIZE, count=6, rank=1, world=2)):  # fmt: skip
        assert not np.array_equal(first.image, other.image)


def test_a_pair_is_a_frame_and_the_next_with_its_motion():
    batch = maker(Numbers(16), canonical_focal_px=60.0)(0, size=SIZE, count=16, pairs=True)
    for view, n in enumerate(np.rint(batch.depth[:, 5, 5] / 2 - 1).astype(int)):
        last = (n + 1) % 4 == 0
        following = n if last else n + 1
        np.testing.assert_allclose(batch.next_depth[view], 2.0 * (following + 1))
        assert batch.next_image[view, 5, 5, 0] == following
        expected = np.eye(4)
        expected[2, 3] = 0.0 if last else 2.0  # a metre back; canonical metres are half as long
        np.testing.assert_allclose(batch.motion[view], expected, atol=1e-6)


def test_without_poses_motion_is_nan_except_for_what_stood_still():
    batch = maker(Numbers(16, poses=False))(0, size=SIZE, count=16, pairs=True)
    last = (np.array(numbers(batch)) + 1) % 4 == 0
    assert np.isnan(batch.motion[~last]).all()
    np.testing.assert_array_equal(batch.motion[last], np.tile(np.eye(4, dtype=np.float32), (4, 1, 1)))


def test_a_single_view_is_followed_by_itself_in_another_light():
    light = Augmentation(exposure=0.4, noise=6.0)
    batch = maker(Numbers(60, drives=False), augmentation=light)(0, size=SIZE, count=8, pairs=True)
    np.testing.assert_array_equal(batch.depth, batch.next_depth)
    assert np.isfinite(batch.motion).all() and not np.array_equal(batch.image, batch.next_image)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_worker_processes_make_the_same_batches(tmp_path, method):
    entry = {"kind": "rooms", "size": [48, 64], "rooms": 32, "views_per_room": 1}
    rooms = open_data_set(entry, cache=tmp_path)
    rng = np.random.default_rng(0)
    rooms.folder.mkdir()
    np.savez(
        rooms.paths()[0],
        image=rng.integers(0, 255, (32, 48, 64, 3), np.uint8), depth=np.full((32, 48, 64), 2000, np.uint16),
        fx=np.full(32, 60.0), caption=np.array(["a room"] * 32),
    )  # fmt: skip
    make = maker(rooms, augmentation=Augmentation(min_crop=0.5, noise=9.0, jpeg=1.0))
    here = make(5, size=SIZE, count=3, pairs=True)
    with multiprocessing.get_context(method).Pool(1) as pool:
        there = pool.apply(make, (5,), {"size": SIZE, "count": 3, "pairs": True})
    np.testing.assert_array_equal(there.image, here.image)
    np.testing.assert_array_equal(there.next_image, here.next_image)


def test_fixed_batches_are_evenly_picked_and_plain():
    sets = [Numbers(10), Numbers(31, blue=200)]
    batch = fixed_batch(sets, 5, size=SIZE, canonical_focal_px=None)
    assert numbers(batch) == [0, 0, 10, 20, 30] and batch.image[:, 0, 0, 2].tolist() == [
        0,
        200,
        200,
        200,
        200,
    ]
    assert len(fixed_batch(sets, 1000, size=SIZE, canonical_focal_px=None)) == 41
    with pytest.raises(Clip2DepthError, match="no validation views"):
        fixed_batch([], 5, size=SIZE, canonical_focal_px=None)


@pytest.mark.parametrize(
    ("data_sets", "weights", "message"),
    [
        ((), (), "at least one data set"),
        ((Numbers(3),), (1.0, 2.0), "a weight for each, not 1 and 2"),
        ((Numbers(3),), (-1.0,), "must be positive"),
        ((Numbers(3), Numbers(3)), (0.0, 0.0), "must be positive"),
        ((Numbers(0),), (1.0,), "nothing to train on in numbers"),
    ],
)
def test_what_cannot_be_mixed(data_sets, weights, message):
    with pytest.raises(Clip2DepthError, match=message):
        maker(*data_sets, weights=weights)
