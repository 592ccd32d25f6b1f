# SPDX-License-Identifier: Apache-2.0
"""The frames of the three protocols: images, raw depth, and ground truth."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.camera import Camera, Letterbox
from clip2depth_ros.engines import open_engine
from clip2depth_ros.io import open_source
from clip2depth_ros.metrics.temporal import Match, Matcher
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.simulation import Drive
from clip2depth_ros.simulation.photography.depth_noise import DepthNoise

SIZE = (320, 240)
FPS = 15.0
"""Horizontal field of view of the simulated camera, radians."""


@dataclass
class FrameSequence:
    """Consecutive frames at one size."""

    name: str
    camera: Camera
    stamps: list[int]
    """Nanoseconds."""
    images: list[np.ndarray]
    """(H, W, 3) uint8 RGB each."""
    raw: list[np.ndarray]
    """(H, W) float32 meters, NaN unknown: depth of each frame from a network."""
    truth: list[np.ndarray]
    """(H, W) float32 meters, NaN unknown."""
    poses: list[np.ndarray] | None = None
    """(4, 4) optical frame to world, meters; None if unknown."""
    moving: list[np.ndarray] | None = None
    """(H, W) bool: pixels of bodies that move on their own; None if unknown."""
    scale: float = 1.0
    """Median of raw / truth over the sequence: it converts true motion to raw's own meters."""

    def __len__(self) -> int:
        return len(self.images)

    def motion(self, index: int) -> np.ndarray | None:
        """(4, 4) true motion of points from the previous frame into frame `index`, in raw's meters."""
        if self.poses is None or index == 0:
            return None
        motion = np.linalg.inv(self.poses[index]) @ self.poses[index - 1]
        motion[:3, 3] *= self.scale
        return motion

    def matches(self) -> list[Match]:
        """The flow of each frame's pixels to the next frame."""
        matcher = Matcher()
        return [matcher.match(a, b) for a, b in zip(self.images, self.images[1:], strict=False)]


def flickered(folder: Path, frames: int = 120, size: tuple[int, int] = SIZE, seed: int = 0) -> FrameSequence:
    """Protocol A: measured depth of real frames with the errors of a network added."""
    sequence = _read(folder, frames, size)
    depth_noise = DepthNoise(seed)
    sequence.raw = [depth_noise(depth) for depth in sequence.truth]
    return sequence


def predicted(source_name: Path | str, bundle: str, frames: int | None = None) -> FrameSequence:
    """Protocol B: a bundle's own depth of a source's frames, at the network's resolution.

    source_name: a folder of real frames, or any other input of `clip2depth run --input`.
    """
    with open_engine(open_bundle(bundle)) as engine, open_source(source_name) as source:
        first = next(iter(source))
        box = Letterbox(first.camera.size, engine.manifest.input_width, engine.manifest.input_height)
        size = (box.inner_width, box.inner_height)
        sequence = _read(source_name, frames, size)
        pipeline = Pipeline(engine, depth_size=size, stabilizer=None)
        for frame in itertools.islice(source, frames):
            sequence.raw.append(pipeline.process(frame).depth.copy())
    ratios = [np.nanmedian(raw / truth) for raw, truth in zip(sequence.raw, sequence.truth, strict=True)]
    sequence.scale = float(np.median(ratios))
    return sequence


def driven(seed: int, frames: int | None = None, size: tuple[int, int] = SIZE) -> FrameSequence:
    """Protocol C: ten seconds of a simulated drive among walking people, true depth with added errors."""
    drive = Drive(seed, *size, FPS, seconds=10.0)
    sequence = FrameSequence(f"drive {seed}", drive.camera, [], [], [], [], [], [])
    depth_noise = DepthNoise(seed)
    for index, frame in enumerate(itertools.islice(drive, frames)):
        sequence.stamps.append(frame.stamp)
        sequence.images.append(frame.image)
        sequence.truth.append(frame.depth)
        sequence.poses.append(frame.pose)
        sequence.raw.append(depth_noise(frame.depth))
        # One more element than people, so that index -1 (nobody) is static.
        walks = np.append(drive.walking(index), False)
        sequence.moving.append(walks[drive.people(index)])
    return sequence


def still(seed: int, frames: int = 150, size: tuple[int, int] = SIZE) -> FrameSequence:
    """A static camera in a static scene: one simulated view with new noise and depth errors per frame."""
    view = next(iter(Drive(seed, *size, seconds=1.0, people=False)))
    rng, depth_noise = np.random.default_rng([23, seed]), DepthNoise(seed)
    sequence = FrameSequence(f"still {seed}", view.camera, [], [], [], [], [], [])
    for index in range(frames):
        noise = rng.normal(0.0, 2.0, view.image.shape)
        sequence.stamps.append(view.stamp + round(index * 1e9 / FPS))
        sequence.images.append(np.clip(np.rint(view.image + noise), 0, 255).astype(np.uint8))
        sequence.truth.append(view.depth)
        sequence.poses.append(view.pose)
        sequence.raw.append(depth_noise(view.depth))
        sequence.moving.append(np.zeros(view.depth.shape, bool))
    return sequence


def _read(source_name: Path | str, frames: int | None, size: tuple[int, int]) -> FrameSequence:
    """A source's frames at a size, without raw depth."""
    with open_source(source_name) as source:
        kept = list(itertools.islice(source, frames))
    camera, poses = kept[0].camera.scaled(*size), [frame.pose for frame in kept]
    return FrameSequence(
        Path(source_name).name,
        camera,
        [frame.stamp for frame in kept],
        [cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA) for frame in kept],
        [],
        [cv2.resize(frame.depth, size, interpolation=cv2.INTER_NEAREST_EXACT) for frame in kept],
        poses if all(pose is not None for pose in poses) else None,
    )
