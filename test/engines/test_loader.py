# SPDX-License-Identifier: Apache-2.0
"""An engine is opened in a thread, and can be called off."""

from __future__ import annotations

import threading
import time

import pytest

from clip2depth_ros.engines.cache import BuildCancelled
from clip2depth_ros.engines.loader import EngineLoader
from clip2depth_ros.errors import Clip2DepthError


class FakeEngine:
    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def test_what_opening_raises_is_raised_where_it_is_taken():
    ended = threading.Event()

    def fail(_progress):
        raise Clip2DepthError("no memory")

    opening = EngineLoader(fail, ended.set).start()
    assert opening.wait(5) and ended.wait(5) and opening.has_ended
    with pytest.raises(Clip2DepthError, match="no memory"):
        opening.take()


def test_an_engine_is_taken_once():
    engine = FakeEngine()
    opening = EngineLoader(lambda _progress: engine, lambda: None).start()
    assert opening.take() is engine
    opening.cancel()
    assert not engine.closed.is_set(), "it belongs to who took it"
    with pytest.raises(RuntimeError, match="taken already"):
        opening.take()


def test_progress_is_told_and_then_ends_an_abandoned_build():
    ended, cancelled = threading.Event(), threading.Event()

    def build(progress):
        try:
            while True:
                progress("building, 43 %")
                time.sleep(0.01)
        except BuildCancelled:
            cancelled.set()
            raise

    opening = EngineLoader(build, ended.set).start()
    assert not opening.wait(0.1)
    assert opening.progress == "building, 43 %"
    opening.cancel()
    assert cancelled.wait(5) and opening.wait(5)
    assert not ended.is_set(), "nobody waits for an abandoned one"


def test_an_engine_that_nobody_wants_is_closed():
    go, engine = threading.Event(), FakeEngine()

    def build(_progress):
        go.wait()
        return engine

    before = EngineLoader(build, lambda: None).start()
    before.cancel()
    go.set()
    assert engine.closed.wait(5), "it came after it was abandoned"

    late = FakeEngine()
    after = EngineLoader(lambda _progress: late, lambda: None).start()
    assert after.wait(5)
    after.cancel()
    assert late.closed.wait(5), "it was there, but not taken"
