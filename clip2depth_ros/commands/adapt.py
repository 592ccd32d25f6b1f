# SPDX-License-Identifier: Apache-2.0
"""`clip2depth adapt`: train a bundle on a recording of a place: images and odometry, no ground truth.

Exit code 0: a bundle was written. 3: rejected, with the reason on stderr; no bundle is written. A run that
was killed continues when it is started again with the same arguments.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros.bundle import Bundle, open_bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.commands._shared import pipeline_options
from clip2depth_ros.commands._shared.engine_options import add_bundle_argument
from clip2depth_ros.commands.train import NEEDS
from clip2depth_ros.engines import open_engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Floor, Frame
from clip2depth_ros.settings import ScaleSettings, option
from clip2depth_ros.system.progress import progress

HELP = "train a bundle on a recording of a place, without ground-truth depth"
REFUSED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pipeline_options.add_input_arguments(parser)
    parser.add_argument(
        "--output", required=True, type=Path, metavar="BUNDLE", help="folder of the new bundle"
    )
    add_bundle_argument(parser)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="the bundle's own checkpoint; with it the mirror is trained too",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="folder for summary.json, report and logs (default: BUNDLE-report)",
    )
    parser.add_argument(
        "--scale-height",
        metavar="METERS",
        **option(
            ScaleSettings,
            "height",
            "it corrects the odometry's scale, or replaces odometry where the input has none; its pitch and "
            "roll: --mounting",
        ),
    )
    parser.add_argument(
        "--scale-ranges",
        type=int,
        metavar="N",
        help="instead of odometry: N true ranges per frame, sampled from the input's depth",
    )
    parser.add_argument("--steps", type=int, default=300, help="training steps (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the view selection (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads; 0 = all cores")


def run(args: argparse.Namespace) -> int:
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise Clip2DepthError(
            f"adapting needs {', '.join(missing)} (PyTorch and related packages): "
            "pip install 'clip2depth_ros[train]'"
        )
    if args.steps < 1 or (args.limit is not None and args.limit < 1):
        raise Clip2DepthError("--steps and --limit must be at least 1.")
    args.scale_odometry = args.no_stabilize = False
    # Waiting threads must not spin: other programs on the robot need the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from clip2depth_ros.adaptation.adapt import Adaptation, Settings
    from clip2depth_ros.adaptation.recording import Refusal, recording_identity
    from clip2depth_ros.adaptation.rehearsal import simulated_rehearsal
    from clip2depth_ros.adaptation.report import in_words, write_report

    if args.threads:
        torch.set_num_threads(args.threads)
    bundle = open_bundle(args.bundle)
    manifest = bundle.manifest
    adaptation = Adaptation(
        bundle,
        args.output,
        settings=Settings(steps=args.steps, seed=args.seed),
        checkpoint=args.checkpoint,
        rehearsal=lambda: simulated_rehearsal(
            (manifest.input_height, manifest.input_width), manifest.canonical_focal_px
        ),
        floor=_floor(args),
        identity=recording_identity(args.input) | _reading(args),
    )
    report = args.report or args.output.with_name(args.output.name + "-report")
    try:
        summary = adaptation.run(lambda: _frames(args, bundle), lambda done: write_report(report, done))
    except Refusal as refusal:
        write_report(report, adaptation)
        adaptation.close()
        print(f"clip2depth adapt: refused: {refusal}", file=sys.stderr)
        return REFUSED
    adaptation.close()
    print(in_words(summary))
    print(f"Written: bundle {args.output}; report {report / 'report.html'}.")
    return 0


def _floor(args: argparse.Namespace) -> Floor | None:
    """The floor under the mounted camera; None without its height. Raises Clip2DepthError for a wrong one."""
    settings = pipeline_options.scale_settings(args)
    if settings is None or not settings.height:
        return None
    return Floor.from_mounting(settings.height, settings.pitch, settings.roll)


def _reading(args: argparse.Namespace) -> dict:
    """The options that determine which frames and poses are read from the input."""
    names = ("every", "limit", "topic", "odometry_topic", "mounting", "horizontal_fov", "scale_height")
    given = {name: getattr(args, name) for name in (*names, "scale_ranges")}
    if args.camera is not None:
        given["camera"] = Camera.from_file(args.camera).__repr__()
    return {name: value for name, value in given.items() if value is not None}


def _frames(args: argparse.Namespace, bundle: Bundle) -> Iterator[Frame]:
    """The frames with the camera's odometry. Raises Refusal for an input without any."""
    from clip2depth_ros.adaptation.recording import Refusal
    from clip2depth_ros.adaptation.visual_odometry import with_visual_odometry

    with pipeline_options.open_recording(args, odometry=False) as source:
        if source.live:
            raise Clip2DepthError(f"{source.name} is a live camera; record it first, then adapt.")
        has_odometry = source.has_odometry
        if not has_odometry and args.scale_height is None and args.scale_ranges is None:
            raise Refusal(
                "odometry_missing",
                f"{source.name} has no odometry; record odometry with the images, give a folder poses.txt, "
                "or set the scale with --scale-height or --scale-ranges.",
            )
    uses_odometry = has_odometry and args.scale_ranges is None
    with pipeline_options.open_recording(args, odometry=uses_odometry) as source:
        frames = progress(itertools.islice(source, args.limit), "frame", source.length, args.limit)
        if uses_odometry:
            yield from frames
            return
        with open_engine(bundle, threads=args.threads) as engine:
            settings = pipeline_options.scale_settings(args)
            yield from with_visual_odometry(pipeline_options.with_ranges(args, frames), engine, settings)
