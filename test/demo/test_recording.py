# SPDX-License-Identifier: Apache-2.0
"""The recording: messages are stored byte for byte, and other programs can read it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader

from clip2depth_ros.demo.recording import Recorder, decode, depth_of, read_recording, stamp_of
from clip2depth_ros.errors import Clip2DepthError

SECOND = 10**9


def test_messages_come_back_byte_for_byte_and_in_order(tmp_path, wire):
    rng = np.random.default_rng(1)
    sent = []
    recorder = Recorder(tmp_path / "out" / "recording")
    for i in range(20):
        stamp = 7 * SECOND + i * SECOND // 10
        picture = rng.integers(0, 256, (6, 8, 3), np.uint8)
        for topic, (kind, raw) in {
            "/camera/image_raw": wire.image(stamp, picture, "rgb8"),
            "/clip2depth/quality": wire.quality(stamp, frames_dropped=i),
        }.items():
            recorder.write(topic, kind, raw, stamp + 1)
            sent.append((topic, stamp + 1, raw, kind))
    recorder.close()
    assert recorder.file.is_file()
    assert sorted(read_recording(recorder.folder)) == sorted(sent)
    assert [m[1] for m in read_recording(recorder.folder)] == sorted(m[1] for m in sent)
    only = list(read_recording(recorder.folder, {"/clip2depth/quality"}))
    assert {topic for topic, *_ in only} == {"/clip2depth/quality"}
    assert [decode(raw, kind).frames_dropped for _, _, raw, kind in only] == list(range(20))


def test_the_file_contains_the_definitions_of_its_messages(tmp_path, wire):
    """As in Foxglove, which gets only the .mcap file; our own message included."""
    recorder = Recorder(tmp_path / "recording")
    kind, raw = wire.quality(5 * SECOND, engine="somebody's", infer_time=0.125, reset=True)
    recorder.write("/clip2depth/quality", kind, raw, 5 * SECOND)
    recorder.close()
    alone = tmp_path / "moved.mcap"
    recorder.file.rename(alone)
    with AnyReader([alone]) as reader:
        [(connection, time, raw)] = reader.messages()
        message = reader.deserialize(raw, connection.msgtype)
    assert (connection.msgtype, time) == ("clip2depth_ros/msg/DepthQuality", 5 * SECOND)
    assert (message.engine, message.infer_time, message.reset) == ("somebody's", 0.125, True)
    assert message.header.stamp.sec == 5


def test_a_recording_is_replaced_and_other_folders_are_kept(tmp_path, wire):
    for i in range(2):
        recorder = Recorder(tmp_path / "recording")
        recorder.write("/a", *wire.quality(i + 1), i + 1)
        recorder.close()
    assert [time for _, time, _, _ in read_recording(tmp_path / "recording")] == [2]
    (tmp_path / "recording" / "thesis.txt").write_text("the only copy")
    with pytest.raises(Clip2DepthError, match=r"thesis\.txt"):
        Recorder(tmp_path / "recording")
    assert (tmp_path / "recording" / "thesis.txt").read_text() == "the only copy"


def test_a_recording_without_messages_is_removed(tmp_path):
    Recorder(tmp_path / "recording").close()
    assert not (tmp_path / "recording").exists()


def test_whole_frames_are_left_out_when_there_is_too_much(tmp_path, wire):
    picture = np.zeros((100, 100, 3), np.uint8)
    recorder = Recorder(
        tmp_path / "recording", budget=10 * 2 * picture.nbytes
    )  # 10 frames of two images per second
    for i in range(60):  # at 30 per second
        stamp = (i + 1) * SECOND // 30
        for topic in ("/a", "/b"):
            recorder.write(topic, *wire.image(stamp, picture, "rgb8"), stamp)
    recorder.close()
    stamps = {"/a": [], "/b": []}
    for topic, _, raw, _ in read_recording(recorder.folder):
        stamps[topic].append(stamp_of(raw))
    assert stamps["/a"] == stamps["/b"]  # a frame is recorded with all its messages or not at all
    assert 18 <= len(stamps["/a"]) <= 27
    assert len(stamps["/a"]) + recorder.thinned == 60


def test_a_recording_has_a_size_limit(tmp_path, wire):
    picture = np.zeros((100, 100, 3), np.uint8)
    recorder = Recorder(tmp_path / "recording", limit=5.5 * picture.nbytes)
    for i in range(20):
        recorder.write("/a", *wire.image((i + 1) * SECOND, picture, "rgb8"), i + 1)
    recorder.close()
    assert len(list(read_recording(recorder.folder))) == 6
    assert recorder.thinned == 14


def test_a_full_disk_gives_one_sentence(tmp_path, wire, monkeypatch):
    recorder = Recorder(tmp_path / "recording")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder._writer, "write", full)
    recorder.write("/a", *wire.quality(1), 1)
    recorder.write("/a", *wire.quality(2), 2)
    with pytest.raises(Clip2DepthError, match="No space left on device"):
        recorder.close()


@given(st.integers(0, 2**31 * SECOND - 1), st.booleans())
def test_the_stamp_is_read_in_either_byte_order(wire, stamp, little_endian):
    message = wire.image_message(stamp, np.zeros((1, 1), np.uint8), "mono8")
    assert stamp_of(wire.encode(message, little_endian)[1]) == stamp


@given(st.sampled_from(["32FC1", "16UC1"]), st.booleans(), st.integers(0, 5))
def test_depth_is_the_same_from_every_encoding(wire, encoding, big_endian, padding):
    depth = np.float32([[0.5, np.nan, 2.25], [65.0, 1.0, np.nan]])
    if encoding == "32FC1":
        pixels = depth.astype(">f4" if big_endian else "<f4")
        pixels[0, 1] = np.inf  # "too far" in REP 117
    else:
        pixels = np.nan_to_num(depth * 1000).astype(">u2" if big_endian else "<u2")
    rows = np.hstack([pixels.view(np.uint8).reshape(2, -1), np.full((2, padding), 7, np.uint8)])
    message = wire.image_message(1, rows, encoding, width=3, step=rows.shape[1], is_bigendian=int(big_endian))
    np.testing.assert_allclose(depth_of(message), depth, rtol=1e-6)
    assert depth_of(message).dtype == np.float32


def test_an_image_is_not_accepted_as_depth(wire):
    with pytest.raises(Clip2DepthError, match="rgb8"):
        depth_of(wire.image_message(1, np.zeros((2, 2, 3), np.uint8), "rgb8"))
