# SPDX-License-Identifier: Apache-2.0
"""`clip2depth train`: a recipe from its data to a checkpoint, resumable at any point.

On several devices or machines: `accelerate launch -m clip2depth_ros train ...`.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError

HELP = "train by a recipe; run it again in the same folder to continue"
NEEDS = ("torch", "open_clip", "accelerate", "tensorboard")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder of the run: checkpoints and logs")
    parser.add_argument(
        "--start-clip",
        metavar="WHICH",
        help="what to begin with, where the recipe trains a CLIP of its own: CLIP weights (safetensors), or "
        "a bundle by name or path, whose image tower and decoder are then trained further",
    )
    parser.add_argument(
        "--only", choices=("render",), help="render the views that the recipe needs, and stop there"
    )
    parser.add_argument(
        "--limit-steps", type=int, metavar="N", help="stop each stage after so many steps, to try things out"
    )


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """What `train` and `ablate` share."""
    parser.add_argument(
        "--config", type=Path, required=True, help="recipe: a file, or the name of one that ships"
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="folder that the recipe's data sets are below"
    )
    parser.add_argument("--cache", type=Path, help="folder for rendered views (default: ~/.cache/clip2depth)")
    parser.add_argument(
        "--clip-weights",
        metavar="WHICH",
        help="pretrained, random (to try things out), a safetensors file, or a bundle to train further, by "
        "name or path; in place of the recipe's, and of a CLIP that it would train",
    )
    parser.add_argument("--seed", type=int, help="in place of the recipe's")


def read_chosen_recipe(args: argparse.Namespace):
    """The recipe that the arguments name, changed as they say. Clip2DepthError without PyTorch."""
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise Clip2DepthError(
            f"training needs {', '.join(missing)} (PyTorch and what belongs to it): "
            "pip install 'clip2depth_ros[train]'"
        )
    import dataclasses

    from clip2depth_ros.training.configuration import read_recipe

    recipe = read_recipe(find_config(args.config))
    if args.clip_weights is not None:
        weights = args.clip_weights
        if weights.endswith(".safetensors"):
            weights = str(Path(weights).resolve())
        network = dataclasses.replace(recipe.network, weights=weights)
        recipe = dataclasses.replace(recipe, network=network, pretrain=None)
    if args.seed is not None:
        recipe = dataclasses.replace(recipe, seed=args.seed)
    return recipe


def run(args: argparse.Namespace) -> int:
    recipe = read_chosen_recipe(args)
    from clip2depth_ros.training.recipe import Run

    if args.limit_steps is not None and args.limit_steps < 1:
        raise Clip2DepthError(f"--limit-steps must be at least 1, not {args.limit_steps}")
    training = Run(recipe, args.output, root=args.root, cache=args.cache, start=args.start_clip)
    if args.only == "render":
        training.prepare()
        return 0
    checkpoint = training.train(args.limit_steps)
    if training.accelerator.is_main_process:
        if find_spec("matplotlib") is not None:
            from clip2depth_ros.training.curves import draw_curve

            print(f"{draw_curve(args.output, 'depth')}: the learning curve")
        print(f"{checkpoint}: trained; next: clip2depth export --checkpoint {checkpoint} --output BUNDLE")
    return 0


def find_config(path: Path) -> Path:
    shipped = Path(__file__).parent.parent / "training" / "configs"
    if not path.exists() and path.parent == Path() and (shipped / path.name).exists():
        return shipped / path.name
    if not path.exists():
        names = ", ".join(sorted(p.name for p in shipped.glob("*.yaml")))
        raise Clip2DepthError(f"no configuration {path}: give a file, or one that ships: {names}")
    return path
