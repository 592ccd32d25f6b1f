#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of the estimated factor and shift of a disparity on simulated drives.

    python benchmark/affine.py [--drives 0 2 4] [--seconds 10] [--flicker]

True depth is converted to a disparity with a random factor and shift, and passes through the whole pipeline.
Cases: 60 ranges per frame, of which one in ten is wrong; camera height and mounting as measured by hand, with
odometry that has errors of 5 % in every step; and each of these two alone. The table: seconds until the first
meters; seconds until 2 m are driven; the mean relative error of depth at 3 s and after 2 m, each with the
worst of any later frame; the standard deviation that the pipeline reports in the last frame; and the fraction
of the frames whose error is within two such standard deviations. --flicker adds the errors of a network.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.bundle import Manifest
from clip2depth_ros.engines import Engine
from clip2depth_ros.images.frame import Floor, Frame
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings, sample_ranges
from clip2depth_ros.simulation import Drive
from clip2depth_ros.simulation.photography.depth_noise import DepthNoise

FPS, SIZE = 15.0, (224, 168)
RANGES = 60
CASES = ("ranges", "height + odometry", "height", "odometry")


class Disparity(Engine):
    """Returns the disparity that it was given."""

    name, device, precision = "exact", "benchmark", "fp32"

    def __init__(self, kind: str = "affine_inverse") -> None:
        width, height = SIZE
        self.manifest = Manifest(
            name="exact",
            backbone="none",
            pretrained="none",
            input_height=height,
            input_width=width,
            mean=(0.0,) * 3,
            std=(1.0,) * 3,
            canonical_focal_px=None,
            depth_min=0.05,
            depth_max=100.0,
            trained_on="nothing: the true depth of a simulation",
            licence="Apache-2.0",
            depth_kind=kind,
        )
        self.answer = np.ones((height, width), np.float32)

    def infer(self, image: np.ndarray) -> np.ndarray:
        return self.answer

    def close(self) -> None:
        pass


@dataclass
class Course:
    """Results of one drive; one value for every frame."""

    time: np.ndarray
    """Seconds."""
    driven: np.ndarray
    """Meters."""
    error: np.ndarray
    """Mean relative error of depth; NaN where nothing was published."""
    deviation: np.ndarray
    """Standard deviation reported by the pipeline."""


def drive(frames: list[Frame], case: str, seed: int, *, flicker: bool = False) -> Course:
    """Run a drive with the scale sources of one case."""
    rng = np.random.default_rng([47, seed])
    factor, shift = float(np.exp(rng.uniform(-3, 1))), float(rng.uniform(-0.2, 0.1))
    start = frames[0].pose
    mounting = Floor(start[2, :3], start[2, 3], 1.0)
    settings = ScaleSettings(
        height=mounting.height if "height" in case else 0.0,
        pitch=mounting.pitch,
        roll=mounting.roll,
        odometry="odometry" in case,
        ranges="ranges" in case,
    )
    engine = Disparity()
    pipeline = Pipeline(engine, scale=settings)
    noise = DepthNoise(seed) if flicker else lambda depth: depth
    driven, errors, deviations, way = [], [], [], 0.0
    for index, (frame, wheels) in enumerate(zip(frames, odometry_of(frames, seed), strict=True)):
        if index:
            way += float(np.linalg.norm(frame.pose[:3, 3] - frames[index - 1].pose[:3, 3]))
        engine.answer = ((1 / noise(frame.depth) - shift) / factor).astype(np.float32)
        result = pipeline.process(replace(frame, odometry=wheels, ranges=ranges_of(frame, seed, index)))
        known = np.isfinite(result.depth)
        error = np.abs(result.depth[known] / frame.depth[known] - 1)
        driven.append(way)
        errors.append(float(error[np.isfinite(error)].mean()) if known.any() else math.nan)
        deviations.append(result.facts.scale_deviation)
    return Course(np.arange(len(frames)) / FPS, np.array(driven), np.array(errors), np.array(deviations))


def odometry_of(frames: list[Frame], seed: int) -> Iterator[np.ndarray]:
    """Wheel odometry for the true poses: 5 % of noise in every step."""
    rng, pose = np.random.default_rng([31, seed]), frames[0].pose
    yield pose
    for before, after in itertools.pairwise(frames):
        step = np.linalg.inv(before.pose) @ after.pose
        step[:3, 3] *= 1 + 0.05 * rng.standard_normal()
        pose = pose @ step
        yield pose


def ranges_of(frame: Frame, seed: int, index: int) -> np.ndarray:
    """True ranges, of which one in ten is wrong."""
    points = sample_ranges(frame.depth, frame.camera, RANGES, (seed, index))
    wrong = np.random.default_rng([37, seed, index]).uniform(0.2, 3.0, (RANGES // 10, 1))
    points[: RANGES // 10] *= wrong.astype(np.float32)
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drives", type=int, nargs="+", default=[0, 2, 4])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--flicker", action="store_true")
    args = parser.parse_args()
    titles = ("drive", "first", "2 m at", "at 3 s", "worst", "at 2 m", "worst", "says", "held")
    print(f"{'':20}" + "".join(f"{title:>9}" for title in titles))
    for seed in args.drives:
        frames = list(Drive(seed, *SIZE, FPS, seconds=args.seconds))
        for case in CASES:
            course = drive(frames, case, seed, flicker=args.flicker)
            known = np.isfinite(course.error)
            first = f"{course.time[known.argmax()]:.1f}s" if known.any() else "never"
            far = course.driven >= 2.0
            after, when = course.time >= 3.0, f"{course.time[far.argmax()]:.1f}s" if far.any() else "-"
            row = [seed, first, when]
            for late in (after, far):
                values = course.error[late]
                row += [_percent(values[0] if values.size else math.nan), _percent(_worst(values))]
            row.append(_percent(course.deviation[-1]))
            held = course.error[known] < 2 * course.deviation[known]
            row.append(f"{held.mean():.0%}" if held.size else "-")
            print(f"{case:20}" + "".join(f"{value:>9}" for value in row), flush=True)


def _worst(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else math.nan


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


if __name__ == "__main__":
    main()
