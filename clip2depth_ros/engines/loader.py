# SPDX-License-Identifier: Apache-2.0
"""Opens an engine in a thread, because TensorRT builds it for minutes at the first start on a GPU."""

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

# How long a process that ends waits for a cancelled build, seconds. TensorRT from version 9 on stops soon; an
# older version stops when the build is finished.
EXIT_TIMEOUT = 2.0


class EngineLoader:
    """Opens an engine in its own thread after :meth:`start`, and can be cancelled.

    Args:
        open_: opens the engine; called in the thread with `progress`, a function that takes a line of text.
        on_end: called from the thread when the engine is open or opening it failed, unless it was cancelled
            before that. No lock is held during the call.
    """

    def __init__(self, open_: Callable[[Callable[[str], None]], Engine], on_end: Callable[[], Any]) -> None:
        self._open = open_
        self._on_end = on_end
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._cancelled = False
        self._engine: Engine | None = None
        self._error: BaseException | None = None
        self.progress = "being opened"
        """The last line of progress."""
        self._thread = threading.Thread(target=self._work, name=THREAD, daemon=True)

    def start(self) -> EngineLoader:
        """Begin; returns itself."""
        self._thread.start()
        return self

    @property
    def has_ended(self) -> bool:
        """True when :meth:`take` returns or raises at once."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most this long; True when it has ended."""
        return self._ended.wait(seconds)

    def take(self) -> Engine:
        """The engine, which then belongs to the caller; waits for it. Raises what opening it raised."""
        self._ended.wait()
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is None:
            raise self._error or RuntimeError("this engine was taken already")
        return engine

    def cancel(self) -> None:
        """Stop the build; an engine that is opened anyway is closed.

        Returns at once. Where TensorRT cannot be interrupted (before version 9), the thread continues until
        the build is finished; its engine is then in the cache. A call of `on_end` that has begun in the
        thread may finish after this returns.
        """
        with self._lock:
            self._cancelled = True
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _set_progress(self, text: str) -> None:
        if self._cancelled:
            raise BuildCancelled("The engine is no longer wanted.")
        self.progress = text

    def _work(self) -> None:
        engine, error = None, None
        try:
            engine = self._open(self._set_progress)
        except BaseException as raised:  # `take` raises it again, in the thread that can report it
            error = raised
        with self._lock:
            is_wanted = not self._cancelled
            if is_wanted:
                self._engine, self._error = engine, error
            self._ended.set()
        if is_wanted:
            # Without the lock: the callback may call methods of this loader, or wait for a thread that does.
            self._on_end()
        elif engine is not None:
            engine.close()


def end_process(code: int) -> int:
    """The exit code, if this process can end normally; otherwise it ends here at once, with that code.

    A Python interpreter that shuts down while a thread is inside TensorRT's compiler can crash the process.
    """
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(EXIT_TIMEOUT)
    if any(thread.name == THREAD for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # a closed pipe
                stream.flush()
        os._exit(code)
    return code
