# SPDX-License-Identifier: Apache-2.0
"""The interface of all engines, and the check that an engine computes the right depth."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from clip2depth_ros.bundle import Bundle, Manifest
from clip2depth_ros.engines.attempts import Attempt
from clip2depth_ros.errors import Clip2DepthError

log = logging.getLogger(__name__)

FLOATS = ("fp16", "bf16", "fp32")
PRECISIONS = ("fp16", "bf16", "int8", "fp32")

# Largest difference allowed from the bundle's check sample, by precision: relative, 99th percentile of the
# pixels. For the bundle in this package, computed on a CPU, fp32 differs by 0.0001 %, fp16 by 0.06 % and
# bf16 by 0.6 %. Deeper networks round more often, and GPUs round in another order, so several times that is
# allowed; an engine that computes wrongly is off by tens of percent. The tolerance of int8 is part of the
# bundle, because the effect of 8 bits depends on the network; the export measures it.
TOLERANCES = {"fp32": 0.01, "fp16": 0.02, "bf16": 0.05}

# How often the check sample is run, each time after another image: an engine that keeps state from the
# previous frame, or whose scale jumps between frames, can be right once.
CHECK_RUNS = 3

# For a bundle whose output is a disparity: the relative difference of a disparity below this fraction of the
# median is computed relative to this fraction of the median.
LEAST_DISPARITY = 0.1


class EngineUnavailable(Clip2DepthError):
    """This engine, or this precision of it, does not run here; another engine may."""


class Engine(ABC):
    """A bundle, opened on a device.

    name: of the engine; device: what it runs on, as text; precision: of its arithmetic, one of PRECISIONS;
    manifest: of the bundle that it runs; attempts: what the selection tried before it chose this engine, and
    this engine last; difference: of its depth on the bundle's check sample, as self_check measures it, None
    before the check; cached: the cache file that the engine was loaded from, None if it was compiled now or
    if compiling it again cannot help.

    prepared: (width, height) of the images that `infer` takes besides those of the network's input size; None
    when it takes no others. network_input: (H, W, 3) uint8, what the network saw of the last image of the
    prepared size; the array belongs to the engine and is valid until its next call. None while no size is
    prepared.
    """

    name: str
    device: str
    precision: str
    manifest: Manifest
    attempts: tuple[Attempt, ...] = ()
    difference: float | None = None
    cached: Path | None = None
    prepared: tuple[int, int] | None = None
    network_input: np.ndarray | None = None

    @abstractmethod
    def infer(self, image: np.ndarray) -> np.ndarray:
        """Depth of one image.

        image: (H, W, 3) uint8 RGB of the network's input size, C-contiguous; or (height, width, 3) uint8 RGB
        of the size `prepared`. Returns (H, W) float32, meters at the canonical focal length, at the network's
        input size; the array belongs to the engine and is valid until its next call. Raises Clip2DepthError
        for any other image.
        """

    def prepare(self, size: tuple[int, int]) -> None:  # noqa: B027 - an engine on the CPU has nothing to do
        """Get ready for images of this (width, height), which `infer` then resizes on the device.

        Afterwards `prepared` is this size if the engine can do it. It is None if the engine cannot: then
        `infer` needs images that were resized to the network's input before, as engines on the CPU always do.
        Preparing the same size again costs nothing. A size that was prepared before is no longer prepared.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the device's memory. Closing twice is allowed; using a closed engine is an error."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def self_check(engine: Engine, bundle: Bundle, tolerance: float | None = None) -> float:
    """Compare the engine's output with the bundle's check sample, several times, other images in between.

    tolerance: None = TOLERANCES of the engine's precision, or the manifest's tolerance for int8. Returns the
    99th percentile of the relative difference, of the worst run. Raises EngineUnavailable, with that number,
    when it exceeds the tolerance; Clip2DepthError when the check sample is unusable.
    """
    image, expected = bundle.check()
    if tolerance is None:
        int8 = bundle.manifest.int8
        tolerance = int8.tolerance if engine.precision == "int8" and int8 else TOLERANCES[engine.precision]
    what = f"Engine {engine.name} ({engine.device}, {engine.precision}) is rejected for bundle {bundle.path}"
    known = np.isfinite(expected) & (expected > 0)
    if not known.any():
        raise Clip2DepthError(
            f"Bundle {bundle.path}: its check sample contains no known depth; export it again."
        )
    # A disparity can be zero, so a difference relative to the disparity itself would be infinite.
    floor = (
        LEAST_DISPARITY * np.median(expected[known])
        if bundle.manifest.depth_kind == "affine_inverse"
        else 0.0
    )
    other = np.ascontiguousarray(255 - image[::-1])
    difference = 0.0
    for _ in range(CHECK_RUNS):
        engine.infer(other)
        depth = engine.infer(image)
        if not np.isfinite(depth[known]).all():
            part = 1 - np.isfinite(depth[known]).mean()
            raise EngineUnavailable(
                f"{what}: {part:.1%} of its depth on the check sample is not a finite number."
            )
        error = np.abs(depth[known] - expected[known]) / np.maximum(expected[known], floor)
        difference = max(difference, float(np.percentile(error, 99)))
    if difference > tolerance:
        raise EngineUnavailable(
            f"{what}: its depth on the check sample differs by {difference:.2%} (99th percentile, "
            f"allowed {tolerance:.2%}), so it computes this network wrongly; try another engine or precision."
        )
    return difference


def infers_alike(engine: Engine) -> bool:
    """Whether the engine gives the same depth for an image of the prepared size as for the resized image.

    The self-check runs with images of the network's input size only; this comparison makes its result valid
    for images of the prepared size too. It uses noise, because no image that the engine saw before resembles
    it. A warning is logged when the depths differ.
    """
    width, height = engine.prepared  # pyright: ignore[reportGeneralTypeIssues]
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    depth = engine.infer(noise).copy()
    expected = engine.infer(engine.network_input.copy())
    close = np.isclose(depth, expected, rtol=TOLERANCES[engine.precision], atol=0, equal_nan=True)
    alike = bool(close.mean() >= 0.99)
    if not alike:
        log.warning(
            "Images are resized on the CPU: this engine gives another depth for images resized on the GPU."
        )
    return alike


def check_image(image: np.ndarray, manifest: Manifest) -> None:
    """Raises Clip2DepthError unless `image` is what Engine.infer takes."""
    size = (manifest.input_height, manifest.input_width, 3)
    if image.shape != size or image.dtype != np.uint8 or not image.flags.c_contiguous:
        raise Clip2DepthError(
            f"The engine takes contiguous uint8 images of shape {size}, not {image.dtype} {image.shape}."
        )


def first_line(error: Exception) -> str:
    """The message of another library's exception, as one clause without a full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
