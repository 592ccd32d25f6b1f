# SPDX-License-Identifier: Apache-2.0
"""The depth node's engine: being opened, there, or not to be had. All of it is the executor's thread."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from typing import Any

import cv2

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines import Engine, selection
from clip2depth_ros.engines.loader import EngineLoader
from clip2depth_ros.engines.opencv import OpenCvEngine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

# configure waits so long for the engine, seconds: one that is built is there by then, and a mistake makes
# configure fail. Lifecycle managers do not wait much longer for an answer.
PATIENCE = 3.0

# OpenCV's own number of threads in this process.
_OPENCV_THREADS = cv2.getNumThreads()

# The log gets a line about a build this often, seconds; diagnostics have the newest one.
LOG_PERIOD = 10.0


class NodeEngine:
    """Opens the engine, tells of it, closes it.

    Args:
        node: an rclpy node that is spun by one thread.
        open_engine: called with what :func:`clip2depth_ros.engines.open_engine` takes, in a thread.
        on_ready: called with an engine that came after :meth:`open` had returned.
        on_failed: called with a sentence when there will be none, after :meth:`open` had returned.
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
        self._opening: EngineLoader | None = None
        self._said = ("", 0.0)
        # It lives as long as the node, for a thread may still pull it while the node is being cleaned up.
        self._bell = node.create_guard_condition(self._on_end)
        self.engine: Engine | None = None
        """The engine, None until it is there."""

    def open(self, bundle: Bundle, settings: DepthSettings) -> Engine | None:
        """Begin to open the engine; the engine, if it is there within PATIENCE.

        Raises what opening it raised by then. Else it goes on in its thread, and one of the two callables
        given at construction tells the end.
        """
        self._opening = EngineLoader(
            lambda progress: self.opened(bundle, settings, progress), self._bell.trigger
        ).start()
        if self._opening.wait(PATIENCE):
            return self._take()
        self._said = (self._opening.progress, time.monotonic())
        self._logger.info(
            f"The engine takes its time ({self._opening.progress}); the node answers meanwhile, and depth "
            "comes when it is there"
        )
        return None

    def opened(self, bundle: Bundle, settings: DepthSettings, progress: Callable[[str], None]) -> Engine:
        """An engine for a bundle, as the settings ask for it, after its check. For a thread of its own.

        With "auto" and an engine that runs, the same engine for another bundle: a swap is no reason to go
        from GPU to CPU, nor to load what no engine here has needed so far.
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
        """Tell of another engine from now on; the one before is the caller's."""
        self.engine = engine
        # Stages on a network's few pixels cost more when OpenCV hands them to several threads (an eighth of
        # all processor time on two cores), and are done no sooner. An engine that is OpenCV needs them.
        if engine.name != OpenCvEngine.name:
            cv2.setNumThreads(1)

    def close(self) -> None:
        """Close the engine, or call off its opening."""
        cv2.setNumThreads(_OPENCV_THREADS)
        if self._opening is not None:
            self._opening.cancel()
        if self.engine is not None:
            self.engine.close()
        self._opening = self.engine = None

    @property
    def waiting_for(self) -> str:
        """What the engine's opening is at, for people; "" while none is being opened."""
        return self._opening.progress if self._opening is not None else ""

    def watch(self) -> None:
        """Say now and then how far a build is."""
        text, last = self._said
        now = time.monotonic()
        if self._opening is None or self._opening.progress == text or now - last < LOG_PERIOD:
            return
        self._said = (self._opening.progress, now)
        self._logger.info(f"Engine: {self._opening.progress}")

    def facts(self) -> dict[str, Any]:
        """For the diagnostics."""
        if self.engine is None:
            return {"engine": f"none yet: {self.waiting_for}"}
        difference = self.engine.difference
        return {
            "engine": engine_text(self.engine),
            "engine choice": "; ".join(map(str, self.engine.attempts)),
            "engine check": "none" if difference is None else f"{difference:.3%} off",
        }

    def _take(self) -> Engine:
        opening, self._opening = self._opening, None
        self.replace(opening.take())
        for attempt in self.engine.attempts:
            # two lines of code, because rclpy's loggers want one severity for each line
            if attempt.is_warning:
                self._logger.warning(f"Engine: {attempt}")
            else:
                self._logger.info(f"Engine: {attempt}")
        return self.engine

    def _on_end(self) -> None:
        if self._opening is None or not self._opening.has_ended:
            return  # it was taken by open() already, or called off
        try:
            self._on_ready(self._take())
        except Clip2DepthError as error:
            self._on_failed(f"There is no engine: {error}")
        except Exception as error:
            self._logger.error(f"The engine failed unexpectedly:\n{traceback.format_exc()}")
            self._on_failed(f"There is no engine: {type(error).__name__}: {error}")


def engine_text(engine: Engine) -> str:
    """An engine in a few words."""
    return f"{engine.name} ({engine.device}, {engine.precision})"


def leave_choice_to_ros() -> None:
    """In a process that is a node: the steps of the choice go to ROS's log only, not to stderr as well."""
    log = logging.getLogger(selection.__name__)
    log.addHandler(logging.NullHandler())
    log.propagate = False
