# SPDX-License-Identifier: Apache-2.0
"""Random damage to files: by disks, power failures, editing mistakes and attackers."""

from __future__ import annotations

import numpy as np

WORDS = (
    b"-1",
    b"0",
    b"1e400",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'"abc"',
    b"9" * 400,
    b"-9e307",
)
"""Replacements for a number in a text."""
DEEP = b"[" * 5000


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """`content` with one or a few kinds of damage drawn by `rng`."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        kind = rng.choice(_KINDS)
        content = kind(content, rng)
    return content


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(0, len(content) + 1))]


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 2, 8, 64]))):
        if changed:
            # Headers matter most, so they are hit more often than their share.
            end = len(changed) if rng.random() < 0.5 else min(len(changed), 256)
            changed[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(content: bytes, rng: np.random.Generator) -> bytes:
    if not content:
        return content
    start = int(rng.integers(len(content)))
    length = int(rng.choice([1, 4, 8, 100, 5000]))
    fill = (b"\0", b"\xff", None)[int(rng.integers(3))]
    part = len(content[start : start + length])
    new = rng.bytes(part) if fill is None else fill * part
    return content[:start] + new + content[start + length :]


def _leave_out(content: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(content) + 1))
    return content[:start] + content[start + int(rng.choice([1, 3, 64, 4096])) :]


def _insert(content: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(content) + 1))
    return content[:start] + rng.bytes(int(rng.choice([1, 3, 64, 4096]))) + content[start:]


def _repeat(content: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(content) + 1))
    length = int(rng.choice([1, 16, 500]))
    return (
        content[:start]
        + content[start : start + length] * int(rng.choice([2, 20]))
        + content[start + length :]
    )


def _word(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace one number by another value; in binary files, numbers occur only by chance."""
    starts = [i for i in range(min(len(content), 20000)) if content[i : i + 1].isdigit()]
    if not starts:
        return _flip(content, rng)
    start = end = starts[int(rng.integers(len(starts)))]
    while end < len(content) and content[end : end + 1] in b"0123456789.e+-":
        end += 1
    return content[:start] + WORDS[int(rng.integers(len(WORDS)))] + content[end:]


def _nest(content: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(content) + 1))
    return content[:start] + DEEP + content[start:]


def _nothing(content: bytes, rng: np.random.Generator) -> bytes:
    return b""


_KINDS = [
    _cut,
    _cut,
    _flip,
    _flip,
    _flip,
    _overwrite,
    _overwrite,
    _leave_out,
    _insert,
    _repeat,
    _word,
    _word,
    _nest,
]
_KINDS += [_nothing]
