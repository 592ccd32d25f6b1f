# SPDX-License-Identifier: Apache-2.0
"""Engines that wrap an engine: flip averaging, and access to the network's output."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.engines import Engine


class Wrapped(Engine):
    """Has the name, device, precision and manifest of the wrapped engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.device, self.precision = engine.name, engine.device, engine.precision
        self.manifest = engine.manifest

    def close(self) -> None:
        self._engine.close()


class FlipAveraged(Wrapped):
    """Mean depth of the input and of its mirror image, mirrored back; takes twice the time."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        size = (self.manifest.input_height, self.manifest.input_width)
        self._mirrored = np.empty((*size, 3), np.uint8)
        self._depth = np.empty(size, np.float32)

    def infer(self, image: np.ndarray) -> np.ndarray:
        np.copyto(self._depth, self._engine.infer(image))
        np.copyto(self._mirrored, image[:, ::-1])
        self._depth += self._engine.infer(self._mirrored)[:, ::-1]
        self._depth *= np.float32(0.5)
        return self._depth


class Watched(Wrapped):
    """Keeps the network's last output: `depth`, (H, W) float32, until the next call."""

    depth: np.ndarray

    def infer(self, image: np.ndarray) -> np.ndarray:
        self.depth = self._engine.infer(image)
        return self.depth
