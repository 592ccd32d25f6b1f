#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the depth that two machines compute from the same images, for each engine (docs/arm.md).

    python benchmark/machine/same_depth.py frames FRAMES            ten simulated images; needs the sim extra
    python benchmark/machine/same_depth.py depth FRAMES RESULTS [--engine opencv]           on either machine
    python benchmark/machine/same_depth.py compare RESULTS OTHER_RESULTS

`depth` runs `clip2depth run` of the installed package with and without the stabilizer, and stores the depth
in float32 beside the images. Deviation is |other depth - depth| / depth over the pixels that are known in
both.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np

ENGINES = ("openvino", "opencv")
FRAMES = 10
DISTORTION = (0.1, 0.02, 0.001, -0.001)


def frames(folder: Path) -> None:
    """The first images of a simulated drive, with their camera.

    They have no distortion, but the camera declares some, so that rectified images have unknown pixels.
    """
    from dataclasses import replace

    from clip2depth_ros.io import open_source

    (folder / "rgb").mkdir(parents=True)
    for number, frame in zip(range(FRAMES), open_source("sim:3"), strict=False):
        cv2.imwrite(str(folder / f"rgb/{number:06d}.png"), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        replace(frame.camera, distortion=DISTORTION).to_file(folder / "camera.json")


def depth(images: Path, results: Path, engine: str | None = None) -> None:
    """RESULTS/ENGINE-steady and RESULTS/ENGINE-single: the command's output, and depth.npy, meters."""
    from clip2depth_ros.cli import main
    from clip2depth_ros.io.results import ResultFolder

    kept: list[np.ndarray] = []
    add = ResultFolder.add

    def keep(self, frame, result):
        kept.append(result.depth.copy())
        add(self, frame, result)

    runs = product((engine,) if engine else ENGINES, (("steady", []), ("single", ["--no-stabilize"])))
    for name, (kind, options) in runs:
        folder = results / f"{name}-{kind}"
        command = ["run", "--input", str(images), "--output", str(folder), "--engine", name]
        kept.clear()
        with patch.object(ResultFolder, "add", keep):
            code = main([*command, "--precision", "fp32", *options])
        if code:
            raise SystemExit(f"{' '.join(command)} failed")
        np.save(folder / "depth.npy", np.stack(kept))


def compare(results: Path, other: Path) -> None:
    """Print a row for each configuration that both have."""
    print("| configuration | max | 99 % | mean | beyond 1 % | known by one only | most in a depth image |")
    print("|---|---|---|---|---|---|---|")
    for folder in sorted(
        path.parent for path in results.glob("*/depth.npy") if (other / path.parent.name / path.name).exists()
    ):
        pair = (folder, other / folder.name)
        one, two = (np.load(path / "depth.npy") for path in pair)
        both = np.isfinite(one) & np.isfinite(two)
        deviation = np.abs(two[both] - one[both]) / one[both]
        one_only = np.count_nonzero(np.isfinite(one) != np.isfinite(two))
        images = [_images(path) for path in pair]
        print(
            f"| {folder.name} | {deviation.max():.6%} | {np.quantile(deviation, 0.99):.6%} "
            f"| {deviation.mean():.6%} | {np.count_nonzero(deviation > 0.01)} of {one.size} | {one_only} "
            f"| {np.abs(images[0] - images[1]).max()} mm |"
        )


def _images(folder: Path) -> np.ndarray:
    """(N, H, W) int64 millimeters, 0 = unknown."""
    paths = sorted((folder / "depth").glob("*.png"))
    return np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]).astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=["frames", "depth", "compare"])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--engine", choices=ENGINES, help="for depth: only this engine")
    args = parser.parse_args()
    options = {"engine": args.engine} if args.engine else {}
    {"frames": frames, "depth": depth, "compare": compare}[args.step](*args.folders, **options)


if __name__ == "__main__":
    main()
