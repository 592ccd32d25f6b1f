# SPDX-License-Identifier: Apache-2.0
"""An engine is opened in a thread, and opening can be cancelled."""

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

    loader = EngineLoader(fail, ended.set).start()
    assert loader.wait(5) and ended.wait(5) and loader.has_ended
    with pytest.raises(Clip2DepthError, match="no memory"):
        loader.take()


def test_an_engine_is_taken_once():
    engine = FakeEngine()
    loader = EngineLoader(lambda _progress: engine, lambda: None).start()
    assert loader.take() is engine
    loader.cancel()
    assert not engine.closed.is_set(), "it belongs to who took it"
    with pytest.raises(RuntimeError, match="taken already"):
        loader.take()


def test_progress_is_told_and_then_ends_a_cancelled_build():
    ended, cancelled = threading.Event(), threading.Event()

    def build(progress):
        try:
            while True:
                progress("building, 43 %")
                time.sleep(0.01)
        except BuildCancelled:
            cancelled.set()
            raise

    loader = EngineLoader(build, ended.set).start()
    assert not loader.wait(0.1)
    assert loader.progress == "building, 43 %"
    loader.cancel()
    assert cancelled.wait(5) and loader.wait(5)
    assert not ended.is_set(), "nobody waits for a cancelled one"


def test_an_engine_that_nobody_wants_is_closed():
    go, engine = threading.Event(), FakeEngine()

    def build(_progress):
        go.wait()
        return engine

    before = EngineLoader(build, lambda: None).start()
    before.cancel()
    go.set()
    assert engine.closed.wait(5), "it came after it was cancelled"

    late = FakeEngine()
    after = EngineLoader(lambda _progress: late, lambda: None).start()
    assert after.wait(5)
    after.cancel()
    assert late.closed.wait(5), "it was there, but not taken"


def test_the_callback_may_use_the_loader():
    """The lock is free: `take` and `cancel` return, also in a thread that the callback waits for."""
    engine, done, begun = FakeEngine(), threading.Event(), threading.Event()
    taken = []

    def on_end():
        begun.wait(5)
        taken.append(loader.take())
        other = threading.Thread(target=loader.cancel, daemon=True)
        other.start()
        other.join(5)
        if not other.is_alive():
            done.set()

    loader = EngineLoader(lambda _progress: engine, on_end).start()
    begun.set()
    assert done.wait(10), "the loader's lock is held during the callback"
    assert taken == [engine] and not engine.closed.is_set(), "it belongs to who took it"


def test_the_callback_is_not_called_after_a_cancellation():
    go, called, engine = threading.Event(), [], FakeEngine()

    def build(_progress):
        go.wait(5)
        return engine

    loader = EngineLoader(build, lambda: called.append(True)).start()
    loader.cancel()
    go.set()
    assert loader.wait(5) and engine.closed.wait(5)
    loader._thread.join(5)
    assert not called
