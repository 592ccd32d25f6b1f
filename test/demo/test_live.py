# SPDX-License-Identifier: Apache-2.0
"""Message counts, and the live line on the terminal."""

from __future__ import annotations

import numpy as np
import pytest

from clip2depth_ros.demo.live import Tally, Topics, errors_against

TOPICS = Topics()
SECOND = 10**9


def test_counts_latency_and_error(wire):
    tally = Tally(TOPICS)
    truth = np.random.default_rng(2).uniform(1, 5, (24, 32)).astype(np.float32)
    for i in range(5):
        stamp = (100 + i) * SECOND
        tally.take(TOPICS.image, *wire.image(stamp, np.zeros((24, 32, 3), np.uint8), "rgb8"), stamp)
        tally.take(TOPICS.true_depth, *wire.image(stamp, truth, "32FC1"), stamp)
        if i != 2:  # a dropped one
            tally.take(TOPICS.depth, *wire.image(stamp, truth * 1.25, "32FC1"), stamp + SECOND // 20)
            tally.take(TOPICS.quality, *wire.quality(stamp), stamp + SECOND // 20)
    assert (tally.frames_in, tally.frames_out) == (5, 4)
    assert tally.latencies == pytest.approx([0.05] * 4)
    assert tally.errors["abs_rel"] == pytest.approx(0.25, abs=1e-6)
    assert tally.errors["abs_rel_scaled"] == pytest.approx(0, abs=1e-6)
    assert tally.is_drained
    assert "in    5  out    4" in tally.line()
    assert "latency   50 ms" in tally.line() and "AbsRel 0.25" in tally.line()


def test_an_image_that_was_lost_on_its_way_here_is_counted_by_its_depth(wire):
    tally = Tally(TOPICS)
    for stamp in (1, 2, 3):
        if stamp > 1:
            tally.take(TOPICS.image, *wire.image(stamp, np.zeros((2, 2, 3), np.uint8), "rgb8"), stamp)
        if stamp < 3:
            tally.take(TOPICS.depth, *wire.image(stamp, np.ones((2, 2), np.float32), "32FC1"), stamp)
    assert (tally.frames_in, tally.frames_out) == (3, 2)


def test_the_depth_of_the_newest_image_is_waited_for(wire):
    tally = Tally(TOPICS)
    assert not tally.is_drained
    for stamp in (1, 2):
        tally.take(TOPICS.image, *wire.image(stamp, np.zeros((2, 2, 3), np.uint8), "rgb8"), stamp)
    tally.take(TOPICS.depth, *wire.image(1, np.ones((2, 2), np.float32), "32FC1"), 3)
    assert not tally.is_drained
    tally.take(TOPICS.depth, *wire.image(2, np.ones((2, 2), np.float32), "32FC1"), 3)
    assert tally.is_drained


def test_ground_truth_without_depth_does_not_accumulate(wire):
    tally = Tally(TOPICS)
    for stamp in range(1, 200):
        tally.take(TOPICS.true_depth, *wire.image(stamp, np.ones((2, 2), np.float32), "32FC1"), stamp)
    assert len(tally._truths) <= 64


def test_no_error_against_the_ground_truth_of_a_distorted_camera(wire):
    """The truth belongs to the distorted image, the depth to the rectified one."""
    tally = Tally(TOPICS)
    camera_info = wire.message(
        "sensor_msgs/msg/CameraInfo",
        header=wire.header(1),
        height=2,
        width=2,
        distortion_model="plumb_bob",
        d=np.array([-0.3, 0.1, 0, 0, 0.0]),
        k=np.eye(3).ravel(),
        r=np.eye(3).ravel(),
        p=np.eye(3, 4).ravel(),
        binning_x=0,
        binning_y=0,
        roi=wire.message(
            "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )
    tally.take(TOPICS.camera_info, *wire.encode(camera_info), 1)
    tally.take(TOPICS.true_depth, *wire.image(1, np.ones((8, 8), np.float32), "32FC1"), 1)
    tally.take(TOPICS.depth, *wire.image(1, np.ones((8, 8), np.float32), "32FC1"), 1)
    assert not tally.rectified
    assert tally.errors is None


def test_errors_where_the_sizes_differ():
    truth = np.repeat(np.repeat(np.float32([[1, 2], [3, 4]]), 4, axis=0), 4, axis=1)
    found = errors_against(np.float32([[1, 2], [3, 4]]), truth)
    assert found["abs_rel"] == pytest.approx(0)
    assert errors_against(np.full((2, 2), np.nan, np.float32), truth) is None
