# SPDX-License-Identifier: Apache-2.0
"""What is said when stabilizer and scale have long had nothing to go by."""

from __future__ import annotations

import threading

import pytest

from clip2depth_ros.images.frame import NAN, FrameFacts
from clip2depth_ros.images.origins import FrameWarning

pytest.importorskip("rclpy")
from clip2depth_ros.ros.outputs import trust
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings
from clip2depth_ros.settings import settings_from

from .log_stand_in import Log

pytestmark = pytest.mark.ros


class Watched:
    """A watch, its clock and what it said."""

    def __init__(self, now, **parameters):
        self.now = now
        self.log = Log()
        self.notices = Notices(self.log)
        self.settings = settings_from(
            DepthSettings, {name.replace("__", "."): value for name, value in parameters.items()}
        )
        self.watch = trust.TrustWatch(self.notices)

    def see(self, seconds, rate=10, **facts):
        """Frames for so many seconds; the states that hold after them."""
        for _ in range(round(seconds * rate)):
            self.now[0] += 1 / rate
            self.watch.see(FrameFacts(**facts), self.settings)
        return set(self.notices.states)


@pytest.fixture
def watched(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(trust.time, "monotonic", lambda: now[0])
    return lambda **parameters: Watched(now, **parameters)


def test_a_motion_that_is_not_found_for_long_is_said_once(watched):
    given = watched()
    assert given.see(4.9, motion="none") == set()
    assert given.see(10, motion="none") == {"motion"}
    (line,) = given.log.lines
    assert "odometry.topic" in line
    assert given.see(0.1, motion="odometry") == set()
    assert given.see(4, motion="none") == set()
    assert given.see(4, motion="none", reset=True) == set(), "a cut is no fault of the picture's"


def test_without_the_stabilizer_nobody_misses_a_motion(watched):
    assert watched().see(60, motion="") == set()


@pytest.mark.parametrize("age", ["never", "long ago"])
def test_a_silent_scale_is_said_once_its_time_is_over(watched, age):
    given = watched(scale__height=0.4, scale__timeout=20.0)
    assert given.see(19.9, scale_age=NAN if age == "never" else 19.9) == set()
    assert given.see(10, scale_age=NAN if age == "never" else 25.0) == {"scale"}
    assert len(given.log.lines) == 1
    assert given.see(1, scale_age=0.1) == set()


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"scale__height": 0.4, "scale__freeze": True},
        {"odometry__topic": "odom", "scale__odometry": False},
        {"scale__ranges": True},
    ],
)
def test_where_nothing_shall_tell_the_scale_nothing_is_missed(watched, parameters):
    assert watched(**parameters).see(100, scale_age=NAN) == set()


@pytest.mark.parametrize("parameters", [{"odometry__topic": "odom"}, {"ranges__topic": "scan"}])
def test_every_source_that_is_configured_is_missed(watched, parameters):
    assert watched(**parameters).see(40, scale_age=NAN) == {"scale"}


def test_what_the_sources_say_against_each_other_holds_for_a_while(watched):
    given = watched()
    assert given.see(0.1, warnings=(FrameWarning("sources", "Height and odometry disagree by 20 %."),)) == {
        "aiding"
    }
    assert given.see(14) == {"aiding"}
    assert given.see(2) == set()
    assert given.log.lines == ["Height and odometry disagree by 20 %."]
    given.see(1, warnings=(FrameWarning("ranges", "One reason."), FrameWarning("height", "Another reason.")))
    assert given.log.lines[1:] == ["One reason.", "Another reason."], "each is said, not for every frame"


def test_a_pause_is_no_silence(watched):
    given = watched(scale__height=0.4, scale__timeout=20.0)
    given.see(30, motion="none", scale_age=NAN)
    assert given.watch.summary()["scale by"] == "nothing"
    given.now[0] += 3600
    given.watch.restart()
    assert given.notices.states == {} and given.watch.summary() == {}
    assert given.see(1, motion="none", scale_age=NAN) == set()


def test_the_diagnostics_tell_the_last_frames_facts(watched):
    given = watched()
    given.see(0.1, motion="vision", scale=1.4, scale_source="odometry", scale_deviation=0.02)
    assert given.watch.summary() == {
        "motion by": "vision",
        "temporal error": pytest.approx(NAN, nan_ok=True),
        "scale": 1.4,
        "scale by": "odometry",
        "scale deviation": 0.02,
    }


class HeldNotices(Notices):
    """Stops the first thread that reports a state, until `go`."""

    def __init__(self, log):
        super().__init__(log)
        self.inside, self.go = threading.Event(), threading.Event()

    def say(self, key, text):
        self.inside.set()
        assert self.go.wait(10)
        super().say(key, text)


@pytest.mark.parametrize("method", ["restart", "summary"])
def test_the_executors_thread_waits_for_a_frame_under_way(method):
    """Without the lock, a restart in the middle of a frame would leave that frame's state behind."""
    notices = HeldNotices(Log())
    watch = trust.TrustWatch(notices)
    settings = settings_from(DepthSettings, {})
    facts = FrameFacts(no_metres="no source of scale")
    results = []
    worker = threading.Thread(target=watch.see, args=(facts, settings), daemon=True)
    worker.start()
    assert notices.inside.wait(10)
    executor = threading.Thread(target=lambda: results.append(getattr(watch, method)()), daemon=True)
    executor.start()
    executor.join(0.2)
    assert executor.is_alive(), "it did not wait"
    notices.go.set()
    for thread in (worker, executor):
        thread.join(10)
        assert not thread.is_alive()
    if method == "restart":
        assert notices.states == {} and watch.facts is None
    else:
        assert results[0]["metres"] == "no source of scale" and set(notices.states) == {"metres"}
