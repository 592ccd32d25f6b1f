# SPDX-License-Identifier: Apache-2.0
"""What every engine can do, and the check that it does it right."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from clip2depth_ros.bundle import Bundle, Manifest
from clip2depth_ros.errors import Clip2DepthError

# How far an engine may be from the bundle's check sample, relative, at the 99th percentile of the pixels.
TOLERANCE = 0.01


class Engine(ABC):
    """A bundle, opened on a device.

    name: the engine's; device: what it runs on, in words; precision: of its arithmetic, such as "f32";
    manifest: of the bundle it runs.
    """

    name: str
    device: str
    precision: str
    manifest: Manifest

    @abstractmethod
    def infer(self, image: np.ndarray) -> np.ndarray:
        """Depth of one image of the network's input size.

        image: (H, W, 3) uint8 RGB, C-contiguous. Returns (H, W) float32, metres at the canonical focal
        length; the array belongs to the engine and holds until its next call.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the device's memory back. Closing twice is allowed; using a closed engine is an error."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def self_check(engine: Engine, bundle: Bundle, tolerance: float = TOLERANCE) -> float:
    """Compare the engine's output with the bundle's check sample.

    Returns the 99th percentile of the relative difference. Raises Clip2DepthError, with that figure, when it
    is beyond the tolerance.
    """
    image, expected = bundle.check()
    depth = engine.infer(image)
    what = f"Engine {engine.name} ({engine.device}, {engine.precision}) is refused for bundle {bundle.path}"
    known = np.isfinite(expected) & (expected > 0)
    if not known.any():
        raise Clip2DepthError(
            f"Bundle {bundle.path}: its check sample holds no known depth; export it again."
        )
    if not np.isfinite(depth[known]).all():
        part = 1 - np.isfinite(depth[known]).mean()
        raise Clip2DepthError(f"{what}: {part:.1%} of its depth on the check sample is not a finite number.")
    difference = float(np.percentile(np.abs(depth[known] - expected[known]) / expected[known], 99))
    if difference > tolerance:
        raise Clip2DepthError(
            f"{what}: its depth on the check sample differs by {difference:.2%} (99th percentile, "
            f"allowed {tolerance:.2%}), so it computes this network wrongly; try another engine or precision."
        )
    return difference
