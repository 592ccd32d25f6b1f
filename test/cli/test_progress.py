# SPDX-License-Identifier: Apache-2.0
"""Progress without a terminal."""

from __future__ import annotations

import time

import pytest

from clip2depth_ros.commands._shared.progress import progress


@pytest.mark.parametrize(
    ("ends", "total"), [((None, None), "?"), ((7, None), "7"), ((7, 3), "3"), ((0,), "0"), ((), "?")]
)
def test_periodic_lines_and_every_item_once(ends, total, monkeypatch, capsys):
    times = iter([0.0, 2.0, 6.0, 6.0, 8.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    assert list(progress("abc", "frame", *ends)) == ["a", "b", "c"]
    assert capsys.readouterr().err == f"2 of {total} frames\n"
