# SPDX-License-Identifier: Apache-2.0
"""Arguments for input, engine, stabilizer and scale that `run` and `evaluate` share, and what they create."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from clip2depth_ros.camera import Camera
from clip2depth_ros.commands._shared.engine_options import add_bundle_argument, add_engine_choice
from clip2depth_ros.engines import Engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io import KINDS, Source, open_source
from clip2depth_ros.metrics.ground_truth import GroundTruth
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import sample_ranges
from clip2depth_ros.settings import ScaleSettings, StabilizerSettings, option


def add_input_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add --input and the options for reading it."""
    parser.add_argument("--input", required=required, metavar="PATH_OR_DEVICE", help=KINDS)
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--camera",
        type=Path,
        metavar="FILE",
        help="camera calibration: JSON (fx fy cx cy width height) or ROS YAML",
    )
    camera.add_argument(
        "--horizontal-fov",
        type=float,
        metavar="RADIANS",
        help="assume an ideal pinhole camera if the input has no calibration",
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th frame")
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N frames")
    parser.add_argument("--topic", help="image topic, when a bag has several")
    parser.add_argument("--depth-topic", help="topic of ground-truth depth in a bag, to measure errors")
    parser.add_argument("--odometry-topic", help="nav_msgs/Odometry topic, when a bag has several")
    parser.add_argument(
        "--mounting",
        type=float,
        nargs=6,
        metavar=("X", "Y", "Z", "ROLL", "PITCH", "YAW"),
        help="pose of the camera on the robot: meters forward, left and up in the frame that odometry moves "
        "(angles in radians; a positive pitch looks down; default: all 0)",
    )


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --bundle and the options of the engine."""
    add_bundle_argument(parser)
    add_engine_choice(parser)
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads for inference; 0 = all cores"
    )


def add_stage_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of stabilizer and scale. Scale sources may be combined."""
    parser.add_argument(
        "--no-stabilize", action="store_true", help="publish each frame's depth as the network gives it"
    )
    parser.add_argument(
        "--scale-height",
        metavar="METERS",
        **option(ScaleSettings, "height", "its pitch and roll: --mounting"),
    )
    parser.add_argument(
        "--scale-odometry",
        action="store_true",
        help="set the scale from the driven distance: the input's poses.txt or odometry topic",
    )
    parser.add_argument(
        "--scale-ranges",
        type=int,
        metavar="N",
        help="set the scale from N true ranges per frame, sampled from the input's depth",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of those ranges (default: %(default)s)"
    )


def open_input(args: argparse.Namespace) -> Source:
    """The source that the arguments describe. Raises Clip2DepthError if it lacks data that they require."""
    scale_settings(args)  # report errors there before opening the input
    if args.limit is not None and args.limit < 1:
        raise Clip2DepthError(f"--limit must be at least 1, not {args.limit}.")
    return open_recording(args, odometry=args.scale_odometry)


def open_recording(args: argparse.Namespace, *, odometry: bool) -> Source:
    """The source of the input arguments. Raises Clip2DepthError if it lacks data that they require.

    odometry: whether its frames must have odometry.
    """
    source = open_source(
        args.input,
        camera=Camera.from_file(args.camera) if args.camera else None,
        horizontal_fov=args.horizontal_fov,
        every=args.every,
        topic=args.topic,
        depth_topic=args.depth_topic,
        odometry=odometry,
        odometry_topic=args.odometry_topic,
        mounting=args.mounting,
    )
    if args.scale_ranges is not None and not source.has_depth:
        source.close()
        raise Clip2DepthError(
            f"--scale-ranges samples true depth, but {source.name} has none; give a folder with depth/, "
            "or a bag with --depth-topic."
        )
    return source


def frames_of(args: argparse.Namespace, source: Source) -> Iterator[Frame]:
    """The source's frames up to the limit, with sparse ranges if they are requested."""
    return with_ranges(args, itertools.islice(source, args.limit))


def with_ranges(args: argparse.Namespace, frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames, with sparse ranges if they are requested."""
    truth = GroundTruth()
    for index, frame in enumerate(frames):
        if args.scale_ranges and frame.depth is not None and frame.camera is not None:
            depth, camera = truth.rectified(frame), frame.camera.undistorted()
            frame.ranges = sample_ranges(depth, camera, args.scale_ranges, (args.seed, index))
        yield frame


def scale_settings(args: argparse.Namespace) -> ScaleSettings | None:
    """The scale settings from the arguments; None if they name no scale source."""
    if args.scale_height is not None and not args.scale_height > 0:
        raise Clip2DepthError(
            "--scale-height must be positive (meters from the floor to the camera), not "
            f"{args.scale_height:g}."
        )
    if args.scale_ranges is not None and args.scale_ranges < 1:
        raise Clip2DepthError(f"--scale-ranges must be at least 1, not {args.scale_ranges}.")
    if args.scale_odometry and args.no_stabilize:
        raise Clip2DepthError(
            "--scale-odometry needs the stabilizer, which estimates the camera motion from the images; "
            "remove --no-stabilize."
        )
    if args.scale_height is None and not args.scale_odometry and args.scale_ranges is None:
        return None
    _, _, _, roll, pitch, _ = args.mounting or (0.0,) * 6
    return ScaleSettings(
        height=args.scale_height or 0.0,
        pitch=pitch,
        roll=roll,
        odometry=args.scale_odometry,
        ranges=args.scale_ranges is not None,
    )


def make_pipeline(
    args: argparse.Namespace, engine: Engine, *, depth_size: tuple[int, int] | None = None
) -> Pipeline:
    """The pipeline that the arguments describe. Raises Clip2DepthError if it could never give meters."""
    scale, manifest = scale_settings(args), engine.manifest
    if scale is None and manifest.depth_kind != "metric":
        up_to = "an unknown factor" if manifest.depth_kind == "scale_free" else "an unknown factor and shift"
        raise Clip2DepthError(
            f"Bundle '{manifest.name}' gives depth up to {up_to}: choose a scale source with "
            "--scale-height, --scale-odometry or --scale-ranges."
        )
    return Pipeline(
        engine,
        depth_size=depth_size,
        stabilizer=None if args.no_stabilize else StabilizerSettings(),
        scale=scale,
    )
