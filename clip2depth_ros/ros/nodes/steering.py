# SPDX-License-Identifier: Apache-2.0
"""What the executor's thread wants of the pipeline, done by the working thread before its next image."""

from __future__ import annotations

import threading

from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.ros.nodes.stages import scale_settings, stabilizer_settings
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings


class Steering:
    """Carries resets and changed parameters to the pipeline, which belongs to the working thread."""

    def __init__(self) -> None:
        self._reset = threading.Event()
        self._pause = threading.Event()
        self._applied: tuple[DepthSettings, str] | None = None

    def ask_reset(self) -> None:
        """Forget everything, the scale included."""
        self._reset.set()

    def ask_new_start(self) -> None:
        """Forget what was seen: after a pause or a jump of the clock. The scale stays, it is the camera's."""
        self._pause.set()

    def steer(self, pipeline: Pipeline, settings: DepthSettings, name: str) -> bool:
        """Apply what changed and what was asked; True if the past was to be forgotten.

        name: of bundle and camera, for the scale's memory.
        """
        if self._applied is None or self._applied[0] is not settings or self._applied[1] != name:
            self._applied = (settings, name)
            pipeline.stabilizer_settings = stabilizer_settings(settings)
            pipeline.scale_settings = scale_settings(settings, name)
        reset, pause = _taken(self._reset), _taken(self._pause)
        if reset or pause:
            pipeline.reset(keep_scale=not reset)
        return reset or pause


def _taken(asked: threading.Event) -> bool:
    """Whether it was asked, which then is done. A request that comes after the look is kept for the next."""
    if not asked.is_set():
        return False
    asked.clear()
    return True
