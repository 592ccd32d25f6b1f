# SPDX-License-Identifier: Apache-2.0
"""Opening an engine in a thread: the first time on a GPU it is built, which takes minutes."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from clip2depth_ros.engines.base import Engine
from clip2depth_ros.engines.cache import BuildCancelled

THREAD = "clip2depth engine"

# How long a process that ends waits for a build that was called off, seconds. TensorRT from version 9 stops
# soon; an older one when it is done.
FAREWELL = 2.0


class EngineOpening:
    """Opens an engine in a thread of its own, once started, and can be called off.

    Args:
        open_: makes the engine; called in the thread with `progress`, which takes a line of text.
        on_end: called from the thread when the engine is there or cannot be had; not after :meth:`abandon`.
    """

    def __init__(self, open_: Callable[[Callable[[str], None]], Engine], on_end: Callable[[], Any]) -> None:
        self._open = open_
        self._on_end = on_end
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._abandoned = False
        self._engine: Engine | None = None
        self._error: BaseException | None = None
        self.progress = "being opened"
        """The last line about it."""
        self._thread = threading.Thread(target=self._work, name=THREAD, daemon=True)

    def start(self) -> EngineOpening:
        """Begin; returns itself."""
        self._thread.start()
        return self

    @property
    def has_ended(self) -> bool:
        """True when :meth:`take` has something to give."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; true when it has ended."""
        return self._ended.wait(seconds)

    def take(self) -> Engine:
        """The engine, which then belongs to the caller; waits for it. Raises what opening it raised."""
        self._ended.wait()
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is None:
            raise self._error or RuntimeError("this engine was taken already")
        return engine

    def abandon(self) -> None:
        """Nobody wants it any more: the build is called off, and an engine that comes all the same is closed.

        Returns at once. Where TensorRT cannot be interrupted (before version 9) the thread goes on until the
        build is done; its engine is then in the cache.
        """
        with self._lock:
            self._abandoned = True
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _say(self, text: str) -> None:
        if self._abandoned:
            raise BuildCancelled("The engine is no longer wanted.")
        self.progress = text

    def _work(self) -> None:
        engine, error = None, None
        try:
            engine = self._open(self._say)
        except BaseException as raised:  # it is raised again where somebody can say it
            error = raised
        with self._lock:
            self._ended.set()
            if not self._abandoned:
                self._engine, self._error = engine, error
                self._on_end()
                return
        if engine is not None:
            engine.close()


def end_process(code: int) -> int:
    """The exit code, if this process may end in the usual way; else it ends here and now, with that code.

    A thread that is deep inside TensorRT's compiler would be torn out of it by an interpreter that shuts
    down, and crash the process in its last moment.
    """
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(FAREWELL)
    if any(thread.name == THREAD for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # a closed pipe
                stream.flush()
        os._exit(code)
    return code
