# SPDX-License-Identifier: Apache-2.0
"""Properties of a depth frame."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clip2depth_ros.images.frame import DepthFrame


def frame_with(deviation: np.ndarray | None) -> DepthFrame:
    image = np.zeros((48, 64, 3), np.uint8)
    return DepthFrame(np.ones((48, 64), np.float32), image, None, 0, "optical", deviation=deviation)


def test_the_median_deviation_is_that_of_the_known_pixels():
    deviation = np.full((48, 64), np.nan, np.float32)
    deviation[:24, :32] = 0.5
    deviation[:24, 32:] = 0.25
    deviation[24:, :32] = 0.125
    assert frame_with(deviation).median_deviation() == pytest.approx(0.25)


def test_without_a_known_deviation_its_median_is_unknown():
    assert math.isnan(frame_with(None).median_deviation())
    assert math.isnan(frame_with(np.full((48, 64), np.nan, np.float32)).median_deviation())
    assert math.isnan(frame_with(np.full((3, 64), 0.5, np.float32)).median_deviation())
