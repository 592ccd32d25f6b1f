#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Statistics of simulated places: distances, brightness, and rendering speed.

    python benchmark/places.py [--places N] [--views N] [--size WxH] [--seed N] [--kind KIND ...] [--rooms]
    python benchmark/places.py --sheet FILE.png [--columns N]        also all views in one image

Prints percentiles of the views' median depth, of all pixels' depth and of the views' mean brightness, a
histogram of the median depths, and views per second of CPU time on one core. --rooms: for the older rooms.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("LP_NUM_THREADS", "1")

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.simulation.places import PLACES, make_place
from clip2depth_ros.simulation.rooms import make_room
from clip2depth_ros.simulation.views.place_views import place_rng, views_of_place
from clip2depth_ros.simulation.views.views import SimView, views_of_room

PERCENTILES = (5, 25, 50, 75, 95)
EDGES = (0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 12, 40)


def views_of(seed: int, kind: str | None, count: int, width: int, height: int, rooms: bool) -> list[SimView]:
    """The views of one place or, with `rooms`, of one room."""
    if rooms:
        rng = np.random.default_rng([13, seed])
        return list(views_of_room(make_room(seed, kind), rng, count, width, height))
    return list(views_of_place(make_place(seed, kind), place_rng(seed), count, width, height))


def report(views: list[SimView], seconds: float) -> None:
    """Print the statistics."""
    medians = np.array([np.nanmedian(view.depth) for view in views])
    pixels = np.concatenate([view.depth[::4, ::4].ravel() for view in views])
    means = [view.image.mean() for view in views]
    titles = " ".join(f"{p:>6}%" for p in PERCENTILES)
    print(f"{len(views)} views, {len(views) / seconds:.1f} views per second of CPU time")
    print(f"{'percentiles':24} {titles}")
    rows = (("median depth, m", medians), ("depth of pixels, m", pixels), ("mean brightness, 0-255", means))
    for name, values in rows:
        print(f"{name:24} " + " ".join(f"{v:7.2f}" for v in np.nanpercentile(values, PERCENTILES)))
    print(f"{'clipped white, share':24} {np.mean([(v.image.min(2) > 250).mean() for v in views]):7.3f}")
    print("median depth of a view, share of views")
    for low, high in pairwise(EDGES):
        share = float(((medians >= low) & (medians < high)).mean())
        print(f"  {low:4g} to {high:4g} m {100 * share:5.1f} % {'#' * round(100 * share)}")


def write_sheet(path: Path, views: list[SimView], columns: int) -> None:
    """All views in one image, row by row."""
    tiles = [view.image for view in views]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--places", type=int, default=48, help="how many places (48)")
    parser.add_argument("--views", type=int, default=6, help="views of each (6)")
    parser.add_argument("--size", default="256x192", help="width x height (256x192)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first place (0)")
    parser.add_argument(
        "--kind", nargs="+", choices=PLACES, help="these kinds in turn, instead of random ones"
    )
    parser.add_argument("--rooms", action="store_true", help="the older rooms instead")
    parser.add_argument("--sheet", type=Path, help="write all views to this PNG")
    parser.add_argument("--columns", type=int, default=8, help="views in a row of the sheet (8)")
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    kinds = options.kind or [None]
    views, start = [], time.process_time()
    for number in range(options.places):
        kind = kinds[number % len(kinds)]
        views += views_of(options.seed + number, kind, options.views, width, height, options.rooms)
    report(views, time.process_time() - start)
    if options.sheet:
        write_sheet(options.sheet, views, options.columns)


if __name__ == "__main__":
    main()
