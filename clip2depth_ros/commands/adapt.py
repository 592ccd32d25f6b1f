# SPDX-License-Identifier: Apache-2.0
"""`clip2depth adapt`: a bundle learns the place of a recording, from images and odometry, without true depth.

Exit code 0: a bundle was written. 3: refused, with the reason on stderr; no bundle is written. Killed and started
again with the same arguments, it goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.commands import _pipeline
from clip2depth_ros.commands._engine import add_bundle_argument
from clip2depth_ros.commands._progress import progress
from clip2depth_ros.commands.train import NEEDS
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.sources import open_source

HELP = "let a bundle learn the place of a recording, without true depth"
REFUSED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _pipeline.add_input_arguments(parser)
    parser.add_argument(
        "--output", required=True, type=Path, metavar="BUNDLE", help="folder of the new bundle"
    )
    add_bundle_argument(parser)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="the bundle's own checkpoint, so that its mirror learns too",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="folder for summary.json, report and logs (default: OUTPUT-report)",
    )
    parser.add_argument("--steps", type=int, default=400, help="of training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of views (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads; 0 = all cores")


def run(args: argparse.Namespace) -> int:
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise Clip2DepthError(
            f"adapting needs {', '.join(missing)} (PyTorch and what belongs to it): pip install 'clip2depth_ros[train]'"
        )
    import torch

    from clip2depth_ros.adaptation.adapt import Adaptation, Settings, recording_identity
    from clip2depth_ros.adaptation.refusal import Refusal

    if args.steps < 1:
        raise Clip2DepthError(f"--steps must be at least 1, not {args.steps}.")
    if args.threads:
        torch.set_num_threads(args.threads)
    report = args.report or args.output.with_name(args.output.name + "-report")
    adaptation = Adaptation(
        open_bundle(args.bundle),
        args.output,
        settings=Settings(steps=args.steps, seed=args.seed),
        checkpoint=args.checkpoint,
        identity=recording_identity(args.input),
    )
    try:
        if not adaptation.has_recording:
            adaptation.read(_frames(args))
        summary = adaptation.run()
    except Refusal as refusal:
        summary = getattr(adaptation, "summary", {}) | {
            "outcome": "refused",
            "reason": refusal.reason,
            "sentence": str(refusal),
        }
        _write_summary(report, summary)
        adaptation.close()
        print(f"clip2depth adapt: refused: {refusal}", file=sys.stderr)
        return REFUSED
    _write_summary(report, summary)
    adaptation.close()
    print(json.dumps(summary, indent=2))
    return 0


def _frames(args: argparse.Namespace):
    with open_source(
        args.input,
        camera=Camera.from_file(args.camera) if args.camera else None,
        horizontal_fov=args.horizontal_fov,
        every=args.every,
        topic=args.topic,
        depth_topic=args.depth_topic,
        odometry=True,
        odometry_topic=args.odometry_topic,
        mounting=args.mounting,
    ) as source:
        yield from progress(itertools.islice(source, args.limit), "frame", source.length, args.limit)


def _write_summary(folder: Path, summary: dict) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise Clip2DepthError(f"Cannot write to {folder}: {error.strerror}.") from None
