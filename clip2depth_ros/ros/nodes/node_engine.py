# SPDX-License-Identifier: Apache-2.0
"""The engine of the depth node: loading, open, or failed. For the executor's thread only."""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable
from typing import Any

import cv2
from rclpy.impl.implementation_singleton import rclpy_implementation

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines import Engine, selection
from clip2depth_ros.engines.loader import EngineLoader
from clip2depth_ros.engines.opencv import OpenCvEngine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

# How long configure waits for the engine, seconds. An engine from the cache is open by then, and a
# configuration error makes configure fail. Lifecycle managers do not wait much longer for an answer.
OPEN_TIMEOUT = 3.0

# The number of threads that OpenCV uses by default in this process.
_OPENCV_THREADS = cv2.getNumThreads()

# Seconds between two lines in the log about a build; diagnostics always show the newest line.
LOG_PERIOD = 10.0


class NodeEngine:
    """Opens the engine, reports on it, closes it.

    Args:
        node: an rclpy node that is spun by one thread.
        open_engine: called in a thread, with the arguments of :func:`clip2depth_ros.engines.open_engine`.
        on_ready: called with the engine, if it opens after :meth:`open` returned.
        on_failed: called with an error message, if opening fails after :meth:`open` returned.
    """

    def __init__(
        self,
        node: Any,
        open_engine: Callable[..., Engine],
        on_ready: Callable[[Engine], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self._logger = node.get_logger()
        self._open_engine = open_engine
        self._on_ready = on_ready
        self._on_failed = on_failed
        self._loader: EngineLoader | None = None
        self._logged = ("", 0.0)
        # It exists as long as the node, because a thread may trigger it while the node is being cleaned up.
        self._loaded = node.create_guard_condition(self._on_end)
        self.engine: Engine | None = None
        """The engine; None until it is open."""

    def open(self, bundle: Bundle, settings: DepthSettings) -> Engine | None:
        """Begin to open the engine; returns it if it opens within OPEN_TIMEOUT, else None.

        Raises what opening raised within that time. After it, opening continues in its thread and ends with a
        call of `on_ready` or `on_failed`.
        """
        self._loader = EngineLoader(
            lambda progress: self.opened(bundle, settings, progress), lambda: trigger(self._loaded)
        ).start()
        if self._loader.wait(OPEN_TIMEOUT):
            return self._take()
        self._logged = (self._loader.progress, time.monotonic())
        self._logger.info(
            f"The engine is still being opened ({self._loader.progress}). The node responds meanwhile, and "
            "publishes depth when the engine is open"
        )
        return None

    def opened(self, bundle: Bundle, settings: DepthSettings, progress: Callable[[str], None]) -> Engine:
        """An engine for a bundle, by the settings, after its check. To be called in its own thread.

        With "auto" and a running engine, the same engine is opened for the other bundle: a swap is no reason
        to change from GPU to CPU, or to load libraries that the node has not needed so far.
        """
        runs = settings.engine == "auto" and self.engine is not None
        return self._open_engine(
            bundle,
            self.engine.name if runs else settings.engine,
            threads=settings.threads,
            precision=None if settings.precision == "auto" else settings.precision,
            cache_dir=settings.engine_cache or None,
            progress=progress,
        )

    def replace(self, engine: Engine) -> None:
        """Report on another engine from now on; the previous one belongs to the caller."""
        self.engine = engine
        # On the few pixels of a network's output, OpenCV with several threads needs more processor time (an
        # eighth of all of it on two cores) and is not faster. The OpenCV engine itself needs the threads.
        if engine.name != OpenCvEngine.name:
            cv2.setNumThreads(1)

    def close(self) -> None:
        """Close the engine, or cancel its opening."""
        cv2.setNumThreads(_OPENCV_THREADS)
        if self._loader is not None:
            self._loader.cancel()
        if self.engine is not None:
            self.engine.close()
        self._loader = self.engine = None

    @property
    def waiting_for(self) -> str:
        """The progress of opening the engine, as text; "" while none is being opened."""
        return self._loader.progress if self._loader is not None else ""

    def watch(self) -> None:
        """Log the progress of a build, at most every LOG_PERIOD."""
        text, last = self._logged
        now = time.monotonic()
        if self._loader is None or self._loader.progress == text or now - last < LOG_PERIOD:
            return
        self._logged = (self._loader.progress, now)
        self._logger.info(f"Engine: {self._loader.progress}")

    def facts(self) -> dict[str, Any]:
        """Values for the diagnostics."""
        if self.engine is None:
            return {"engine": f"none yet: {self.waiting_for}"}
        difference = self.engine.difference
        return {
            "engine": engine_text(self.engine),
            "engine choice": "; ".join(map(str, self.engine.attempts)),
            "engine check": "none" if difference is None else f"{difference:.3%} off",
        }

    def _take(self) -> Engine:
        loader, self._loader = self._loader, None
        engine = loader.take()
        self.replace(engine)
        for attempt in engine.attempts:
            # two lines of code, because rclpy's loggers want one severity for each line
            if attempt.is_warning:
                self._logger.warning(f"Engine: {attempt}")
            else:
                self._logger.info(f"Engine: {attempt}")
        return engine

    def _on_end(self) -> None:
        if self._loader is None or not self._loader.has_ended:
            return  # open() took it already, or it was cancelled
        try:
            self._on_ready(self._take())
        except Clip2DepthError as error:
            self._on_failed(f"There is no engine: {error}")
        except Exception as error:
            self._logger.error(f"The engine failed unexpectedly:\n{traceback.format_exc()}")
            self._on_failed(f"There is no engine: {type(error).__name__}: {error}")


def trigger(guard_condition: Any) -> None:
    """Trigger a guard condition from any thread; does nothing when its node is destroyed."""
    with contextlib.suppress(rclpy_implementation.InvalidHandle):
        guard_condition.trigger()


def engine_text(engine: Engine) -> str:
    """Name, device and precision of an engine, as text."""
    return f"{engine.name} ({engine.device}, {engine.precision})"


def leave_choice_to_ros() -> None:
    """In a process with a ROS node: log the attempts of the selection to ROS only, not to stderr as well."""
    log = logging.getLogger(selection.__name__)
    log.addHandler(logging.NullHandler())
    log.propagate = False
