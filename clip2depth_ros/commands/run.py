# SPDX-License-Identifier: Apache-2.0
"""The whole pipeline without ROS: images in; depth images, quality.csv and summary.json out."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE
from clip2depth_ros.camera import Camera
from clip2depth_ros.engines import ENGINE_NAMES, open_engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.frame import Frame
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.results import ResultFolder
from clip2depth_ros.sources import KINDS, Source, open_source

HELP = "turn images into depth images, without ROS"

# A log file gets a line this often, seconds.
LINE_PERIOD = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", required=True, metavar="PATH_OR_DEVICE", help=KINDS)
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--bundle", default=DEFAULT_BUNDLE, metavar="NAME_OR_PATH", help="default: %(default)s"
    )
    parser.add_argument(
        "--engine", default="auto", choices=("auto", *ENGINE_NAMES), help="default: %(default)s"
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="threads for inference; 0 = all cores"
    )
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--camera", type=Path, metavar="FILE", help="the camera: JSON (fx fy cx cy width height) or ROS YAML"
    )
    camera.add_argument(
        "--horizontal-fov", type=float, metavar="RADIANS", help="assume an ideal camera where none is known"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th frame")
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N frames")
    parser.add_argument(
        "--size", type=_size, metavar="WxH", help="size of the depth; default: the images' own"
    )
    parser.add_argument("--topic", help="image topic, when a bag has several")
    parser.add_argument("--depth-topic", help="topic of true depth in a bag, to measure errors against")
    parser.add_argument("--video", action="store_true", help="also write film.mp4: image, depth, true depth")


def run(args: argparse.Namespace) -> int:
    if args.limit is not None and args.limit < 1:
        raise Clip2DepthError(f"--limit must be at least 1, it is {args.limit}.")
    camera = Camera.from_file(args.camera) if args.camera else None
    bundle = open_bundle(args.bundle)
    with (
        open_source(
            args.input,
            camera=camera,
            horizontal_fov=args.horizontal_fov,
            every=args.every,
            topic=args.topic,
            depth_topic=args.depth_topic,
        ) as source,
        open_engine(bundle, args.engine, threads=args.threads) as engine,
        ResultFolder(args.output, fps=source.fps if args.video else None) as results,
    ):
        pipeline = Pipeline(engine, depth_size=args.size)
        started = time.perf_counter()
        try:
            for frame in _progress(itertools.islice(source, args.limit), source, args.limit):
                if results.frames == 0 and source.assumed:
                    print(f"Camera: {source.assumed}.", file=sys.stderr)
                results.add(frame, pipeline.process(frame))
        except KeyboardInterrupt:
            # The usual end of a live camera; what was done is kept.
            print(f"Stopped after {results.frames} frames.", file=sys.stderr)
        facts = {
            "input": source.name,
            "camera_assumed": source.assumed or None,
            "bad_images": source.bad_images,
            "bundle": bundle.name,
            "engine": {"name": engine.name, "device": engine.device, "precision": engine.precision},
            "seconds": round(time.perf_counter() - started, 3),
        }
        summary = results.finish(facts)
    print(_in_words(summary, args.output))
    return 0


def _progress(frames: Iterable[Frame], source: Source, limit: int | None) -> Iterator[Frame]:
    """A bar on a terminal, a plain line now and then elsewhere."""
    total = min(n for n in (source.length, limit, sys.maxsize) if n is not None)
    total = None if total == sys.maxsize else total
    if sys.stderr.isatty():
        yield from tqdm(frames, total=total, unit="frame")
        return
    said = time.monotonic()
    for count, frame in enumerate(frames, 1):
        yield frame
        if time.monotonic() - said > LINE_PERIOD:
            said = time.monotonic()
            print(f"{count} of {total or '?'} frames", file=sys.stderr, flush=True)


def _in_words(summary: dict, folder: Path) -> str:
    total = summary["times"].get("total", {"median": 0.0, "p95": 0.0})
    lines = [
        f"{summary['frames']} frames of {summary['input']}: {total['median'] * 1e3:.1f} ms a frame (median; "
        "95th "
        f"percentile {total['p95'] * 1e3:.1f} ms), {summary['valid_fraction']:.0%} of the pixels known."
    ]
    if summary["errors"]:
        e = summary["errors"]
        lines.append(
            f"Against the true depth of {e['frames']} frames: AbsRel {e['abs_rel']:.3f} in metres, "
            f"{e['abs_rel_scaled']:.3f} after scaling each frame by its median; RMSE {e['rmse']:.2f} m; "
            f"delta1 {e['delta1']:.3f}."
        )
    if summary["bad_images"]:
        lines.append(f"{summary['bad_images']} images could not be read.")
    lines.append(
        f"Written to {folder}: depth/, quality.csv, summary.json"
        + (", film.mp4." if summary["film"] else ".")
    )
    return "\n".join(lines)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write it like 320x240")
    return int(width), int(height)
