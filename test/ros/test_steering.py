# SPDX-License-Identifier: Apache-2.0
"""Requests of the executor's thread reach the pipeline once, whenever they come."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("rclpy")
from clip2depth_ros.ros.nodes.steering import Steering
from clip2depth_ros.ros.parameters.declaration import settings_from
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings


class Steered:
    """Writes down its resets."""

    def __init__(self):
        self.kept = []

    def reset(self, keep_scale):
        self.kept.append(keep_scale)


@pytest.fixture
def settings():
    return settings_from(DepthSettings, {})


def test_each_request_is_done_once(settings):
    steering, pipeline = Steering(), Steered()
    assert not steering.steer(pipeline, settings, "a")
    steering.ask_new_start()
    assert steering.steer(pipeline, settings, "a") and pipeline.kept == [True]
    steering.ask_new_start()
    steering.ask_reset()
    assert steering.steer(pipeline, settings, "a") and pipeline.kept == [True, False]
    assert not steering.steer(pipeline, settings, "a")


def test_a_request_that_comes_while_another_one_is_taken_is_not_lost(settings):
    steering, pipeline = Steering(), Steered()

    class Late(threading.Event):
        """At the moment when the new start is seen, a reset is asked for."""

        def is_set(self):
            found = super().is_set()
            if found:
                steering.ask_reset()
            return found

    steering._pause = Late()
    steering.ask_new_start()
    assert steering.steer(pipeline, settings, "a")
    steering.steer(pipeline, settings, "a")
    assert False in pipeline.kept  # the scale was to be forgotten
