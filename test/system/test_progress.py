# SPDX-License-Identifier: Apache-2.0
"""A bar or one line on a terminal, few plain lines elsewhere."""

from __future__ import annotations

import io
import time

import pytest

from clip2depth_ros.system import progress as module
from clip2depth_ros.system.progress import StatusLine, progress


class Screen(io.StringIO):
    def __init__(self, on_terminal: bool):
        super().__init__()
        self.on_terminal = on_terminal

    def isatty(self) -> bool:
        return self.on_terminal


@pytest.mark.parametrize(
    ("ends", "total"), [((None, None), "?"), ((7, None), "7"), ((7, 3), "3"), ((0,), "0"), ((), "?")]
)
def test_a_line_now_and_then_and_every_item_once(ends, total, monkeypatch, capsys):
    times = iter([0.0, 2.0, 6.0, 6.0, 8.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    assert list(progress("abc", "frame", *ends)) == ["a", "b", "c"]
    assert capsys.readouterr().err == f"2 of {total} frames\n"


def test_a_terminal_has_a_bar(monkeypatch):
    screen = Screen(on_terminal=True)
    monkeypatch.setattr("sys.stderr", screen)
    assert list(progress("abc", "frame", None, 3)) == ["a", "b", "c"]
    assert "100%" in screen.getvalue() and "3/3" in screen.getvalue()


def test_a_terminal_has_one_line_that_is_written_over(monkeypatch):
    monkeypatch.setattr(module, "SHORTEST", 0.0)
    screen = Screen(on_terminal=True)
    line = StatusLine(screen)
    line.show("one")
    line.show("two")
    line.finish("three")
    line.finish()
    shown = screen.getvalue()
    assert shown.count("\n") == 1 and shown.endswith("\n")
    assert [text.strip() for text in shown.split("\r") if text.strip()] == ["one", "two", "three"]


def test_elsewhere_plain_lines_come_seldom():
    screen = Screen(on_terminal=False)
    line = StatusLine(screen, interval=1000)
    for i in range(100):
        line.show(f"frame {i}")
    line.finish("the end")
    assert screen.getvalue() == "frame 0\nthe end\n"
