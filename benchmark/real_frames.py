#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Errors of networks on real frames with depth, compared with constant guesses.

Each frame on its own, as the network gives it; then with the stabilizer.

    python benchmark/real_frames.py [FOLDER ...] [--bundle NAME ...] [--checkpoint FILE ...] [--every N]
                                    [--precision P ...] [--picture FILE]

FOLDER holds sequences in the layout rgb/, depth/, camera.json; default: $CLIP2DEPTH_RGBD or ../shared/rgbd.
A checkpoint of `clip2depth train` is run by PyTorch, without the stabilizer. The guesses for a sequence are
fitted to all the others: their median depth, and the median of each image row. The last table has the means
over the indoor places: hall, kitchen and nyu. --every does not shorten sequences of up to ten frames.
--picture writes the depth of a few frames of each sequence by the first network, without the photographs,
whose license does not allow copies.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE
from clip2depth_ros.engines import PRECISIONS, Engine, open_engine
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.images.visualization import color_depth, save_image, sheet, text_strip
from clip2depth_ros.io import open_source
from clip2depth_ros.io.results import TRUTH_RANGE
from clip2depth_ros.metrics.depth import depth_errors, mean_errors
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.stabilizer import StabilizerSettings

COLUMNS = ("abs_rel", "abs_rel_scaled", "rmse", "delta1")
INDOOR = ("hall", "kitchen", "nyu")
ROWS = 48  # rows of the guess by image row
SHORT = 10  # frames: shorter sequences are used completely


def frames_of(folder: Path, every: int) -> Iterator[Frame]:
    """Every n-th frame of a sequence, beginning with the first; all frames of a short one."""
    if len(list((folder / "rgb").glob("*"))) <= SHORT:
        every = 1
    with open_source(folder) as source:
        for number, frame in enumerate(source):
            if number % every == 0:
                yield frame


def errors_of(folder: Path, every: int, depth_of: Callable[[Frame], np.ndarray]) -> dict[str, float]:
    """Mean errors over the frames of a sequence; depth_of(frame) -> (H, W) meters."""
    low, high = TRUTH_RANGE
    found = [
        depth_errors(depth_of(f), f.depth, depth_min=low, depth_max=high) for f in frames_of(folder, every)
    ]
    return mean_errors([errors for errors in found if errors is not None])


def row_medians(folder: Path, every: int) -> np.ndarray:
    """(frames, ROWS): median true depth of each of ROWS bands of each frame, meters, NaN where unknown."""
    found = []
    for frame in frames_of(folder, every):
        bands = np.array_split(frame.depth, ROWS)
        found.append([np.nanmedian(band) if np.isfinite(band).any() else np.nan for band in bands])
    return np.array(found)


def guesses(others: list[np.ndarray]) -> dict[str, Callable[[Frame], np.ndarray]]:
    """Guesses without the image: one constant depth, and one depth for each image row."""
    seen = np.concatenate(others)
    constant = float(np.median(np.nanmedian(seen, axis=1)))
    seen[:, np.isnan(seen).all(0)] = constant
    rows = np.nanmedian(seen, axis=0)

    def by_row(frame: Frame) -> np.ndarray:
        height, width = frame.depth.shape
        line = np.interp((np.arange(height) + 0.5) / height * ROWS - 0.5, np.arange(ROWS), rows)
        return np.repeat(line[:, None].astype(np.float32), width, axis=1)

    return {
        "one depth everywhere": lambda frame: np.full_like(frame.depth, constant),
        "one depth for a row": by_row,
    }


def picture(engine: Engine, folders: list[Path], columns: int = 3) -> np.ndarray:
    """Depth of `columns` frames of each sequence, evenly spaced, each colored over its own range."""
    cells = []
    for folder in folders:
        frames = list(frames_of(folder, 1))
        pipeline = Pipeline(engine, stabilizer=None)
        for number in (np.arange(columns) + 0.5) * len(frames) / columns:
            frame = frames[int(number)]
            depth = pipeline.process(frame).depth
            near, far = (float(np.nanpercentile(depth, share)) for share in (2, 98))
            height, width = depth.shape
            small = cv2.resize(depth, (240, round(240 * height / width)), interpolation=cv2.INTER_NEAREST)
            title = text_strip(f"{folder.name} {frame.name}: {near:.1f} to {far:.1f} m", 240)
            cells.append(np.concatenate([title, color_depth(small, near, far)]))
    return sheet(cells, columns)


def networks(args: argparse.Namespace) -> dict[str, Callable[[], AbstractContextManager[Engine]]]:
    """The requested networks by name; each is opened by calling its value."""
    found: dict[str, Callable[[], AbstractContextManager[Engine]]] = {}
    for name in args.bundle or ([] if args.checkpoint else [DEFAULT_BUNDLE]):
        for each in args.precision or [None]:
            title = f"{name} {each}" if each else name
            found[title] = lambda name=name, each=each: open_engine(open_bundle(name), precision=each)
    for path in args.checkpoint:
        from clip2depth_ros.training.validation.network_engine import NetworkEngine

        found[f"{path.parent.name}/{path.stem}"] = lambda path=path: NetworkEngine(path)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--bundle", nargs="+", default=[], metavar="NAME", help=f"default: {DEFAULT_BUNDLE}")
    parser.add_argument("--checkpoint", nargs="+", type=Path, default=[], metavar="FILE")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every n-th frame")
    parser.add_argument(
        "--precision", nargs="+", default=[], choices=PRECISIONS, help="default: the engine's"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help=".jpg or .png")
    args = parser.parse_args()
    root = Path(os.environ.get("CLIP2DEPTH_RGBD", "../shared/rgbd"))
    folders = args.folders or sorted(path.parent for path in root.glob("*/camera.json"))
    if not folders:
        print(f"No real frames: {root} does not exist, and no folder was given.")
        return
    every = max(1, args.every)
    medians = {folder: row_medians(folder, every) for folder in folders}
    table: dict[str, dict[str, dict[str, float]]] = {folder.name: {} for folder in folders}
    for name, opened in networks(args).items():
        stabilized = not name.endswith(tuple(f"/{path.stem}" for path in args.checkpoint))
        with opened() as engine:
            if args.picture and not any(table.values()):
                save_image(args.picture, picture(engine, folders))
            for folder in folders:
                for title, settings in ((name, None), (f"{name}, stable", StabilizerSettings())):
                    if settings is None or stabilized:
                        pipeline = Pipeline(engine, stabilizer=settings)
                        table[folder.name][title] = errors_of(
                            folder, every, lambda frame, p=pipeline: p.process(frame).depth
                        )
    for folder in folders:
        others = [medians[other] for other in folders if other != folder]
        for title, guess in (guesses(others) if others else {}).items():
            table[folder.name][title] = errors_of(folder, every, guess)

    wide = max(len(title) for rows in table.values() for title in rows) + 2
    print(f"{'':{wide}} " + " ".join(f"{name:>14}" for name in COLUMNS))
    for place, rows in table.items():
        print(place)
        for title, errors in rows.items():
            print(f"  {title:<{wide - 2}} " + " ".join(f"{errors[c]:>14.3f}" for c in COLUMNS))
    if set(INDOOR) <= set(table):
        print(f"mean of {', '.join(INDOOR)}")
        for title in table[INDOOR[0]]:
            if all(title in table[place] for place in INDOOR):
                means = [np.mean([table[place][title][c] for place in INDOOR]) for c in COLUMNS]
                print(f"  {title:<{wide - 2}} " + " ".join(f"{mean:>14.3f}" for mean in means))


if __name__ == "__main__":
    main()
