# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics says, and what the log says only once."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("rclpy")
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from clip2depth_ros.ros.nodes.mailbox import Counts
from clip2depth_ros.ros.outputs.diagnostics import FrameRates, diagnostic_array, level_and_reason
from clip2depth_ros.ros.outputs.throttled_log import Notices

from .log_stand_in import Log

pytestmark = pytest.mark.ros
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def rates(**values):
    return {"in": 30.0, "out": 10.0, "dropped": 20.0, "bad": 0.0, "latency": 0.1, "latency_max": 0.2} | values


@pytest.mark.parametrize(
    ("state", "level", "words"),
    [
        (dict(active=False), OK, "Inactive"),
        (dict(listened_to=False, rates=rates(out=0.0)), OK, "No subscribers"),
        (dict(), OK, "Depth is published"),
        (dict(rates=rates(out=0.0)), OK, "Waiting"),
        (dict(limit=8.0), OK, "at most 8.0 images a second: load.max_cpu"),
        (dict(states={"silence": "No image for 5 s"}, rates=rates(out=0.0)), ERROR, "No image"),
        (dict(states={"camera_info": "No camera_info"}, rates=rates(out=0.0)), ERROR, "No camera_info"),
        (dict(states={"camera_info": "Stands in"}), WARN, "Stands in"),
        (dict(rates=rates(bad=3.0)), WARN, "3.0 unusable"),
        (dict(rates=rates(bad=30.0, out=0.0)), ERROR, "none can be used"),
        (dict(rates=rates(latency=1e6)), WARN, "use_sim_time"),
        (dict(rates=rates(latency=-2.0)), WARN, "clocks"),
        (dict(rates=rates(latency=math.nan)), OK, "published"),
        (dict(states={"qos image": "Does not fit"}), WARN, "Does not fit"),
    ],
)
def test_the_level_has_a_reason(state, level, words):
    given = dict(active=True, listened_to=True, rates=rates(), states={}) | state
    told, message = level_and_reason(**given)
    assert told == level
    assert words in message


def test_rates_are_of_the_last_period_only(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    frames = FrameRates()
    for latency in (0.1, 0.3, 0.2, math.nan):
        frames.add(latency)
    now[0] += 2.0
    read = frames.read(Counts(received=60, processed=20, dropped=38, bad=2))
    assert read == {
        "in": 30.0,
        "out": 10.0,
        "dropped": 19.0,
        "bad": 1.0,
        "latency": 0.2,
        "latency_max": 0.3,
    }
    now[0] += 1.0
    read = frames.read(Counts(received=60, processed=20, dropped=38, bad=2))
    assert (read["in"], read["out"]) == (0.0, 0.0)
    assert math.isnan(read["latency"])


def test_the_message():
    array = diagnostic_array(
        Time(sec=3), "clip2depth: depth", "/clip2depth", WARN, "why", {"rate": 29.97, "n": 5}
    )
    (status,) = array.status
    assert (array.header.stamp.sec, status.level, status.message) == (3, WARN, "why")
    assert {value.key: value.value for value in status.values} == {"rate": "29.970", "n": "5"}


def test_a_state_is_said_once_until_it_is_over():
    notices = Notices(log := Log())
    for _ in range(3):
        notices.say("silence", "nothing comes")
    assert log.lines == ["nothing comes"]
    assert notices.states == {"silence": "nothing comes"}
    notices.clear("silence")
    notices.clear("silence")
    assert notices.states == {}
    notices.say("silence", "again nothing")
    assert log.lines == ["nothing comes", "again nothing"]


def test_mishaps_are_counted_between_two_lines(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    notices = Notices(log := Log(), interval=5.0)
    for _ in range(50):
        notices.count("image", "bad image")
        now[0] += 0.1001
    assert log.lines == ["bad image"]
    notices.count("image", "bad image")
    notices.count("bug", "something else")
    assert log.lines == ["bad image", "bad image (49 more of these since the last warning)", "something else"]
