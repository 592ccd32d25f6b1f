# SPDX-License-Identifier: Apache-2.0
"""The one error that people are meant to read, and how text from elsewhere is quoted in it."""

from __future__ import annotations


class Clip2DepthError(ValueError):
    """A known mistake, said in one sentence: what was wrong, where, and what to do.

    The command line prints it on one line and exits with 2; nodes log it and carry on or stay inactive.
    """


def printable(text: object, limit: int = 60) -> str:
    """Text from a message or a file, for a sentence or a log: one line of at most about `limit` characters.

    Whoever sends it could otherwise fill the log, write lines of its own into it, or command the terminal.
    Control characters, line breaks and invisible characters are written as escape sequences.
    """
    whole = str(text)
    shown = whole[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)[:limit]
    return shown if len(shown) == len(whole) or len(whole) <= limit else f"{shown}..."
