# SPDX-License-Identifier: Apache-2.0
"""The error class for users, and quoting of external text in messages."""

from __future__ import annotations


class Clip2DepthError(ValueError):
    """A known user error in one sentence: what is wrong, where, and what to do.

    The command line prints it on one line and exits with 2; nodes log it and continue or stay inactive.
    """


def printable(text: object, limit: int = 60) -> str:
    """Text from a message or a file, for a sentence or a log: one line of at most about `limit` characters.

    Otherwise its sender could fill the log, forge log lines, or send control sequences to the terminal.
    Control characters, line breaks and invisible characters are replaced by escape sequences.
    """
    whole = str(text)
    shown = whole[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)[:limit]
    return shown if len(shown) == len(whole) or len(whole) <= limit else f"{shown}..."
