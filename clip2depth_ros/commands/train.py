# SPDX-License-Identifier: Apache-2.0
"""`clip2depth train`: a recipe from rendered rooms to a checkpoint, resumable at any point."""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError

HELP = "train by a recipe; run it again in the same folder to continue"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, required=True, help="recipe: a file, or the name of one that ships"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the run: checkpoints and logs")
    parser.add_argument("--cache", type=Path, help="folder for rendered views (default: ~/.cache/clip2depth)")
    parser.add_argument(
        "--only",
        choices=("render", "train"),
        help="render the views and stop, or train on those there are (more may be rendered meanwhile)",
    )


def run(args: argparse.Namespace) -> int:
    if find_spec("torch") is None or find_spec("open_clip") is None:
        raise Clip2DepthError("training needs PyTorch and open_clip: pip install 'clip2depth_ros[train]'")
    from clip2depth_ros.training.configuration import read_recipe
    from clip2depth_ros.training.recipe import Run, write_summary
    from clip2depth_ros.training.rooms import RoomViews, default_cache

    recipe = read_recipe(_find_config(args.config))
    rooms = RoomViews(recipe.views, args.cache or default_cache())
    if args.only != "train":
        rooms.render()
    if args.only == "render":
        return 0
    started = time.monotonic()
    training = Run(recipe, args.output, rooms)
    checkpoint = training.train()
    write_summary(training, time.monotonic() - started)
    print(f"{checkpoint}: trained; next: clip2depth export --checkpoint {checkpoint} --output BUNDLE")
    return 0


def _find_config(path: Path) -> Path:
    shipped = Path(__file__).parent.parent / "training" / "configs"
    if not path.exists() and path.parent == Path() and (shipped / path.name).exists():
        return shipped / path.name
    if not path.exists():
        names = ", ".join(sorted(p.name for p in shipped.glob("*.yaml")))
        raise Clip2DepthError(f"no configuration {path}: give a file, or one that ships: {names}")
    return path
