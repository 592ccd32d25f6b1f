# SPDX-License-Identifier: Apache-2.0
"""Run the whole pipeline without ROS: reads images; writes depth images, quality.csv and summary.json."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tqdm import tqdm

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.commands._shared.engine_options import open_chosen_engine
from clip2depth_ros.commands._shared.pipeline_options import (
    add_engine_arguments,
    add_input_arguments,
    add_stage_arguments,
    frames_of,
    make_pipeline,
    open_input,
)
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.results import ResultFolder
from clip2depth_ros.system.interrupts import Terminated
from clip2depth_ros.system.progress import progress

HELP = "compute depth images from images, without ROS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_input_arguments(parser)
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the results")
    add_engine_arguments(parser)
    add_stage_arguments(parser)
    parser.add_argument(
        "--size",
        type=_size,
        metavar="WxH",
        help="size of the depth images (default: size of the input images)",
    )
    parser.add_argument(
        "--video",
        action="store_true",
        help="also write film.mp4: image, the network's depth, the stabilized depth, ground-truth depth",
    )


def run(args: argparse.Namespace) -> int:
    bundle = open_bundle(args.bundle)
    with (
        open_input(args) as source,
        open_chosen_engine(args, bundle) as engine,
        ResultFolder(args.output, fps=source.fps if args.video else None) as results,
    ):
        pipeline = make_pipeline(args, engine, depth_size=args.size)
        pipeline.keep_raw = args.video and not args.no_stabilize
        started = time.perf_counter()
        stopped: BaseException | None = None
        reason = None
        try:
            for frame in progress(frames_of(args, source), "frame", source.length, args.limit):
                if results.frames == 0 and source.assumed:
                    print(f"Camera: {source.assumed}.", file=sys.stderr)
                result = pipeline.process(frame)
                no_meters = result.facts.no_metres if results.frames == 0 else ""
                for text in filter(None, (no_meters, *result.facts.warnings)):
                    tqdm.write(f"Frame {frame.name}: {text}", file=sys.stderr)
                results.add(frame, result)
        except KeyboardInterrupt as interrupt:
            # The usual end of a live camera; results so far are kept.
            reason = "terminated" if isinstance(interrupt, Terminated) else "interrupted"
            print(f"Stopped after {results.frames} frames.", file=sys.stderr)
            stopped = None if reason == "interrupted" else interrupt
        except Clip2DepthError as error:
            if not results.frames:
                raise
            # Disk full or camera unplugged: the summary covers the frames so far.
            stopped, reason = error, str(error)
        facts = {
            "input": source.name,
            "camera_assumed": source.assumed or None,
            "bad_images": source.bad_images,
            "bundle": bundle.name,
            "engine": {
                "name": engine.name,
                "device": engine.device,
                "precision": engine.precision,
                "choice": [str(attempt) for attempt in engine.attempts],
            },
            "stabilized": pipeline.settings.stabilizer is not None,
            "stopped": reason,
            "seconds": round(time.perf_counter() - started, 3),
        }
        pipeline.close()
        summary = results.finish(facts)
    if stopped is not None:
        raise stopped
    print(_in_words(summary, args))
    return 0


def _in_words(summary: dict, args: argparse.Namespace) -> str:
    total = summary["times"].get("total", {"median": 0.0, "p95": 0.0})
    lines = [
        f"{summary['frames']} frames of {summary['input']}: {total['median'] * 1e3:.1f} ms per frame "
        f"(median; 95th percentile {total['p95'] * 1e3:.1f} ms), {summary['valid_fraction']:.0%} of the "
        "pixels known."
    ]
    departs = summary["temporal_error"]
    if departs is not None:
        expected = "prediction" if summary["stabilized"] else "last frame"
        lines.append(f"From frame to frame, depth differs from the {expected} by {departs:.2%} (median).")
    scale = summary["scale"]
    if scale:
        lines.append(
            f"Scale {scale['value']:.3f}"
            + (f" and shift {scale['shift']:.3f} 1/m" if "shift" in scale else "")
            + f" (standard deviation {scale['deviation']:.1%}, by {scale['source']})."
        )
    elif summary["frames_without_metres"]:
        lines.append("No scale was found, so no frame has meters: no floor, too short a drive, or no ranges.")
    elif args.scale_height or args.scale_odometry or args.scale_ranges:
        lines.append("No scale was found, so it stayed at 1: no floor, too short a drive, or no ranges.")
    if scale and summary["frames_without_metres"]:
        lines.append(f"{summary['frames_without_metres']} frames had no scale yet; their depth is unknown.")
    if summary["errors"]:
        e = summary["errors"]
        lines.append(
            f"Against the true depth of {e['frames']} frames: AbsRel {e['abs_rel']:.3f} in meters, "
            f"{e['abs_rel_scaled']:.3f} after scaling each frame by its median; RMSE {e['rmse']:.2f} m; "
            f"delta1 {e['delta1']:.3f}."
        )
    if summary["bad_images"]:
        lines.append(f"{summary['bad_images']} images could not be read.")
    lines.append(
        f"Written to {args.output}: depth/, quality.csv, summary.json"
        + (", film.mp4." if summary["film"] else ".")
    )
    return "\n".join(lines)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a size; use a format such as 320x240")
    return int(width), int(height)
