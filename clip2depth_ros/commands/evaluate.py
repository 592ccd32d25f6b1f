# SPDX-License-Identifier: Apache-2.0
"""Evaluate a network's depth with the metrics of a benchmark: tables, plots and images.

Either with the whole pipeline, on any input of `clip2depth run` with ground truth, or image by image on a
training data set. Or a CLIP alone, by caption retrieval.
"""

from __future__ import annotations

import argparse
import contextlib
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros import __version__
from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.commands._shared import clip_options, data_options, pipeline_options
from clip2depth_ros.commands._shared.engine_options import open_chosen_engine
from clip2depth_ros.engines import Engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.evaluation.engine_wrappers import FlipAveraged, Watched
from clip2depth_ros.evaluation.evaluate import Evaluation
from clip2depth_ros.evaluation.report import errors_in_words, write_report
from clip2depth_ros.metrics.benchmark_rules import RULES, find_rule
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.system.progress import progress

HELP = "evaluate a network's depth against ground truth, with a report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pipeline_options.add_input_arguments(parser, required=False)
    data_options.add_data_arguments(parser)
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the report")
    pipeline_options.add_engine_arguments(parser)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="instead of --bundle: checkpoint.safetensors of a training run, on PyTorch",
    )
    clip_options.add_clip_arguments(parser)
    pipeline_options.add_stage_arguments(parser)
    parser.add_argument(
        "--rule",
        choices=tuple(RULES),
        help="benchmark whose depth cap and crop are used (default: the data set's own)",
    )
    parser.add_argument(
        "--flip",
        action="store_true",
        help="average with the depth of the mirrored image; marked in every output",
    )
    parser.add_argument(
        "--median-scaling",
        action="store_true",
        help="scale each image by the median of ground truth / depth first; marked in every output",
    )
    parser.add_argument(
        "--no-temporal", action="store_true", help="skip TAE, OPW and rTC, which take most of the time"
    )


def run(args: argparse.Namespace) -> int:
    if args.clip is not None:
        return clip_options.run_clip(args)
    if sum(given is not None for given in (args.input, args.data, args.config)) != 1:
        raise Clip2DepthError("give exactly one of --input, --data and --config.")
    by_image = args.input is None
    with contextlib.ExitStack() as opened:
        if by_image:
            _check_by_image(args)
            data = data_options.open_data(args)
            frames = data.frames(every=args.every, limit=args.limit)
            name, rule, total = data.name, args.rule or data.benchmark, -(-len(data) // args.every)
        else:
            source = opened.enter_context(pipeline_options.open_input(args))
            if not source.has_depth:
                raise Clip2DepthError(
                    f"{source.name} has no ground truth; give a folder with rgb/ and depth/, a bag "
                    "with --depth-topic, or sim:SEED."
                )
            frames = ((frame, True) for frame in pipeline_options.frames_of(args, source))
            name, rule, total = source.name, args.rule or "none", source.length
        engine = opened.enter_context(_open_network(args))
        watched = Watched(FlipAveraged(engine) if args.flip else engine)
        make = pipeline_options.make_pipeline
        if by_image and engine.manifest.depth_kind != "metric":
            raise Clip2DepthError(
                f"Bundle '{engine.manifest.name}' gives no meters for single images: evaluate it on a "
                "recording, with --input and --scale-height, --scale-odometry or --scale-ranges."
            )
        pipeline = Pipeline(watched, stabilizer=None) if by_image else make(args, watched)
        opened.callback(pipeline.close)
        evaluation = opened.enter_context(
            Evaluation(
                pipeline,
                watched,
                find_rule(rule),
                args.output,
                median_scaling=args.median_scaling,
                marks=_marks(args),
                temporal=not args.no_temporal,
            )
        )
        for frame, follows in progress(frames, "image", total, args.limit):
            evaluation.add(frame, follows=follows)
        metrics = evaluation.finish(
            {
                "command": args.command_line,
                "program": f"clip2depth_ros {__version__}",
                "input": name,
                "network": _network_facts(args, engine),
                "settings": _settings(args),
            }
        )
    write_report(args.output, metrics, evaluation.tally.values["abs_rel"], evaluation.examples.sheets())
    print(errors_in_words(metrics))
    print(f"Written to {args.output}: report.html, report.md with pictures/, metrics.json, images.csv.")
    return 0


def _check_by_image(args: argparse.Namespace) -> None:
    if args.scale_height is not None or args.scale_odometry or args.scale_ranges is not None:
        raise Clip2DepthError(
            "a data set is evaluated image by image; scale options need a recording as --input."
        )
    if args.every < 1 or (args.limit is not None and args.limit < 1):
        raise Clip2DepthError("--every and --limit must be at least 1.")


def _open_network(args: argparse.Namespace) -> Engine:
    if args.checkpoint is None:
        return open_chosen_engine(args, open_bundle(args.bundle))
    if find_spec("torch") is None or find_spec("open_clip") is None:
        raise Clip2DepthError(
            "a checkpoint needs PyTorch and open_clip: pip install 'clip2depth_ros[train]' (a bundle does "
            "not)."
        )
    from clip2depth_ros.training.validation.network_engine import NetworkEngine

    return NetworkEngine(args.checkpoint, threads=args.threads)


def _marks(args: argparse.Namespace) -> tuple[str, ...]:
    """Options that make the depth differ from the network's plain metric depth."""
    marks = []
    if args.flip:
        marks.append("flip averaging")
    if args.scale_height is not None:
        marks.append(f"scale from the camera's height of {args.scale_height:g} m")
    if args.scale_odometry:
        marks.append("scale from odometry")
    if args.scale_ranges is not None:
        marks.append(f"scale from {args.scale_ranges} ranges a frame, drawn from the true depth")
    return tuple(marks)


def _network_facts(args: argparse.Namespace, engine: Engine) -> dict[str, str]:
    manifest = engine.manifest
    return {
        "kind": "a bundle" if args.checkpoint is None else "a checkpoint before its export",
        "name": manifest.name,
        "backbone": manifest.backbone,
        "sha256": manifest.model_sha256,
        "trained_on": manifest.trained_on,
        "engine": f"{engine.name} on {engine.device}, {engine.precision}",
    }


def _settings(args: argparse.Namespace) -> dict[str, str]:
    """The settings in words, for the report's header."""
    on = args.input is not None and not args.no_stabilize
    return {
        "stabilizer": "on" if on else "off: each image by itself",
        "flip averaging": "yes" if args.flip else "no",
        "median scaling": "yes" if args.median_scaling else "no: meters as the network gives them",
        "scale": "; ".join(mark for mark in _marks(args) if mark.startswith("scale")) or "the network's own",
    }
