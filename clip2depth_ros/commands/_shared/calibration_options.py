# SPDX-License-Identifier: Apache-2.0
"""Calibration images for the quantization to 8 bits."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from clip2depth_ros.bundle import Manifest
from clip2depth_ros.camera import Letterbox
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io import open_source
from clip2depth_ros.system.progress import StatusLine

IMAGES = 150
"""Images for each kind of scene, and for each input."""
SCENES = ("places", "rooms", "near")
"""The simulator's kinds: all from which `clip2depth train` draws single views."""
FIRST_SEED = 7_000_000_000_000
"""Seed of the scenes; far from the seeds of training, validation and test."""


def calibration_images(
    manifest: Manifest, inputs: Sequence[str], *, count: int = IMAGES
) -> dict[str, list[np.ndarray]]:
    """Up to `count` images (H, W, 3) uint8 of the network's size for each input, keyed by its name.

    Without inputs: for each kind of simulated scene. Raises Clip2DepthError if an input cannot be read, or if
    the simulator is not installed.
    """
    size = (manifest.input_width, manifest.input_height)
    if inputs:
        drawn: dict[str, list[np.ndarray]] = {}
        for spec in inputs:
            # The manifest is distributed; the path of the data folder means nothing on another machine.
            name = Path(spec).name or spec
            drawn[spec if name in drawn else name] = _drawn(spec, size, count)
        return drawn
    if find_spec("mujoco") is None:
        raise Clip2DepthError(
            "Without --calibration, MuJoCo renders the images: pip install 'clip2depth_ros[sim]'."
        )
    line = StatusLine(sys.stderr, interval=10.0)
    images: dict[str, list[np.ndarray]] = {}
    for what in SCENES:
        images[what] = []
        for image in itertools.islice(_rendered(what, *size), count):
            images[what].append(image)
            line.show(f"calibration: {what} {len(images[what])} of {count}")
    line.finish()
    return images


def _rendered(what: str, width: int, height: int) -> Iterator[np.ndarray]:
    from clip2depth_ros.simulation.shards import views_of_seed

    for seed in itertools.count(FIRST_SEED):
        for view in views_of_seed(what, seed, 2, width, height):
            yield view.image


def _drawn(spec: str, size: tuple[int, int], count: int) -> list[np.ndarray]:
    """`count` random images of the input (uniform sampling), letterboxed; all images if there are fewer."""
    rng = np.random.default_rng(0)
    images: list[np.ndarray] = []
    with open_source(spec) as source:
        for number, frame in enumerate(source):
            place = number if number < count else int(rng.integers(number + 1))
            if place >= count:
                continue
            shape = frame.image.shape
            fitted = np.empty((size[1], size[0], 3), np.uint8)
            Letterbox((shape[1], shape[0]), *size).letterbox(frame.image, fitted)
            images[place:] = [fitted, *images[place + 1 :]]
    return images
