# SPDX-License-Identifier: Apache-2.0
"""Entries of a configuration, and which frames are held out."""

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.datasets import KINDS, below, open_data_set
from clip2depth_ros.training.datasets.base import Succession, frame_numbers
from clip2depth_ros.training.datasets.splits import GAP, split_frames

ROOMS = {"kind": "rooms", "size": [36, 48], "rooms": 4}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "imagenet"}, "no data set of kind 'imagenet'; there are nyu_labelled, nyu_raw, kitti, tum"),
        ({}, "no data set of kind None"),
        ("rooms", "mapping with a kind, not 'rooms'"),
        ({**ROOMS, "colour": 1}, "of kind rooms has no entry 'colour': known ones are size, rooms, split"),
        ({"kind": "rooms", "size": [36, 48]}, "of kind rooms lacks 'rooms'"),
        ({"kind": "rgbd"}, "of kind rgbd lacks 'root'"),
        ({**ROOMS, "rooms": "many"}, "of kind rooms: rooms must be a whole number, not 'many'"),
        ({**ROOMS, "rooms": True}, "must be a whole number, not True"),
        ({**ROOMS, "size": 36}, "size must be a list, not 36"),
        ({**ROOMS, "on_the_fly": 1}, "on_the_fly must be true or false"),
        ({"kind": "rgbd", "root": 3}, "root must be a path, not 3"),
        ({**ROOMS, "split": "testing"}, "no split 'testing'; there are train, validation, test, all"),
        ({**ROOMS, "rooms": 0}, "must be positive"),
        ({"kind": "tum", "root": "nowhere", "split": "test"}, "no official test split"),
        ({"kind": "nyu_labelled", "root": "nowhere", "depth": "best"}, "depth is 'raw' or 'filled'"),
        ({**ROOMS, "kind": "drives"}, "has no entry 'rooms'"),
        ({"kind": "drives", "size": [36, 48], "drives": 1, "fps": 0}, "frames and fps must be positive"),
    ],
)  # fmt: skip
def test_wrong_entries_say_what_is_right(entry, message):
    with pytest.raises(Clip2DepthError, match=message):
        open_data_set(entry)


def test_weight_is_for_others_and_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_data_set({**ROOMS, "weight": 2.0, "on_the_fly": True}).count == 4
    with pytest.raises(Clip2DepthError, match=f"folder rgb in {tmp_path}/frames"):
        open_data_set({"kind": "rgbd", "root": "~/frames"})


def test_the_cache_is_where_it_is_asked_for(tmp_path, monkeypatch):
    assert open_data_set(ROOMS, cache=tmp_path).folder == tmp_path / "rooms"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_data_set(ROOMS).folder == tmp_path / "clip2depth" / "rooms"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_explained(kind, request):
    """The page on data sets has a section with an example for each kind."""
    page = (request.config.rootpath / "docs" / "datasets.md").read_text()
    assert f"kind: {kind}" in page


def held_out(recordings, seed=0, share=0.1):
    return [set(split_frames(recordings, s, share, seed, "here").tolist()) for s in ("train", "validation")]


def test_training_and_validation_share_neither_frames_nor_recordings():
    recordings = [f"scene {n % 37}" for n in range(400)]
    train, validation = held_out(recordings)
    assert train | validation == set(range(400)) and not train & validation
    scenes = [{recordings[i] for i in found} for found in (train, validation)]
    assert not scenes[0] & scenes[1] and len(scenes[1]) == 4
    assert held_out(recordings)[1] == validation and held_out(recordings, seed=1)[1] != validation


def test_more_recordings_leave_most_where_they_were():
    some = [f"scene {n}" for n in range(100)]
    before = {some[i] for i in held_out(some, share=0.2)[1]}
    more = some + [f"another {n}" for n in range(10)]
    after = {more[i] for i in held_out(more, share=0.2)[1]}
    assert len(before & after) >= 15


def test_a_single_recording_keeps_a_gap():
    train, validation = held_out(["one"] * 1000)
    assert validation == set(range(900, 1000)) and max(train) == 899 - GAP


def test_too_few_frames_are_an_error():
    with pytest.raises(Clip2DepthError, match="here: 1 frames are too few"):
        split_frames(["one"], "train", 0.1, 0, "here")
    with pytest.raises(Clip2DepthError, match="must lie between 0 and 1"):
        split_frames(["one"] * 9, "train", 1.0, 0, "here")


def test_frames_follow_by_number_whatever_their_order():
    succession = Succession([("a", 2), ("b", 3), ("a", 1), ("a", 4)])
    assert [succession.after(i) for i in range(4)] == [None, None, 0, None]


def test_a_pause_leaves_a_number_out():
    assert frame_numbers(np.array([0.0, 0.1, 0.5, 0.6]), 0.2).tolist() == [0, 1, 3, 4]
    assert frame_numbers(np.array([]), 0.2).tolist() == []


def test_folders_below_a_root(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    entry = {"kind": "kitti", "root": "kitti/raw", "depth_root": "/elsewhere"}
    assert below(entry, tmp_path) == {**entry, "root": str(tmp_path / "kitti/raw")}
    assert below({"root": "~/nyu"}, tmp_path) == {"root": "/home/somebody/nyu"}
    assert below(entry, None) == entry and below({"root": 3}, tmp_path) == {"root": 3}
