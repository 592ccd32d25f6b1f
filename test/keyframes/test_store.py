# SPDX-License-Identifier: Apache-2.0
"""Keyframes on disk: bounded, the newest kept, every place covered, whole after a crash."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io import open_source
from clip2depth_ros.keyframes import KeyframeStore, store

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
IMAGE = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
SECOND = 1_000_000_000


def pose_at(x: float, y: float = 0.0, heading: float = 0.0) -> np.ndarray:
    """(4, 4): an optical frame at a place, that looks along a heading in the plane."""
    c, s = math.cos(heading), math.sin(heading)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[s, 0, c], [-c, 0, s], [0, -1, 0]])
    pose[:3, 3] = x, y, 0.3
    return pose


@pytest.fixture
def quick(monkeypatch):
    """The disk's own care is not what is measured."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def drive(kept: KeyframeStore, length: float, start: int = 0, y: float = 0.0, step: float = 0.1) -> int:
    """Drive straight on; how many keyframes were added."""
    added = 0
    for n in range(round(length / step)):
        pose, stamp = pose_at(n * step, y), (start + n) * SECOND
        if kept.wants(pose, stamp):
            kept.add(IMAGE, pose, stamp, CAMERA)
            added += 1
    return added


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_drive_is_kept_and_read_again(tmp_path, quick):
    kept = KeyframeStore(tmp_path, 10**8)
    assert drive(kept, 3.0) == 30
    again = KeyframeStore(tmp_path, 10**8)
    assert again.frames == kept.frames and again.bytes == kept.bytes and again.camera == CAMERA
    assert again.views == kept.views == 6


def test_the_snapshot_is_a_recording_that_the_other_commands_read(tmp_path, quick):
    kept = KeyframeStore(tmp_path / "kept", 10**8)
    drive(kept, 2.0)
    kept.begin_segment()
    drive(kept, 1.0, start=100)
    assert kept.snapshot(tmp_path / "shot") == 30
    with open_source(str(tmp_path / "shot")) as source:
        frames = list(source)
    assert len(frames) == 30 and frames[0].camera == CAMERA
    places = np.array([frame.pose[:3, 3] for frame in frames])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert np.count_nonzero(steps > 100) == 1, "what cannot be compared is far apart"
    np.testing.assert_allclose(np.delete(steps, 19), 0.1, atol=1e-4)
    np.testing.assert_allclose(frames[0].pose, pose_at(0.0), atol=1e-6)
    stamps = (tmp_path / "shot" / "stamps.txt").read_text().split()
    seconds = [float(text) for text in stamps[1::2]]
    assert stamps[0::2] == [f"{n:06d}" for n in kept.frames]
    assert seconds[:20] == list(range(20)) and seconds[20] == 19 + store.PAUSE and seconds[29] == 33
    assert json.loads((tmp_path / "shot" / "camera.json").read_text())["fps"] == pytest.approx(
        29 / 33, abs=1e-3
    )


def test_a_snapshot_stays_when_its_keyframes_go(tmp_path, quick):
    kept = KeyframeStore(tmp_path / "kept", 10**8)
    drive(kept, 1.0)
    kept.snapshot(tmp_path / "shot")
    for number in list(kept.frames):
        kept._remove(number)
    with open_source(str(tmp_path / "shot")) as source:
        assert len(list(source)) == 10


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.floats(0, 6), st.floats(0, 6), st.floats(0, 6.2), st.booleans()), min_size=1, max_size=60
    ),
    st.integers(1, 20),
)
def test_it_is_bounded_and_keeps_the_newest_whatever_is_driven(tmp_path_factory, poses, frames):
    folder = tmp_path_factory.mktemp("kept")
    limit = frames * 9000
    kept = KeyframeStore(folder, limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        for n, (x, y, heading, broken) in enumerate(poses):
            if broken:
                kept.begin_segment()
            newest = kept.add(IMAGE, pose_at(x, y, heading), n * SECOND, CAMERA)
            assert next(reversed(kept.frames.values())) == newest
            assert kept.bytes <= max(limit, newest.size + store.BLOCK)
            assert all(len(visits) <= store.VISITS for visits in kept._views.values())
    assert on_disk(folder) <= kept.bytes + 1000
    assert KeyframeStore(folder, limit).frames == kept.frames


def test_a_place_driven_often_does_not_drive_out_one_seen_once(tmp_path, quick):
    """A corner once, then the same corridor over and over, with room for less than half of it all."""
    kept = KeyframeStore(tmp_path, 75 * 9000)
    drive(kept, 2.0, y=50.0)
    corner = {frame.view for frame in kept.frames.values()}
    for lap in range(10):
        drive(kept, 3.0, start=10_000 * (lap + 1))
    views = {frame.view for frame in kept.frames.values()}
    assert corner <= views, "the only visit of a view stays while others have several"
    assert max(frame.stamp for frame in kept.frames.values()) >= 100_000 * SECOND


def test_the_oldest_visit_of_a_view_goes_first(tmp_path, quick):
    kept = KeyframeStore(tmp_path, 10**8)
    for lap in range(store.VISITS + 2):
        drive(kept, 3.0, start=10_000 * lap)
    laps = {frame.stamp // (10_000 * SECOND) for frame in kept.frames.values()}
    assert laps == {2, 3, 4}
    assert len(kept.frames) == 30 * store.VISITS, "a visit goes as a whole, so neighbours stay together"


def test_a_view_that_is_full_is_renewed_only_now_and_then(tmp_path, quick):
    kept = KeyframeStore(tmp_path, 10**8)
    laps = [drive(kept, 3.0, start=100 * lap) for lap in range(6)]
    assert laps == [30, 30, 30, 0, 0, 0]
    assert drive(kept, 3.0, start=10_000) == 30


def test_who_shuttles_in_one_spot_keeps_little(tmp_path, quick):
    kept = KeyframeStore(tmp_path, 10**8)
    for n in range(200):
        pose = pose_at(0.1 + 0.1 * (n % 3))
        if kept.wants(pose, n * SECOND):
            kept.add(IMAGE, pose, n * SECOND, CAMERA)
    assert len(kept.frames) <= store.VISIT_FRAMES * store.VISITS


def test_drift_is_not_compared_over_a_long_way(tmp_path, quick):
    kept = KeyframeStore(tmp_path, 10**8)
    drive(kept, 50.0, step=0.5)
    frames = list(kept.frames.values())
    assert [frame.stretch for frame in frames] == sorted(frame.stretch for frame in frames)
    assert len({frame.stretch for frame in frames}) == 3
    assert len({frame.segment for frame in frames}) == 1


def test_a_smaller_limit_holds_from_the_next_start_on(tmp_path, quick):
    drive(KeyframeStore(tmp_path, 10**8), 5.0)
    again = KeyframeStore(tmp_path, 20 * 9000)
    assert again.bytes <= 20 * 9000 and max(again.frames) == 49


def test_another_camera_begins_anew(tmp_path, quick):
    kept = KeyframeStore(tmp_path, 10**8)
    drive(kept, 1.0)
    kept.add(IMAGE, pose_at(9.0), 0, Camera(64, 48, 60.1, 60.1, 31.5, 23.5))
    assert len(kept.frames) == 11, "the noise of a calibration is no other camera"
    kept.add(IMAGE, pose_at(9.5), 0, Camera(64, 48, 80.0, 80.0, 31.5, 23.5))
    assert len(kept.frames) == 1
    assert KeyframeStore(tmp_path, 10**8).camera.fx == 80.0


@pytest.mark.parametrize("damage", ["image", "short image", "pose", "empty pose", "no camera", "left over"])
def test_what_a_crash_left_half_is_removed(tmp_path, quick, damage):
    kept = KeyframeStore(tmp_path, 10**8)
    drive(kept, 1.0)
    image, pose = tmp_path / "rgb/000004.jpg", tmp_path / "poses/000004.json"
    if damage == "image":
        image.unlink()
    elif damage == "short image":
        image.write_bytes(image.read_bytes()[:100])
    elif damage == "pose":
        pose.unlink()
    elif damage == "empty pose":
        pose.write_bytes(b"")
    elif damage == "no camera":
        (tmp_path / "camera.json").write_text("{")
    else:
        (tmp_path / "rgb/.000010.jpg").write_bytes(b"\xff\xd8")
        (tmp_path / "poses/.000010.json").write_bytes(b"{")
    again = KeyframeStore(tmp_path, 10**8)
    expected = {"no camera": 0, "left over": 10}.get(damage, 9)
    assert len(again.frames) == expected
    assert len(list((tmp_path / "rgb").iterdir())) == len(list((tmp_path / "poses").iterdir())) == expected
    again.add(IMAGE, pose_at(5.0), 0, CAMERA)
    assert len(KeyframeStore(tmp_path, 10**8).frames) == expected + 1


@pytest.mark.parametrize("text", ['{"number": 4}', "[]", "null", '{"view": "x"}', "1" * 5000])
def test_a_pose_file_of_somebody_else_is_no_keyframe(tmp_path, quick, text):
    kept = KeyframeStore(tmp_path, 10**8)
    drive(kept, 1.0)
    (tmp_path / "poses/000004.json").write_text(text)
    assert len(KeyframeStore(tmp_path, 10**8).frames) == 9


def test_a_folder_that_cannot_be_used_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Clip2DepthError, match="cannot be used"):
        KeyframeStore(tmp_path / "file", 10**8)
    with pytest.raises(Clip2DepthError, match="no keyframe"):
        KeyframeStore(tmp_path / "new", 10**8).snapshot(tmp_path / "shot")


WRITER = """
import sys
from pathlib import Path
import numpy as np
from clip2depth_ros.camera import Camera
from clip2depth_ros.keyframes import KeyframeStore
kept = KeyframeStore(Path(sys.argv[1]), 40 * 9000)
image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
print(len(kept.frames), flush=True)
for n in range(10**6):
    pose = np.eye(4)
    pose[0, 3] = 0.1 * n
    kept.add(image, pose, n, camera)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_is_whole(tmp_path):
    chance = random.Random(3)
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(chance.uniform(0.05, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = KeyframeStore(tmp_path, 40 * 9000)
        assert kept.frames and kept.bytes <= 40 * 9000
        for number, frame in kept.frames.items():
            jpeg = (tmp_path / f"rgb/{number:06d}.jpg").read_bytes()
            assert len(jpeg) == frame.size and jpeg.endswith(b"\xff\xd9")
            assert json.loads((tmp_path / f"poses/{number:06d}.json").read_text())["number"] == number
        assert on_disk(tmp_path) <= kept.bytes + 1000
