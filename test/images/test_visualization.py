# SPDX-License-Identifier: Apache-2.0
"""Metric colors, panels, contact sheets and videos."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.visualization import (
    UNKNOWN,
    VideoWriter,
    color_depth,
    legend,
    save_image,
    sheet,
    side_by_side,
    text_strip,
)

metres = st.floats(0.01, 200.0)


def colour(depth: float, **options) -> np.ndarray:
    return color_depth(np.float32([[depth]]), **options)[0, 0]


@given(metres, st.lists(metres, min_size=1, max_size=8))
def test_the_color_depends_on_the_depth_only(depth, others):
    among = color_depth(np.float32([[*others, depth]]))[0, -1]
    assert np.array_equal(among, colour(depth))


@given(st.floats(0.4, 10.0), st.floats(0.4, 10.0))
def test_clearly_different_depths_in_range_have_different_colors(a, b):
    if abs(np.log(a / b)) > np.log(25) / 60:
        assert not np.array_equal(colour(a), colour(b))


@given(metres)
def test_depths_outside_the_range_have_the_limits_color(depth):
    clipped = float(np.clip(depth, 1.0, 4.0))
    assert np.array_equal(colour(depth, near=1.0, far=4.0), colour(clipped, near=1.0, far=4.0))


def test_near_is_warm_and_far_is_cold():
    near, far = colour(0.6).astype(int), colour(6.0).astype(int)
    assert near[0] > near[2]
    assert far[2] > far[0]


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_unknown_depth_is_gray(unknown):
    assert tuple(colour(unknown)) == UNKNOWN


@given(metres)
def test_no_known_depth_is_gray(depth):
    assert tuple(colour(depth)) != UNKNOWN


def test_colors_are_written_into_a_given_buffer():
    depth = np.random.default_rng(0).uniform(0.3, 12, (5, 7)).astype(np.float32)
    out = np.empty((5, 7, 3), np.uint8)
    assert color_depth(depth, out=out) is out
    assert np.array_equal(out, color_depth(depth))


@pytest.mark.parametrize(("near", "far"), [(0.0, 1.0), (2.0, 2.0), (3.0, 1.0), (1.0, np.inf), (np.nan, 1.0)])
def test_an_impossible_range_is_rejected(near, far):
    with pytest.raises(Clip2DepthError, match="near"):
        color_depth(np.ones((2, 2), np.float32), near, far)


def test_a_depth_with_three_axes_is_rejected():
    with pytest.raises(Clip2DepthError, match="two axes"):
        color_depth(np.ones((2, 2, 3), np.float32))


def test_the_legend_shows_the_colors_of_its_range():
    picture = legend(400, 0.5, 8.0)
    assert picture.shape == (26, 400, 3)
    bar = picture[6]
    assert np.array_equal(bar[6], colour(0.5, near=0.5, far=8.0))
    last = 6 + 400 - 6 - 112 - 1
    assert np.array_equal(bar[last], colour(8.0, near=0.5, far=8.0))
    middle = 6 + (last - 6) // 2
    expected = colour(2.0, near=0.5, far=8.0).astype(int)  # the geometric mean: half of the way in log depth
    assert np.abs(bar[middle].astype(int) - expected).max() <= 12


@given(st.integers(1, 300), st.text(max_size=60))
@settings(max_examples=50)
def test_text_fits_its_strip(width, text):
    assert text_strip(text, width).shape == (26, width, 3)


def test_a_panel_shows_its_images_at_one_height():
    image = np.full((48, 64, 3), 200, np.uint8)
    depth = np.full((24, 32), 2.0, np.float32)
    panel = side_by_side([("image", image), ("depth", depth)], caption="a caption")
    assert panel.shape == (26 + 48 + 26 + 26, 64 + 2 + 64, 3)
    assert np.array_equal(panel[26:74, :64], image)
    assert (panel[26:74, 66:] == colour(2.0)).all()


def test_an_enlarged_depth_keeps_its_unknown_pixels_hard():
    depth = np.full((8, 8), 2.0, np.float32)
    depth[:, :4] = np.nan
    shown = side_by_side([("", depth)], height=32, with_legend=False)[26:]
    assert {tuple(c) for c in shown.reshape(-1, 3)} == {UNKNOWN, tuple(colour(2.0))}


def test_an_empty_panel_or_sheet_is_rejected():
    with pytest.raises(Clip2DepthError):
        side_by_side([])
    with pytest.raises(Clip2DepthError):
        sheet([])


def test_a_sheet_places_images_row_by_row():
    pictures = [np.full((10, 20, 3), 50 + i, np.uint8) for i in range(5)]
    grid = sheet(pictures, columns=2, gap=4)
    assert grid.shape == (38, 44, 3)
    for i in range(5):
        y, x = (i // 2) * 14, (i % 2) * 24
        assert (grid[y : y + 10, x : x + 20] == 50 + i).all()


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_saved_image_reads_back_in_its_own_colors(tmp_path, ending):
    picture = np.full((16, 24, 3), (200, 40, 10), np.uint8)
    path = save_image(tmp_path / "deeper" / f"picture{ending}", picture)
    back = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert np.abs(back.astype(int) - picture.astype(int)).max() <= 4


def test_an_image_that_cannot_be_written_gives_one_sentence(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Clip2DepthError, match=r"cannot be written: .*file is not a folder"):
        save_image(tmp_path / "file" / "picture.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(Clip2DepthError, match=r"\.jpg or \.png"):
        save_image(tmp_path / "picture.gif", np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("ending", [".webm", ".mp4", ".avi"])
def test_a_video_reads_back(tmp_path, ending, capfd):
    path = tmp_path / f"film{ending}"
    with VideoWriter(path, fps=12.5) as film:
        for i in range(6):
            film.write(np.full((47, 63, 3), (30 * i, 10, 200 - 30 * i), np.uint8))  # odd sides
        film.write(np.full((200, 80, 3), 250, np.uint8))  # another size
    assert film.frames == 7
    reader = cv2.VideoCapture(str(path))
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5, abs=0.1)
    frames = []
    while (got := reader.read())[0]:
        frames.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB))
    assert len(frames) == 7
    assert frames[0].shape == (48, 64, 3)
    for i in range(6):
        expected = (30 * i, 10, 200 - 30 * i)
        assert np.abs(frames[i][10:30, 10:50].astype(int).mean(axis=(0, 1)) - expected).max() < 16
    assert "tag" not in capfd.readouterr().err  # FFmpeg's line about the codec is suppressed


def test_a_video_of_an_unknown_kind_is_rejected(tmp_path):
    with pytest.raises(Clip2DepthError, match=r"\.webm"):
        VideoWriter(tmp_path / "film.mkv", 10)
    with pytest.raises(Clip2DepthError, match="frame rate"):
        VideoWriter(tmp_path / "film.webm", 0)


def test_a_video_that_cannot_be_written_gives_one_sentence(tmp_path):
    (tmp_path / "film.webm").mkdir()
    with pytest.raises(Clip2DepthError, match=r"film\.webm cannot be written: it is a folder"):
        VideoWriter(tmp_path / "film.webm", 10).write(np.zeros((16, 16, 3), np.uint8))


def test_a_video_without_images_leaves_no_file(tmp_path):
    with VideoWriter(tmp_path / "film.webm", 10):
        pass
    assert not (tmp_path / "film.webm").exists()
