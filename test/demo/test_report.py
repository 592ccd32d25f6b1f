# SPDX-License-Identifier: Apache-2.0
"""Video, sheet, table and summary, from a recording with known errors."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from clip2depth_ros.demo.live import Tally, Topics
from clip2depth_ros.demo.recording import Recorder
from clip2depth_ros.demo.report import draw, matches, summary, table, video_rate
from clip2depth_ros.images.visualization import color_depth

TOPICS = Topics()
SECOND = 10**9
SCALE = 1.1


def quality(wire, i: int, stamp: int, **changes):
    """Quality of frame i: no motion in the first; every other one has 1 % scale jitter."""
    changes |= {
        "infer_time": 0.02,
        "temporal_error": 0.004 if i else np.nan,
        "motion": "vision" if i % 4 else "none",
    }
    changes["flicker"] = (1.01, 1 / 1.01)[i % 2] if i else np.nan
    changes |= {"scale": 0.5, "scale_deviation": 0.125, "scale_source": "odometry"}
    return wire.quality(stamp, **changes)


def session(folder, wire, frames: int, dropped: set[int] = frozenset(), with_truth: bool = True):
    """A recording and its tally. Frame i: gray level 10 i, 1 + i / 10 m away, depth SCALE of that."""
    tally, recorder = Tally(TOPICS), Recorder(folder / "recording")
    late = []
    for i in range(frames):
        stamp = (50 + i) * SECOND // 10
        truth = np.full((24, 32), 1 + i / 10, np.float32)
        truth[:, ::2] *= 2
        messages = [(TOPICS.image, *wire.image(stamp, np.full((24, 32, 3), 10 * i, np.uint8), "rgb8"))]
        if with_truth:
            messages.append((TOPICS.true_depth, *wire.image(stamp, truth, "32FC1")))
        messages += late
        late = []
        if i not in dropped:  # depth arrives after the next image, as from a slow node
            late = [
                (TOPICS.depth, *wire.image(stamp, truth * np.float32(SCALE), "32FC1")),
                (TOPICS.quality, *quality(wire, i, stamp, frames_dropped=len(dropped))),
            ]
        for message in messages + (late if i == frames - 1 else []):
            tally.take(*message, stamp + SECOND // 25)
            recorder.write(*message, stamp + SECOND // 25)
    recorder.close()
    return tally, recorder


def test_images_are_matched_with_their_depth(tmp_path, wire):
    _, recorder = session(tmp_path, wire, 12, dropped={3, 4, 9})
    found = list(matches(recorder.folder, TOPICS, has_truth=True))
    assert [m.image[0, 0, 0] // 10 for m in found] == [0, 1, 2, 5, 6, 7, 8, 10, 11]
    for m in found:
        assert m.stamp == (50 + int(m.image[0, 0, 0]) // 10) * SECOND // 10
        np.testing.assert_allclose(m.depth, m.truth * np.float32(SCALE))


def test_video_sheet_and_summary(tmp_path, wire):
    tally, recorder = session(tmp_path, wire, 12, dropped={3})
    errors = draw(recorder.folder, tally, tmp_path / "film.webm", tmp_path / "sheet.jpg")
    facts = summary(tally, errors)
    assert facts["scale"] == {"value": 0.5, "deviation": 0.125, "source": "odometry"}
    assert facts["errors"]["frames"] == 11
    assert facts["errors"]["abs_rel"] == pytest.approx(SCALE - 1, abs=1e-5)
    assert facts["errors"]["abs_rel_scaled"] == pytest.approx(0, abs=1e-5)
    assert facts["errors"]["delta1"] == 1
    assert (facts["frames_in"], facts["frames_out"], facts["dropped"], facts["dropped_by_node"]) == (
        12,
        11,
        1,
        1,
    )
    assert facts["rate"] == pytest.approx(10 / 1.1)
    assert facts["latency"]["median"] == pytest.approx(0.14)  # one frame late, and 40 ms
    assert facts["stage_times_median"]["infer"] == pytest.approx(0.02)
    stages = ["rectify", "fit", "infer", "stabilize", "scale", "unfit", "publish"]
    assert list(facts["stage_times_median"]) == stages
    assert facts["steadiness"] == {
        "temporal_error": pytest.approx(0.004),
        "flicker": pytest.approx(np.log(1.01)),
        "motion_known": pytest.approx(8 / 10),  # of 1 to 11 without 3; 4 and 8 are not
    }
    json.dumps(facts, allow_nan=False)
    text = table(facts)
    for expected in (
        "tiny on openvino",
        "12 in, 11 out, 1 dropped",
        "median 140 ms",
        "AbsRel 0.100",
        "0.50 at the end, by odometry, standard deviation 12.5%",
        "0.40% from frame to frame after 1.0% of scale jitter was removed; camera motion known in 80%",
        "infer 20.0",
    ):
        assert expected in text

    film = cv2.VideoCapture(str(tmp_path / "film.webm"))
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(10 / 1.1, abs=0.1)
    frames = []
    while (got := film.read())[0]:
        frames.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB).astype(int))
    assert len(frames) == 11
    first, last = frames[0][26:266], frames[-1][26:266]  # below the labels, 240 rows
    assert abs(first[100, 100] - 0).max() < 12 and abs(last[100, 100] - 110).max() < 12
    # Three columns of 320: the node's depth in the middle, the truth to the right, in the same colors.
    for column, scale in ((1, SCALE), (2, 1.0)):
        patch = last[40:200, column * 322 + 95 : column * 322 + 98].mean(axis=(0, 1))
        expected = color_depth(np.float32([[2.1 * scale]]))[0, 0].astype(int)
        assert np.abs(patch - expected).max() < 40
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    assert sheet.shape[1] > 2 * 960 and sheet.shape[0] > 4 * 300


def test_without_truth_the_column_is_absent(tmp_path, wire):
    tally, recorder = session(tmp_path, wire, 4, with_truth=False)
    assert draw(recorder.folder, tally, tmp_path / "film.webm", tmp_path / "sheet.jpg") == []
    facts = summary(tally, [])
    assert facts["errors"] is None
    assert "true depth" not in table(facts)
    ok, frame = cv2.VideoCapture(str(tmp_path / "film.webm")).read()
    assert ok and frame.shape[1] == 2 * 320 + 2


def test_a_single_frame_gives_a_video(tmp_path, wire):
    tally, recorder = session(tmp_path, wire, 1)
    draw(recorder.folder, tally, tmp_path / "film.webm", tmp_path / "sheet.jpg")
    facts = summary(tally, [])
    assert facts["rate"] is None
    assert facts["steadiness"]["temporal_error"] is None
    assert "only one depth image" in table(facts) and "departs" not in table(facts)
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize(
    ("stamps", "rate"),
    [
        ([], 10),
        ([5], 10),
        ([0, SECOND], 1),
        ([0, SECOND // 2, SECOND], 2),
        ([0, 1], 60),
        ([0, 90 * SECOND], 1),
    ],
)
def test_the_video_plays_in_real_time_within_limits(stamps, rate):
    assert video_rate(stamps) == pytest.approx(rate)
