# SPDX-License-Identifier: Apache-2.0
"""Properties of a depth frame."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clip2depth_ros.images.frame import DepthFrame


def frame_with(std_dev: np.ndarray | None) -> DepthFrame:
    image = np.zeros((48, 64, 3), np.uint8)
    return DepthFrame(np.ones((48, 64), np.float32), image, None, 0, "optical", std_dev=std_dev)


def test_the_median_std_dev_is_that_of_the_known_pixels():
    std_dev = np.full((48, 64), np.nan, np.float32)
    std_dev[:24, :32] = 0.5
    std_dev[:24, 32:] = 0.25
    std_dev[24:, :32] = 0.125
    assert frame_with(std_dev).median_std_dev() == pytest.approx(0.25)


def test_without_a_known_std_dev_its_median_is_unknown():
    assert math.isnan(frame_with(None).median_std_dev())
    assert math.isnan(frame_with(np.full((48, 64), np.nan, np.float32)).median_std_dev())
    assert math.isnan(frame_with(np.full((3, 64), 0.5, np.float32)).median_std_dev())
