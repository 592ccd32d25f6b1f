# SPDX-License-Identifier: Apache-2.0
"""Requests of the executor's thread reach the pipeline once, whenever they come."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("rclpy")
from clip2depth_ros.ros.nodes.steering import Steering
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.settings import settings_from


class Steered:
    """Writes down its resets and settings. at_reset: called in the middle of a reset."""

    def __init__(self, at_reset=lambda: None):
        self.kept, self.configured, self.at_reset = [], [], at_reset

    def configure(self, settings):
        self.configured.append(settings)

    def reset(self, keep_scale):
        self.kept.append(keep_scale)
        self.at_reset()


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


def test_the_pipeline_is_configured_when_settings_or_name_change(settings):
    steering, pipeline = Steering(), Steered()
    for name in ("a", "a", "b"):
        steering.steer(pipeline, settings, name)
    other = settings_from(DepthSettings, {"stabilizer.gate": 5.0, "scale.height": 0.5, "mounting.pitch": 0.1})
    steering.steer(pipeline, other, "b")
    assert [made.scale.name for made in pipeline.configured] == ["a", "b", "b"]
    last = pipeline.configured[-1]
    assert (last.stabilizer.gate, last.scale.height, last.scale.pitch) == (5.0, 0.5, 0.1)
    assert not last.scale.odometry and not last.scale.ranges  # no topic


def test_a_request_during_a_reset_is_served_by_the_next_one(settings):
    steering = Steering()
    pipeline = Steered(lambda: steering.ask_reset() if len(pipeline.kept) == 1 else None)
    steering.ask_new_start()
    assert steering.steer(pipeline, settings, "a")
    assert steering.steer(pipeline, settings, "a") and pipeline.kept == [True, False]
    assert not steering.steer(pipeline, settings, "a")


def test_a_request_waits_until_the_earlier_ones_are_taken(settings):
    """Looking at the requests and clearing them is one step: a reset that comes meanwhile stays asked for."""
    steering, pipeline = Steering(), Steered()
    late = threading.Thread(target=steering.ask_reset)

    class Taking:
        """The lock, with a request from another thread at the moment when it is taken."""

        def __init__(self, lock):
            self.lock = lock

        def __enter__(self):
            self.lock.acquire()
            if threading.current_thread() is not late:
                late.start()
                late.join(0.2)  # it cannot end here
                assert late.is_alive()

        def __exit__(self, *_):
            self.lock.release()

    steering.ask_new_start()
    lock = steering._lock
    steering._lock = Taking(lock)
    try:
        assert steering.steer(pipeline, settings, "a")
    finally:
        steering._lock = lock
    late.join(5)
    assert steering.steer(pipeline, settings, "a") and pipeline.kept == [True, False]
