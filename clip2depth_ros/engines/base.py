# SPDX-License-Identifier: Apache-2.0
"""What every engine can do, and the check that it does it right."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from clip2depth_ros.bundle import Bundle, Manifest
from clip2depth_ros.camera import Letterbox
from clip2depth_ros.errors import Clip2DepthError

log = logging.getLogger(__name__)

FLOATS = ("fp16", "bf16", "fp32")
PRECISIONS = ("fp16", "bf16", "int8", "fp32")

# How far an engine may be from the bundle's check sample, by its precision: relative, at the 99th percentile
# of the pixels. On the bundle that ships, computed on a CPU, fp32 differs by 0.0001 %, fp16 by 0.06 % and
# bf16 by 0.6 %. Deeper networks round more often and GPUs in another order, so there is room for several
# times that; an engine that computes wrongly is off by tens of percent. int8's tolerance is the bundle's own,
# for what 8 bits do differs from network to network; it is measured when they are made.
TOLERANCES = {"fp32": 0.01, "fp16": 0.02, "bf16": 0.05}

# How often the check sample is run, with another image before each: an engine that keeps something of the
# frame before, or whose scale jumps from frame to frame, can be right once.
CHECK_RUNS = 3


# Of a bundle whose output is a disparity: smaller ones than this part of their median are compared with that.
LEAST_DISPARITY = 0.1


class EngineUnavailable(Clip2DepthError):
    """This engine, or this precision of it, does not run here; another one may."""


class Engine(ABC):
    """A bundle, opened on a device.

    name: the engine's; device: what it runs on, in words; precision: of its arithmetic, one of PRECISIONS;
    manifest: of the bundle it runs; choice: how it came to be chosen, a sentence per step; difference: of its
    depth on the bundle's check sample, as self_check measures it, None before that; cached: the file of a
    cache that it was opened from, None where it was compiled now or compiling it anew would be in vain.
    """

    name: str
    device: str
    precision: str
    manifest: Manifest
    choice: tuple[str, ...] = ()
    difference: float | None = None
    cached: Path | None = None

    @abstractmethod
    def infer(self, image: np.ndarray) -> np.ndarray:
        """Depth of one image of the network's input size.

        image: (H, W, 3) uint8 RGB, C-contiguous. Returns (H, W) float32, metres at the canonical focal
        length; the array belongs to the engine and holds until its next call.
        """

    def fits(self, letterbox: Letterbox) -> bool:
        """Whether `infer_image` takes images that this letterbox is for; what that needs is then ready.

        False for an engine that wants its images fitted, as those on the CPU do.
        """
        return False

    def infer_image(self, image: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        """Depth as `infer` gives it, of an image for the letterbox that `fits` took last.

        image: (height, width, 3) uint8 RGB of the letterbox's size. fitted: (H, W, 3) uint8, filled with what
        the network saw.
        """
        raise Clip2DepthError(f"The {self.name} engine takes fitted images only.")

    def device_times(self, repeats: int) -> np.ndarray:
        """Seconds that the device takes for the network alone, once per repeat, on the last image inferred.

        Measured by CUDA events, without the copies to and from the device; empty for an engine on the CPU.
        """
        return np.empty(0)

    @abstractmethod
    def close(self) -> None:
        """Give the device's memory back. Closing twice is allowed; using a closed engine is an error."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def self_check(engine: Engine, bundle: Bundle, tolerance: float | None = None) -> float:
    """Compare the engine's output with the bundle's check sample, several times, another image in between.

    tolerance: None = TOLERANCES of the engine's precision, the manifest's for int8. Returns the worst run's
    99th percentile of the relative difference. Raises EngineUnavailable, with that figure, when it is beyond
    the tolerance.
    """
    image, expected = bundle.check()
    if tolerance is None:
        int8 = bundle.manifest.int8
        tolerance = int8.tolerance if engine.precision == "int8" and int8 else TOLERANCES[engine.precision]
    what = f"Engine {engine.name} ({engine.device}, {engine.precision}) is refused for bundle {bundle.path}"
    known = np.isfinite(expected) & (expected > 0)
    if not known.any():
        raise Clip2DepthError(
            f"Bundle {bundle.path}: its check sample holds no known depth; export it again."
        )
    # A disparity comes down to zero, where no part of itself is a measure.
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


def infers_alike(engine: Engine, letterbox: Letterbox) -> bool:
    """Whether `infer_image`, just made ready for this letterbox, gives the depth that `infer` gives.

    The self-check goes by `infer` alone; this carries its verdict over. By noise, for that is like nothing
    that either has seen. A warning is logged where it does not.
    """
    width, height = letterbox.size
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    fitted = np.empty((engine.manifest.input_height, engine.manifest.input_width, 3), np.uint8)
    depth = engine.infer_image(noise, fitted).copy()
    expected = engine.infer(fitted)
    close = np.isclose(depth, expected, rtol=TOLERANCES[engine.precision], atol=0, equal_nan=True)
    alike = bool(close.mean() >= 0.99)
    if not alike:
        log.warning(
            "Images are resized on the CPU: resized on the GPU, they get another depth from this engine."
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
    """What an exception of another library says, in one clause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
