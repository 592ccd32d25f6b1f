# SPDX-License-Identifier: Apache-2.0
"""The rows of the table: methods for temporal consistency, each run on the same frames."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import cv2
import numpy as np

from benchmark.steadiness.sequences import FrameSequence
from clip2depth_ros.stabilizer import Stabilizer, StabilizerSettings

RAW, AVERAGE = "raw", "average 0.2"
TRUE_POSES, OWN, WITHOUT = "stabilizer, true poses", "stabilizer, own ego-motion", "stabilizer, no ego-motion"
NEW_SHARE = 0.2
"""Weight of the new frame in the exponential average."""


@dataclass
class Outcome:
    """Result of a method on a sequence."""

    depths: list[np.ndarray] = field(default_factory=list)
    """(H, W) float32 meters, NaN unknown."""
    seconds: list[float] = field(default_factory=list)
    """Seconds on one core, per frame."""
    deviations: list[np.ndarray] = field(default_factory=list)
    """(H, W) float32, relative standard deviation; only from the stabilizer."""
    sources: list[str] = field(default_factory=list)
    """The stabilizer's source of ego-motion."""


def methods(sequence: FrameSequence) -> list[str]:
    """The methods that can be used for a sequence."""
    return [RAW, AVERAGE, *([TRUE_POSES] if sequence.poses is not None else []), OWN, WITHOUT]


def run(method: str, sequence: FrameSequence, settings: StabilizerSettings | None = None) -> Outcome:
    """Process all frames of a sequence in order with a method, on one core."""
    if method == RAW:
        return Outcome(list(sequence.raw), [0.0] * len(sequence))
    return _average(sequence) if method == AVERAGE else _stabilize(method, sequence, settings)


def _average(sequence: FrameSequence) -> Outcome:
    """Exponential average per pixel; it is kept while the pixel is unknown."""
    outcome = Outcome()
    mean = np.full_like(sequence.raw[0], np.nan)
    for raw in sequence.raw:
        began = time.thread_time()
        change = NEW_SHARE * (raw - mean)
        np.add(mean, change, out=mean, where=np.isfinite(change))
        np.copyto(mean, raw, where=np.isnan(mean))
        outcome.seconds.append(time.thread_time() - began)
        outcome.depths.append(np.where(np.isnan(raw), np.float32(np.nan), mean))
    return outcome


def _stabilize(method: str, sequence: FrameSequence, settings: StabilizerSettings | None) -> Outcome:
    outcome = Outcome()
    stabilizer = Stabilizer(settings or StabilizerSettings())
    camera = None if method == WITHOUT else sequence.camera
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for index, (raw, image) in enumerate(zip(sequence.raw, sequence.images, strict=True)):
            motion = sequence.motion(index) if method == TRUE_POSES else None
            # Only this thread's own time, without other programs.
            began = time.thread_time()
            stable = stabilizer.update(raw, image, camera, sequence.stamps[index], motion=motion)
            outcome.seconds.append(time.thread_time() - began)
            outcome.depths.append(stable.depth.copy())
            outcome.deviations.append(stable.deviation.copy())
            outcome.sources.append(stable.source)
    finally:
        cv2.setNumThreads(threads)
    return outcome
