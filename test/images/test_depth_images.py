# SPDX-License-Identifier: Apache-2.0
"""Depth images of messages: meters, NaN unknown, in either byte order, with or without padding."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.depth_images import read_depth

METRES = np.array([[0.5, np.nan, 3.25], [65.0, 1.0, 0.125]], np.float32)


def message_of(encoding: str, padding: int = 0, big_endian: bool = False, left_out: int = 0):
    """left_out: bytes at the end that the message lacks."""
    stored = METRES if encoding == "32FC1" else np.nan_to_num(METRES * 1000).astype(np.uint16)
    rows = stored.astype(stored.dtype.newbyteorder(">" if big_endian else "<")).view(np.uint8)
    rows = np.hstack([rows, np.full((2, padding), 0xAB, np.uint8)])
    data = rows.tobytes()
    return SimpleNamespace(
        width=3,
        height=2,
        step=rows.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        data=data[: len(data) - left_out],
    )


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1", "mono16"])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(("padding", "left_out"), [(0, 0), (5, 0), (5, 5), (4, 2)])
def test_meters(encoding, big_endian, padding, left_out):
    np.testing.assert_allclose(
        read_depth(message_of(encoding, padding, big_endian, left_out)), METRES, rtol=1e-6
    )


@pytest.mark.parametrize(
    "changes",
    [dict(data=b""), dict(data=bytes(23)), dict(data=bytes(25)), dict(step=11), dict(width=2**32 - 1)]
    + [dict(height=0), dict(height=2**32 - 1), dict(width=0), dict(step=2**32 - 1)],
)
def test_a_malformed_message_is_rejected(changes):
    message = message_of("32FC1")
    vars(message).update(changes)
    with pytest.raises(Clip2DepthError, match="cut off or filled wrongly"):
        read_depth(message)


def test_another_encoding_is_none():
    assert read_depth(SimpleNamespace(encoding="rgb8")) is None
