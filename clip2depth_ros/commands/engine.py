# SPDX-License-Identifier: Apache-2.0
"""TensorRT engines: build them ahead, list the cached ones, check one, remove them.

A TensorRT engine is built on the GPU that runs it, which takes minutes on a Jetson, and is then cached. An
engine of TensorRT RTX is built in seconds; with --target, on any computer. The node and every command build a
missing engine automatically; `build` does it ahead.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from clip2depth_ros.bundle import Bundle, open_bundle
from clip2depth_ros.commands._shared.engine_options import (
    BuildLine,
    add_bundle_argument,
    add_engine_choice,
    add_precision_argument,
    open_chosen_engine,
)
from clip2depth_ros.engines.cache import RTX, CachedEngine, clear_cached, engine_folder, list_cached
from clip2depth_ros.engines.tensorrt.engine import build_ahead
from clip2depth_ros.errors import Clip2DepthError

HELP = "build TensorRT engines ahead; list, check and clear them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = _action(actions, "build", _build, "build the engine of a bundle on this GPU, unless it is cached")
    add_bundle_argument(build)
    build.add_argument(
        "--engine",
        default="tensorrt",
        choices=("tensorrt", RTX),
        help="which of the two (default: %(default)s)",
    )
    add_precision_argument(build)
    build.add_argument(
        "--target",
        metavar="CAPABILITY[,...]",
        help="compute capabilities to build for, such as 8.6,8.9,12.0; tensorrt_rtx only, needs no GPU "
        "(default: this computer's GPU)",
    )
    build.add_argument("--again", action="store_true", help="build again: remove the cached engine first")
    _action(actions, "list", _list, "list the cached engines")
    check = _action(actions, "check", _check, "open an engine and compare it with the bundle's check sample")
    add_bundle_argument(check)
    add_engine_choice(check)
    clear = _action(actions, "clear", _clear, "remove cached engines")
    clear.add_argument("--bundle", metavar="NAME", help="only those of this bundle")


def _action(actions, name: str, run, text: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.add_argument(
        "--cache",
        dest="engine_cache",
        type=Path,
        metavar="DIR",
        help="folder of the engines (default: the user's cache)",
    )
    parser.set_defaults(act=run)
    return parser


def run(args: argparse.Namespace) -> int:
    return args.act(args)


def _build(args: argparse.Namespace) -> int:
    bundle = open_bundle(args.bundle)
    if args.again:
        clear_cached(args.engine_cache, bundle=bundle.name)
    if args.target is not None:
        return _build_ahead(args, bundle)
    with open_chosen_engine(args, bundle) as engine:
        print(f"Bundle '{bundle.name}' on {_in_words(engine)}.")
    return 0


def _build_ahead(args: argparse.Namespace, bundle: Bundle) -> int:
    if args.engine != RTX:
        raise Clip2DepthError(
            f"--target needs --engine {RTX}: TensorRT itself builds on the GPU that runs the engine."
        )
    targets = [target.strip() for target in args.target.split(",")]
    if not all(re.fullmatch(r"\d+\.\d", target) for target in targets):
        raise Clip2DepthError(f"--target {args.target}: expected compute capabilities such as 8.6,8.9,12.0.")
    with BuildLine() as line:
        path = build_ahead(
            bundle, targets, precision=args.precision or "fp16", cache_dir=args.engine_cache, progress=line
        )
    print(f"Bundle '{bundle.name}': {path}, {path.stat().st_size / 1e6:.1f} MB.")
    print("It is compared with the bundle's check sample when it is opened on a GPU.")
    return 0


def _check(args: argparse.Namespace) -> int:
    bundle = open_bundle(args.bundle)
    with open_chosen_engine(args, bundle) as engine:
        for attempt in engine.attempts:
            print(attempt)
        print(f"Bundle '{bundle.name}' on {_in_words(engine)}.")
    return 0


def _in_words(engine) -> str:
    return (
        f"{engine.name} {engine.precision} ({engine.device}): differs by {engine.difference:.3%} from its "
        "check sample (99th percentile)"
    )


def _list(args: argparse.Namespace) -> int:
    folder = engine_folder(args.engine_cache)
    engines = list_cached(args.engine_cache)
    if not engines:
        print(f"No engine in {folder}; `clip2depth engine build` builds one.")
        return 0
    print(f"{folder}:")
    for engine in engines:
        print(_row(engine))
    return int(any(engine.key is None for engine in engines))


def _row(engine: CachedEngine) -> str:
    megabytes = f"{engine.size / 1e6:6.1f} MB"
    if engine.key is None:
        return f"{megabytes}  {engine.path.name} {engine.problem}; it is built again when needed"
    key = engine.key
    _, height, width, _ = key.input_shape
    took = "" if engine.build_seconds is None else f" in {engine.build_seconds:.0f} s"
    what = f"{key.bundle} {width}x{height} {key.precision}, {key.machine}"
    return f"{megabytes}  {what}, built {engine.built}{took}"


def _clear(args: argparse.Namespace) -> int:
    removed = clear_cached(args.engine_cache, bundle=args.bundle)
    for path in removed:
        print(f"removed {path.name}")
    print(f"{len(removed)} files removed from {engine_folder(args.engine_cache)}.")
    return 0
