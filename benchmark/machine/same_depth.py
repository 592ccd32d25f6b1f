#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether two machines compute the same depth from the same images, engine by engine (docs/arm.md).

    python benchmark/machine/same_depth.py frames FRAMES        ten simulated images; needs the sim extra and OpenGL
    python benchmark/machine/same_depth.py depth FRAMES RESULTS        on each machine, by the installed package
    python benchmark/machine/same_depth.py compare RESULTS OTHER_RESULTS

`depth` calls `clip2depth run` and keeps beside its depth images the same depth in float32, by DepthEstimator.
Deviation is |other depth - depth| / depth over the pixels that both know.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

CONFIGURATIONS = {
    "openvino": ("--engine", "openvino", "--precision", "fp32"),
    "opencv": ("--engine", "opencv"),
    "auto": (),
}
FRAMES = 10
DISTORTION = (0.1, 0.02, 0.001, -0.001)


def frames(folder: Path) -> None:
    """The first images of a simulated drive, with their camera.

    They have no distortion; the camera says so of a lens, for rectified images with unknown pixels.
    """
    from dataclasses import replace

    from clip2depth_ros.sources import open_source

    (folder / "rgb").mkdir(parents=True)
    for number, frame in zip(range(FRAMES), open_source("sim:3"), strict=False):
        cv2.imwrite(str(folder / f"rgb/{number:06d}.png"), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        replace(frame.camera, distortion=DISTORTION).to_file(folder / "camera.json")


def depth(images: Path, results: Path) -> None:
    """RESULTS/ENGINE-steady and RESULTS/ENGINE-single: the command's output, and depth.npz."""
    from clip2depth_ros import DepthEstimator
    from clip2depth_ros.cli import main

    for engine, options in CONFIGURATIONS.items():
        for steady in (True, False):
            folder = results / f"{engine}-{'steady' if steady else 'single'}"
            command = ["run", "--input", str(images), "--output", str(folder), *options]
            if main(command + ["--no-stabilize"] * (not steady)):
                raise SystemExit(f"{' '.join(command)} failed")
            precision = "fp32" if "fp32" in options else None
            with DepthEstimator(engine=engine, precision=precision, stabilize=steady) as estimator:
                found = [each.depth for each in estimator.video(images)]
            np.savez_compressed(folder / "depth.npz", depth=np.stack(found))


def compare(results: Path, other: Path) -> None:
    """A row for each configuration; ends with 1 where fp32 is beyond the self-check's tolerance or NaN
    differs."""
    print(
        "| configuration | engines | max | 99 % | mean | known by one only | images: pixels that differ, most |"
    )
    print("|---|---|---|---|---|---|---|")
    for folder in sorted(path.parent for path in results.glob("*/depth.npz")):
        pair = (folder, other / folder.name)
        one, two = (np.load(path / "depth.npz")["depth"] for path in pair)
        both = np.isfinite(one) & np.isfinite(two)
        deviation = np.abs(two[both] - one[both]) / one[both]
        one_only = np.count_nonzero(np.isfinite(one) != np.isfinite(two))
        names = [json.loads((path / "summary.json").read_text())["engine"] for path in pair]
        engines = " / ".join(dict.fromkeys(f"{name['name']} {name['precision']}" for name in names))
        images = [_images(path) for path in pair]
        millimetres = np.abs(images[0] - images[1])
        print(
            f"| {folder.name} | {engines} | {deviation.max():.6%} | {np.quantile(deviation, 0.99):.6%} "
            f"| {deviation.mean():.6%} | {one_only} of {one.size} | {np.count_nonzero(millimetres)}, "
            f"{millimetres.max()} mm |"
        )


def _images(folder: Path) -> np.ndarray:
    """(N, H, W) int64 millimetres, 0 = unknown."""
    paths = sorted((folder / "depth").glob("*.png"))
    return np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]).astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=["frames", "depth", "compare"])
    parser.add_argument("folders", nargs="+", type=Path)
    args = parser.parse_args()
    {"frames": frames, "depth": depth, "compare": compare}[args.step](*args.folders)


if __name__ == "__main__":
    main()
