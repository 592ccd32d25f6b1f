# SPDX-License-Identifier: Apache-2.0
"""One line on a terminal, few lines elsewhere."""

from __future__ import annotations

import io

from clip2depth_ros.system.live_line import LiveLine


class Screen(io.StringIO):
    def __init__(self, on_terminal: bool):
        super().__init__()
        self.on_terminal = on_terminal

    def isatty(self) -> bool:
        return self.on_terminal


def test_a_terminal_has_one_line_that_is_written_over():
    screen = Screen(on_terminal=True)
    line = LiveLine(screen)
    line.show("one")
    line._next = 0.0
    line.show("two")
    line.finish("three")
    line.finish()
    assert screen.getvalue() == "\rone\x1b[K\rtwo\x1b[K\rthree\x1b[K\n"


def test_elsewhere_plain_lines_come_seldom():
    screen = Screen(on_terminal=False)
    line = LiveLine(screen, interval=1000)
    for i in range(100):
        line.show(f"frame {i}")
    line.finish("the end")
    assert screen.getvalue() == "frame 0\nthe end\n"
