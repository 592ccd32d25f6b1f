# SPDX-License-Identifier: Apache-2.0
import struct

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io import open_source


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Ten frames of growing brightness at 20 Hz."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    assert writer.isOpened()
    for i in range(10):
        writer.write(np.full((48, 64, 3), (0, 0, 20 * i + 10), np.uint8))  # blue, green, red
    writer.release()
    return path


def test_frames_colours_and_times(film):
    with open_source(film, horizontal_fov=1.0) as source:
        assert source.length == 10 and source.fps == 20
        reds = []
        for index, frame in enumerate(source):
            assert frame.name == f"{index:06d}"
            assert frame.stamp == pytest.approx(index * 50_000_000, abs=1_000_000)
            assert frame.camera == Camera.from_fov(64, 48, 1.0)
            reds.append(frame.image[24, 32].astype(int))
    reds = np.array(reds)
    np.testing.assert_allclose(reds[:, 0], 20 * np.arange(10) + 10, atol=8)
    assert (reds[:, 2] < 12).all()


def test_every_third_and_again(film):
    source = open_source(film, every=3)
    first = [(f.name, f.stamp) for f in source]
    assert [name for name, _ in first] == ["000000", "000003", "000006", "000009"]
    assert source.length == 4
    assert [(f.name, f.stamp) for f in source] == first
    source.close()
    source.close()


def test_a_given_rate_sets_the_stamps(film):
    assert [f.stamp for f in open_source(film, fps=100)][:3] == [0, 10_000_000, 20_000_000]


def test_what_is_no_film(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"no film at all")
    with pytest.raises(Clip2DepthError, match="is not a video that OpenCV can read"):
        open_source(tmp_path / "film.mp4")


@pytest.mark.parametrize("spec", ["/dev/video99", "99"])
def test_a_missing_device_is_named(spec):
    with pytest.raises(Clip2DepthError, match=r"no camera device /dev/video99; there are:"):
        open_source(spec)


def test_a_device_that_is_no_camera():
    with pytest.raises(Clip2DepthError, match="/dev/null cannot be opened"):
        open_source("/dev/null")


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [(60000, 60000, "is not a video"), (16000, 8000, "it says it is 16000x8000 pixels")],
)
def test_a_video_that_states_a_size_of_no_camera_is_refused(tmp_path, width, height, words):
    header = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0x80) + bytes(6) + b"\2\2\x44\1\0;"
    (tmp_path / "film.gif").write_bytes(header + frame)
    with pytest.raises(Clip2DepthError, match=words):
        open_source(tmp_path / "film.gif")
