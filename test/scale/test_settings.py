# SPDX-License-Identifier: Apache-2.0
"""Limits of the scale settings."""

import math

import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.scale import ScaleSettings


def test_no_source_is_on_by_default():
    settings = ScaleSettings()
    assert (settings.height, settings.odometry, settings.ranges, settings.memory) == (0.0, False, False, "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("height", -0.3),
        ("height", math.nan),
        ("height", math.inf),
        ("height", 350.0),
        ("pitch", 15.0),
        ("roll", math.nan),
        ("tilt_tolerance", 0.0),
        ("initial", 0.0),
        ("drift", -1.0),
        ("max_step", 0.05),
        ("max_step", 0.0),
    ],
)
def test_a_wrong_number_is_rejected_with_its_name_and_value(field, value):
    with pytest.raises(Clip2DepthError) as error:
        ScaleSettings(**{field: value})
    text = str(error.value)
    assert field.replace("initial", "initial factor") in text and f"{value:g}" in text
    assert text.endswith(".") and "\n" not in text


def test_degrees_are_detected():
    with pytest.raises(Clip2DepthError, match="degrees need to be multiplied"):
        ScaleSettings(pitch=12.0)
