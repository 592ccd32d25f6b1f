# SPDX-License-Identifier: Apache-2.0
"""Simulated rooms and drives, from shards and on the fly."""

import os
import pickle

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.simulation import shards
from clip2depth_ros.simulation.mapped import MappedShard
from clip2depth_ros.training.datasets import motion_between, open_data_set

SIZE = (36, 48)
ROOMS = {"kind": "rooms", "size": list(SIZE), "rooms": 64, "validation_rooms": 32, "views_per_room": 1}
PLACES = {"kind": "places", "size": list(SIZE), "places": 64, "validation_places": 32, "views_per_place": 1}
DRIVES = {"kind": "drives", "size": list(SIZE), "drives": 2, "validation_drives": 1, "frames": 4, "fps": 2}


def arrays(count, seed, **more):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (count, *SIZE, 3), np.uint8),
        "depth": rng.integers(0, 9000, (count, *SIZE)).astype(np.uint16),
        "fx": rng.uniform(30, 60, count).astype(np.float32),
        "caption": np.array([f"room {seed} view {n}" for n in range(count)]),
        **more,
    }


def write_rooms(cache, seed, rooms, views=None, what="rooms"):
    (cache / what).mkdir(parents=True, exist_ok=True)
    for first in range(seed, seed + rooms, shards.SCENES_PER_SHARD):
        path = shards.shard_path(cache / what, first, shards.SCENES_PER_SHARD, 1, *SIZE[::-1], what)
        np.savez(path, **arrays(views or shards.SCENES_PER_SHARD, first))
    return path


def test_rooms_are_read_from_shards_by_number(tmp_path):
    write_rooms(tmp_path, 0, 64)
    data = open_data_set(ROOMS, cache=tmp_path)
    assert len(data) == 64 and data.following(3) is None and not data.draws
    for index, first, place in ((0, 0, 0), (31, 0, 31), (32, 32, 0), (63, 32, 31)):
        expected = arrays(32, first)
        sample = data[index]
        np.testing.assert_array_equal(sample.image, expected["image"][place])
        depth = expected["depth"][place] / 1000.0
        np.testing.assert_allclose(sample.depth, np.where(depth == 0, np.nan, depth), rtol=1e-6)
        assert sample.caption == f"room {first} view {place}" and sample.pose is None
        assert sample.camera.fx == sample.camera.fy == pytest.approx(expected["fx"][place])
        assert (sample.camera.cx, sample.camera.cy) == (23.5, 17.5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data))[40].image, data[40].image)


def test_validation_has_rooms_of_its_own(tmp_path):
    write_rooms(tmp_path, 1_000_000_000, 32, views=30)
    assert len(open_data_set({**ROOMS, "split": "validation"}, cache=tmp_path)) == 30
    with pytest.raises(Clip2DepthError, match="overlap: set validation_seed apart"):
        open_data_set({**ROOMS, "validation_seed": 10})


def test_what_is_not_rendered_or_broken_is_named(tmp_path):
    path = write_rooms(tmp_path, 0, 32)
    with pytest.raises(Clip2DepthError, match=r"1 of 2 shards are not rendered.*rooms_000000032"):
        len(open_data_set(ROOMS, cache=tmp_path))
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"PK\x03\x04 no archive", b""):
        path.write_bytes(broken)
        with pytest.raises(Clip2DepthError, match="not a readable shard"):
            MappedShard(path)
    np.savez_compressed(path, **arrays(4, 0))
    with pytest.raises(Clip2DepthError, match="it is compressed"):
        MappedShard(path)
    np.savez(path, **arrays(4, 0) | {"fx": np.ones(3)})
    with pytest.raises(Clip2DepthError, match="different lengths"):
        MappedShard(path)


def test_drives_follow_within_a_shard(tmp_path):
    (tmp_path / "drives").mkdir()
    for seed in range(2):
        poses = np.tile(np.eye(4), (4, 1, 1))
        poses[:, 0, 3] = 0.1 * np.arange(4)
        stamps = 10**12 + np.arange(4) * 500_000_000
        path = shards.drive_path(tmp_path / "drives", seed, 4, 2, *SIZE[::-1])
        np.savez(path, **arrays(4, seed, pose=poses, stamp=stamps))
    data = open_data_set(DRIVES, cache=tmp_path)
    assert [data.following(i) for i in range(8)] == [1, 2, 3, None, 5, 6, 7, None]
    np.testing.assert_allclose(motion_between(data[4], data[5])[:3, 3], [-0.1, 0, 0])
    assert data[5].stamp == 10**12 + 500_000_000
    # as clip2depth evaluate reads a data set: the flag says whether a frame follows the one before
    assert [follows for _, follows in data.frames(limit=6)] == [False, True, True, True, False, True]


def test_places_have_shards_and_validation_of_their_own(tmp_path):
    write_rooms(tmp_path, 0, 64, what="places")
    last = write_rooms(tmp_path, 1_000_000_000, 32, views=31, what="places")
    assert last.name == "places_1000000000+32x1_48x36.npz"
    train, held_out = (
        open_data_set({**PLACES, "split": split}, cache=tmp_path) for split in ("train", "validation")
    )
    assert (len(train), len(held_out)) == (64, 31)
    assert not set(train.paths()) & set(held_out.paths())
    np.testing.assert_array_equal(train[40].image, arrays(32, 32)["image"][8])
    assert train[40].name == "places_000000032+32x1_48x36/000008"
    with pytest.raises(Clip2DepthError, match="overlap: set validation_seed apart"):
        open_data_set({**PLACES, "validation_seed": 10})
    with pytest.raises(Clip2DepthError, match="views of each and workers must be at least 1"):
        open_data_set({**PLACES, "views_per_place": 0})
    with pytest.raises(Clip2DepthError, match=r"shards are not rendered.*rooms_000000000"):
        len(open_data_set(ROOMS, cache=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("entry", [ROOMS, PLACES], ids=lambda entry: entry["kind"])
def test_rendered_and_on_the_fly_are_the_same_views(entry, tmp_path):
    pytest.importorskip("mujoco", reason="the simulator needs MuJoCo")
    what = entry["kind"]
    entry = {
        **entry,
        what: 2,
        f"validation_{what}": 1,
        f"views_per_{what.removesuffix('s')}": 2,
        "workers": 1,
    }
    stored, live = open_data_set(entry, cache=tmp_path), open_data_set({**entry, "on_the_fly": True})
    stored.prepare()
    assert len(stored) == len(live) == 4 and live.draws
    order = (3, 0, 2, 1)
    for index in order:
        np.testing.assert_array_equal(stored[index].image, live[index].image)
        np.testing.assert_allclose(stored[index].depth, live[index].depth, atol=6e-4)
        assert stored[index].caption == live[index].caption
        assert stored[index].camera.fx == pytest.approx(live[index].camera.fx)


@pytest.mark.slow
def test_rendered_drives_have_true_poses(tmp_path):
    pytest.importorskip("mujoco", reason="the simulator needs MuJoCo")
    entry = {**DRIVES, "drives": 1, "workers": 1}
    stored, live = open_data_set(entry, cache=tmp_path), open_data_set({**entry, "on_the_fly": True})
    stored.prepare()
    rooms = open_data_set({**ROOMS, "on_the_fly": True})
    for index in (2, 0):
        # Another data set draws between two frames with the same renderer.
        one, two = stored[index], (rooms[0], live[index])[1]
        np.testing.assert_allclose(one.depth, two.depth, atol=6e-4)
        np.testing.assert_array_equal(one.pose, two.pose)
        assert (
            one.stamp == two.stamp
            and one.caption == two.caption
            and one.camera.fx == pytest.approx(two.camera.fx)
        )
    assert live.following(0) == 1 and live.following(3) is None

    # Points of the first frame, carried by the motion, have the last one's depth there; carried back, not.
    first, last = stored[0], stored[3]
    motion = motion_between(first, last)
    assert np.linalg.norm(motion[:3, 3]) > 0.1
    assert depth_error(first, last, motion) < depth_error(first, last, np.linalg.inv(motion)) / 3


def depth_error(first, last, motion):
    """Median relative error of the first frame's points, carried by `motion`, against the last's depth."""
    points = (first.camera.rays() * first.depth[..., None]).reshape(-1, 3)
    moved = points @ motion[:3, :3].T + motion[:3, 3]
    u, v = np.rint((moved / moved[:, 2:]) @ first.camera.matrix.T)[:, :2].T.astype(int)
    seen = (u >= 0) & (v >= 0) & (u < first.camera.width) & (v < first.camera.height) & (moved[:, 2] > 0)
    return np.nanmedian(np.abs(last.depth[v[seen], u[seen]] / moved[seen, 2] - 1))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_drawing_after_a_fork_is_refused_not_waited_for():
    pytest.importorskip("mujoco", reason="the simulator needs MuJoCo")
    data = open_data_set({**ROOMS, "on_the_fly": True})
    data[0]
    child = os.fork()
    if child == 0:
        try:
            data[1]
        except Clip2DepthError as error:
            os._exit(0 if "forked" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
