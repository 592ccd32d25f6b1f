# SPDX-License-Identifier: Apache-2.0
"""Receiving the messages of a demo."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from clip2depth_ros.demo import session
from clip2depth_ros.demo.live import Tally, Topics


def test_depth_is_counted_when_every_image_message_was_lost(wire, monkeypatch):
    """Image messages are large and best effort: depth can arrive although no image did."""
    monkeypatch.setattr(session, "DRAIN", 0.0)
    tally = Tally(Topics())
    camera_node = SimpleNamespace(code=None, check=lambda **_: None)

    def spin(_seconds):
        stamp = tally.frames_out + 1
        tally.take(tally.topics.depth, *wire.image(stamp, np.ones((2, 2), np.float32), "32FC1"), stamp)
        camera_node.code = 0 if tally.frames_out == 2 else None

    depth_node = SimpleNamespace(check=lambda: None)
    plan = SimpleNamespace(seconds=5.0)
    session._watch(SimpleNamespace(spin=spin), tally, plan, camera_node, depth_node, lambda line: None)
    assert tally.frames_in == tally.frames_out >= 2
