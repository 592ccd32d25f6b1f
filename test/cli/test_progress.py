# SPDX-License-Identifier: Apache-2.0
"""How far long work is, where there is no terminal."""

from __future__ import annotations

import time

import pytest

from clip2depth_ros.commands._shared.progress import progress


@pytest.mark.parametrize(
    ("ends", "total"), [((None, None), "?"), ((7, None), "7"), ((7, 3), "3"), ((0,), "0"), ((), "?")]
)
def test_a_line_now_and_then_and_every_item_once(ends, total, monkeypatch, capsys):
    times = iter([0.0, 2.0, 6.0, 6.0, 8.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    assert list(progress("abc", "frame", *ends)) == ["a", "b", "c"]
    assert capsys.readouterr().err == f"2 of {total} frames\n"
