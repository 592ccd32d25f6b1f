# SPDX-License-Identifier: Apache-2.0
"""The floor for scan and points."""

from dataclasses import replace

import numpy as np
import pytest

from clip2depth_ros.images.frame import DepthFrame, Floor, FrameFacts
from clip2depth_ros.ros.inputs.known_floor import FLOOR_MEMORY, KnownFloor
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

T0 = 1_000_000_000
FOUND = Floor.from_mounting(0.45, 0.2)


def frame(stamp: int, floor: Floor | None) -> DepthFrame:
    depth = np.ones((4, 4), np.float32)
    return DepthFrame(depth, np.zeros((4, 4, 3), np.uint8), None, stamp, "camera", FrameFacts(floor=floor))


def test_the_last_floor_is_used_for_two_seconds():
    known, settings = KnownFloor(), DepthSettings()
    known.see(frame(T0, None), settings, None)
    assert known.floor is None and known.limits(settings) is None
    known.see(frame(T0, FOUND), settings, None)
    known.see(frame(T0 + FLOOR_MEMORY, None), settings, None)
    assert known.floor is FOUND and not known.out_of_sight
    known.see(frame(T0 + FLOOR_MEMORY + 1, None), settings, None)
    assert known.floor is None and known.out_of_sight
    # Time jumps back: what was found before it does not count.
    known.see(frame(T0, FOUND), settings, None)
    known.see(frame(T0 - 5, None), settings, None)
    assert known.floor is None


def test_the_expected_floor_is_from_the_mounting():
    known, settings = KnownFloor(), DepthSettings()
    known.see(frame(T0, FOUND), settings, None)
    assert known.limits(settings).expected is FOUND
    by_height = replace(settings, scale=replace(settings.scale, height=0.6))
    assert known.limits(by_height).expected.height == 0.6
    mounted = replace(by_height, mounting=replace(settings.mounting, z=0.7, pitch=0.1, roll=0.05))
    limits = known.limits(mounted)
    assert limits.found is FOUND and limits.min_height == settings.scan.min_height
    assert limits.expected.height == 0.7
    assert (limits.expected.pitch, limits.expected.roll) == pytest.approx((0.1, 0.05))


def test_without_a_visible_floor_height_and_gravity_give_it():
    settings = DepthSettings()
    settings = replace(settings, scale=replace(settings.scale, height=0.6))
    known = KnownFloor()
    known.see(frame(T0, None), settings, None)
    assert known.floor.height == 0.6 and known.floor.pitch == pytest.approx(0.0)
    known.see(frame(T0, None), settings, np.array([0.0, 0.8, 0.6]))
    assert known.floor.height == 0.6 and known.floor.pitch == pytest.approx(np.arcsin(0.6))
