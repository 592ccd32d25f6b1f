# SPDX-License-Identifier: Apache-2.0
from dataclasses import fields

import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.stabilizer.settings import LIMITS, StabilizerSettings


def test_every_setting_has_limits_and_its_default_lies_within():
    assert set(LIMITS) == {field.name for field in fields(StabilizerSettings)}
    StabilizerSettings()
    for name, (low, high) in LIMITS.items():
        StabilizerSettings(**{name: low}), StabilizerSettings(**{name: high})


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 1e12, "a lot"])
def test_a_value_outside_its_limits_is_rejected_by_name(name, value):
    with pytest.raises(Clip2DepthError, match=name):
        StabilizerSettings(**{name: value})
