# SPDX-License-Identifier: Apache-2.0
"""What the log says is bounded in rate, in length and in what it does to a terminal."""

from __future__ import annotations

import pytest

from clip2depth_ros.errors import printable
from clip2depth_ros.ros.outputs.throttled_log import LONGEST, Notices

from .log_stand_in import Log


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def run(clock, step, seconds=100, rate=30):
    """Lines logged by step(notices, n), called `rate` times a second."""
    notices = Notices(log := Log(), interval=5.0)
    for n in range(seconds * rate):
        step(notices, n)
        clock[0] += 1 / rate
    return notices, log.lines


def test_alternating_reasons_are_said_at_intervals(clock):
    texts = ("a" * 50_000, "b" * 50_000)
    notices, lines = run(clock, lambda notices, n: notices.say("frame", texts[n % 2]))
    assert 20 <= len(lines) <= 24 and sum(map(len, lines)) < 25_000
    assert all(len(text) <= LONGEST + 3 for text in notices.states.values())


def test_a_state_that_comes_and_goes_is_said_at_intervals(clock):
    def step(notices, n):
        notices.say("silence", "nothing comes") if n % 2 else notices.clear("silence")

    assert len(run(clock, step)[1]) <= 24


def test_every_text_is_another_and_memory_stays(clock):
    notices, lines = run(clock, lambda notices, n: notices.say("frame", f"frame {n}"))
    assert len(lines) <= 24 and len(notices._lines) == 1
    assert notices.states == {"frame": "frame 2999"}


def test_a_reason_that_stays_is_said_once_its_turn_comes(clock):
    notices = Notices(log := Log(), interval=5.0)
    for text in ("one", "two", "three", "four"):
        notices.say("frame", text)
    assert log.lines == ["one", "two", "three"] and notices.states == {"frame": "four"}
    for _ in range(100):
        clock[0] += 0.1
        notices.say("frame", "four")
    assert log.lines == ["one", "two", "three", "four"]


def test_states_of_different_keys_do_not_wait_for_each_other(clock):
    notices = Notices(log := Log(), interval=5.0)
    for n in range(10):
        notices.say(f"key {n}", "reason")
    assert len(log.lines) == 10


def test_nothing_reaches_the_terminal_but_text(clock):
    hostile = "frame\n[ERROR] [1]: forged\r\x1b[2J\x1b]0;title\x07\x9b31m\u202e\u2028\ud800"
    notices = Notices(log := Log())
    notices.say("state", hostile)
    notices.count("mishap", hostile)
    assert notices.states["state"].isprintable() and "\\n[ERROR]" in notices.states["state"]
    assert all(line.isprintable() for line in log.lines) and len(log.lines) == 2
    log.lines[0].encode()


def test_a_traceback_keeps_its_lines_and_is_bounded(clock):
    notices = Notices(log := Log())
    trace = "\n".join(["Traceback:", *("  line" for _ in range(10_000)), "ValueError: \x1b[31m" + "x" * 5000])
    notices.count("bug", "An error:", trace)
    (text,) = log.lines
    lines = text.split("\n")
    assert lines[0] == "An error:" and "ValueError: \\x1b[31mxxx" in text and lines.count("  line") > 50
    assert all(line.isprintable() for line in lines) and len(text) < 15_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("camera", "camera"),
        ("caméra 1", "caméra 1"),
        ("a\nb", "a\\nb"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 60 + "..."),
        ("\x1b" * 60, "\\x1b" * 15),
        ("", ""),
        (17, "17"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown
