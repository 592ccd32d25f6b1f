#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Errors of a bundle on real frames with depth, beside those of a constant that sees nothing.

Each frame by itself, as the network gives it; then with the stabilizer.

    python benchmark/real_frames.py [FOLDER ...] [--bundle NAME]

FOLDER holds sequences in the layout rgb/, depth/, camera.json; default: $CLIP2DEPTH_RGBD or ../shared/rgbd.
The constant for a sequence is the median true depth of all the others, frame by frame.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE
from clip2depth_ros.engines import open_engine
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.results import TRUTH_RANGE
from clip2depth_ros.sources import open_source
from clip2depth_ros.stabilizer import StabilizerSettings
from clip2depth_ros.training.metrics import depth_errors, mean_errors

COLUMNS = ("abs_rel", "abs_rel_scaled", "rmse", "delta1")


def errors_of(folder: Path, depth_of) -> dict[str, float]:
    """Mean errors over the frames of a sequence; depth_of(frame) -> (H, W) metres."""
    low, high = TRUTH_RANGE
    with open_source(folder) as source:
        found = [depth_errors(depth_of(f), f.depth, depth_min=low, depth_max=high) for f in source]
        return mean_errors([errors for errors in found if errors is not None])


def median_depths(folder: Path) -> list[float]:
    """Median true depth of every frame, metres."""
    with open_source(folder) as source:
        return [float(np.nanmedian(frame.depth)) for frame in source]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE)
    args = parser.parse_args()
    root = Path(os.environ.get("CLIP2DEPTH_RGBD", "../shared/rgbd"))
    folders = args.folders or sorted(path.parent for path in root.glob("*/camera.json"))
    if not folders:
        print(f"No real frames: {root} is not here, and no folder was given.")
        return
    medians = {folder: median_depths(folder) for folder in folders}
    print(f"{'':12} " + " ".join(f"{name:>14}" for name in COLUMNS))
    with open_engine(open_bundle(args.bundle)) as engine:
        for folder in folders:
            rows = {}
            for name, settings in ((args.bundle, None), (f"{args.bundle}, stable", StabilizerSettings())):
                pipeline = Pipeline(engine, stabilizer=settings)
                rows[name] = errors_of(folder, lambda frame, p=pipeline: p.process(frame).depth)
            others = [m for other in folders if other != folder for m in medians[other]]
            if others:
                guess = float(np.median(others))
                rows[f"constant {guess:.1f} m"] = errors_of(
                    folder, lambda frame, guess=guess: np.full_like(frame.depth, guess)
                )
            print(folder.name)
            for name, errors in rows.items():
                print(f"  {name:<16}" + " ".join(f"{errors[c]:>14.3f}" for c in COLUMNS))


if __name__ == "__main__":
    main()
