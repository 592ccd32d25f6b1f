#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares images of simulated places with camera images: statistics of both in one table.

    python benchmark/places_look.py [--places N] [--views N] [--seed N] [--rgbd FOLDER] [--frames N]

Every value is the 10th, 50th and 90th percentile over images at 256x192. FOLDER holds recordings in the
layout rgb/*.jpg, camera.json; default: $CLIP2DEPTH_RGBD or ../shared/rgbd; without it only the simulator's
rows are printed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("LP_NUM_THREADS", "1")

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.simulation import make_room
from clip2depth_ros.simulation.photography.sensor import SensorLook, expose
from clip2depth_ros.simulation.places import make_place
from clip2depth_ros.simulation.views.place_views import place_rng, views_of_place
from clip2depth_ros.simulation.views.views import views_of_room

WIDTH, HEIGHT = 256, 192
COLUMNS = {
    "mean": "mean brightness, 0..255",
    "contrast": "deviation of the grey picture",
    "clipped": "pixels of which a colour is 250 or more, %",
    "dark": "pixels darker than 20, %",
    "gradient": "median gradient between neighbours",
    "edges": "99th percentile of it",
    "local": "median deviation within 9x9 pixels",
    "noise": "noise's deviation (Immerkaer's mask, median)",
    "colour": "mean saturation, 0..255",
}


def statistics(image: np.ndarray) -> list[float]:
    """The values of COLUMNS for an image (H, W, 3) uint8 RGB."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    gradient = np.hypot(np.diff(gray, axis=1)[:-1], np.diff(gray, axis=0)[:, :-1])
    mean = cv2.blur(gray, (9, 9))
    local = np.sqrt(np.maximum(cv2.blur(gray * gray, (9, 9)) - mean * mean, 0.0))
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return [
        float(gray.mean()),
        float(gray.std()),
        100.0 * float((image.max(2) >= 250).mean()),
        100.0 * float((gray < 20).mean()),
        float(np.median(gradient)),
        float(np.percentile(gradient, 99)),
        float(np.median(local)),
        1.4826 / 6.0 * float(np.median(np.abs(cv2.filter2D(gray, -1, mask)))),
        float(cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1].mean()),
    ]


def recorded(folder: Path, count: int) -> list[np.ndarray]:
    """At most `count` images of a recording, evenly spaced, cropped to 4:3 and scaled to WIDTH x HEIGHT."""
    files = sorted((folder / "rgb").glob("*.jpg"))
    images = []
    for file in files[:: max(1, len(files) // count)][:count]:
        image = cv2.imread(str(file))[..., ::-1]
        edge = image.shape[0] // 40  # some recordings have a white border
        image = image[edge:-edge, edge:-edge]
        height, width = image.shape[:2]
        wide = min(width, height * WIDTH // HEIGHT)
        middle = image[:, (width - wide) // 2 : (width + wide) // 2]
        images.append(cv2.resize(middle, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    return images


def print_row(name: str, images: list[np.ndarray]) -> None:
    """Print one row of the table."""
    low, middle, high = np.percentile([statistics(image) for image in images], (10, 50, 90), axis=0)
    cells = (f"{a:.3g}/{b:.3g}/{c:.3g}" for a, b, c in zip(low, middle, high, strict=True))
    print(f"{name:8}{len(images):5} " + " ".join(f"{cell:>15}" for cell in cells))


def print_cost() -> None:
    """Print the cost of the camera model for one image."""
    rng = np.random.default_rng(0)
    light = (rng.random((HEIGHT, WIDTH, 3)) * 255).astype(np.float32)
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    times = []
    for _ in range(100):
        look = SensorLook.random(rng)
        start = time.process_time()
        expose(light, depth, look, rng)
        times.append(1000.0 * (time.process_time() - start))
    cv2.setNumThreads(threads)
    print(f"camera model at {WIDTH}x{HEIGHT}: {np.median(times):.1f} ms of one core in the median")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--places", type=int, default=60, help="how many places (60)")
    parser.add_argument("--views", type=int, default=2, help="views of each (2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first place (0)")
    parser.add_argument("--frames", type=int, default=30, help="maximum number of frames of a recording (30)")
    parser.add_argument(
        "--rgbd", type=Path, default=Path(os.environ.get("CLIP2DEPTH_RGBD", "../shared/rgbd"))
    )
    options = parser.parse_args()
    for name, meaning in COLUMNS.items():
        print(f"{name:9} {meaning}")
    print(f"\n{'':8}{'n':>5} " + " ".join(f"{name:>15}" for name in COLUMNS))
    folders = sorted(path.parent for path in options.rgbd.glob("*/camera.json"))
    for folder in folders:
        print_row(folder.name, recorded(folder, options.frames))
    rooms, places = [], []
    for seed in range(options.seed, options.seed + options.places):
        rng = np.random.default_rng([13, seed])
        rooms += [v.image for v in views_of_room(make_room(seed), rng, options.views, WIDTH, HEIGHT)]
        made = views_of_place(make_place(seed), place_rng(seed), options.views, WIDTH, HEIGHT)
        places += [v.image for v in made]
    print_row("rooms", rooms)
    print_row("places", places)
    if not folders:
        print(f"No recordings: {options.rgbd} does not exist (--rgbd, or CLIP2DEPTH_RGBD).")
    print_cost()


if __name__ == "__main__":
    main()
