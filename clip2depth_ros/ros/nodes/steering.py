# SPDX-License-Identifier: Apache-2.0
"""Requests of the executor's thread to the pipeline; the worker thread serves them before its next image."""

from __future__ import annotations

import threading

from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings


class Steering:
    """Carries resets and changed settings to the pipeline. `steer` is for the worker thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new_start = self._reset = False
        self._applied: tuple[DepthSettings, str] | None = None

    def ask_reset(self) -> None:
        """Forget everything, including the scale."""
        with self._lock:
            self._reset = True

    def ask_new_start(self) -> None:
        """Forget what was seen, after a pause or a jump of the clock. The camera's scale is kept."""
        with self._lock:
            self._new_start = True

    def steer(self, pipeline: Pipeline, settings: DepthSettings, name: str) -> bool:
        """Configure and reset the pipeline where necessary; True if it was reset.

        name: of bundle and camera, the key of the scale's memory.
        """
        if self._applied is None or self._applied[0] is not settings or self._applied[1] != name:
            self._applied = (settings, name)
            pipeline.configure(settings.pipeline_settings(name))
        with self._lock:
            reset, new_start = self._reset, self._new_start
            self._reset = self._new_start = False
        if reset or new_start:
            pipeline.reset(keep_scale=not reset)
        return reset or new_start
