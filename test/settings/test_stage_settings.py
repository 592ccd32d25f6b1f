# SPDX-License-Identifier: Apache-2.0
"""Settings of the stages hold their ranges, wherever they are made, and the nodes use the same ones."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.settings import (
    PointsSettings,
    ScaleSettings,
    ScanSettings,
    StabilizerSettings,
    option,
    parameters_of,
)

CLASSES = (StabilizerSettings, ScaleSettings, PointsSettings, ScanSettings)
NUMBERS = [
    (settings_class, field)
    for settings_class in CLASSES
    for field in dataclasses.fields(settings_class)
    if type(field.default) in (int, float)
]
# Settings that must stay below or above another one, which its own limit would contradict.
PARTNERS = {"min_height": "max_height", "min_range": "max_range"}


@pytest.mark.parametrize(
    ("settings_class", "field"), NUMBERS, ids=lambda v: v.__name__ if isinstance(v, type) else v.name
)
def test_the_range_is_held_and_the_message_names_the_setting(settings_class, field):
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    assert field.metadata["description"].endswith(".") and low <= field.default <= high
    if field.name not in PARTNERS and field.name not in PARTNERS.values():
        settings_class(**{field.name: low}), settings_class(**{field.name: high})
    for wrong in (low - 1, math.nan, -math.inf, 1e12 if high < 1e12 else -1, "a lot", True):
        with pytest.raises(Clip2DepthError, match=rf"'\w+\.{field.name}' (is|must be) .*\.$") as error:
            settings_class(**{field.name: wrong})
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("settings_class", CLASSES, ids=lambda c: c.__name__)
def test_the_node_has_each_public_setting_by_the_same_facts(settings_class):
    group = settings_class.__name__.removesuffix("Settings").lower()
    node = {p.name: p for p in parameters_of(DepthSettings)}
    allowed = {"scale.odometry": {"default", "description"}, "scale.ranges": {"default", "description"}}
    allowed["points.max_range"] = {"maximum"}
    for own in parameters_of(settings_class, f"{group}."):
        differing = {k for k, v in vars(own).items() if vars(node[own.name])[k] != v}
        assert differing == allowed.get(own.name, set()), own.name


def test_a_command_line_option_has_the_settings_facts():
    made = option(ScaleSettings, "height", "see the docs")
    assert made["type"] is float
    assert made["help"].startswith("height of the camera") and made["help"].endswith(
        "(see the docs; m; 0 to 100)"
    )


def test_numbers_of_numpy_are_numbers():
    assert ScaleSettings(height=np.float32(0.5), pitch=np.float64(0.1)).height == 0.5
    assert PointsSettings(stride=np.int64(3)).stride == 3


def test_without_a_request_no_source_of_scale_is_used():
    settings = ScaleSettings()
    assert (settings.height, settings.odometry, settings.ranges, settings.memory) == (0.0, False, False, "")


def test_degrees_are_suspected():
    with pytest.raises(Clip2DepthError, match=r"'scale\.pitch' is 12\.0 rad.*multiply degrees by 0\.01745"):
        ScaleSettings(pitch=12.0)


@pytest.mark.parametrize(
    ("settings_class", "changes"),
    [
        (ScanSettings, {"min_height": 1.0}),
        (ScanSettings, {"max_range": 0.05}),
        (PointsSettings, {"min_range": 3.0, "max_range": 2.0}),
    ],
)
def test_a_pair_in_the_wrong_order_is_rejected(settings_class, changes):
    with pytest.raises(Clip2DepthError, match=r"'\w+\.min_\w+' is .* must be less than '\w+\.max_\w+'"):
        settings_class(**changes)


def test_points_without_a_limit():
    assert PointsSettings(max_range=math.inf).max_range == math.inf


def test_launch_files_need_no_numpy_for_the_parameters():
    program = """
import sys
from clip2depth_ros.ros.parameters.adapt_settings import AdaptSettings
print(sorted({"numpy", "cv2", "rclpy"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stdout == "[]\n", ended.stderr
