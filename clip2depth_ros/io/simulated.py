# SPDX-License-Identifier: Apache-2.0
"""A robot's drive through a simulated room as a source of frames."""

from __future__ import annotations

from collections.abc import Iterator

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.source import Source


class SimulatedSource(Source):
    """sim:SEED, with ground-truth depth and pose. The same seed gives the same frames."""

    has_depth = True
    has_odometry = True

    def __init__(self, spec: str, **common) -> None:
        super().__init__(**common)
        self.name = spec
        seed = spec.removeprefix("sim:")
        if not seed.isdecimal():
            raise Clip2DepthError(f"The simulator takes sim:SEED with a whole number, not '{spec}'.")
        if self._given_camera is not None:
            raise Clip2DepthError("The simulator has its own camera; leave --camera out.")
        # MuJoCo is an extra that only this source needs.
        from clip2depth_ros.simulation import Drive

        options = {}
        if self._given_fps is not None:
            options["fps"] = self._given_fps
        if self._horizontal_fov is not None:
            options["horizontal_fov"] = self._horizontal_fov
        self._drive = Drive(int(seed), **options)
        self.camera = self._drive.camera
        self.fps = self._drive.fps / self.every
        self.length = -(-len(self._drive) // self.every)

    def __iter__(self) -> Iterator[Frame]:
        for index, frame in enumerate(self._drive):
            if index % self.every == 0:
                frame.odometry = frame.pose if self.wants_odometry else None
                yield frame
