# SPDX-License-Identifier: Apache-2.0
"""`clip2depth train`: train a recipe to a checkpoint; a run can be interrupted and resumed at any point.

On several devices or machines: `accelerate launch -m clip2depth_ros train ...`.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros.errors import Clip2DepthError

HELP = "train a recipe; run it again in the same folder to continue"
NEEDS = ("torch", "open_clip", "accelerate", "tensorboard")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder of the run: checkpoints and logs")
    parser.add_argument(
        "--start-clip",
        metavar="WHICH",
        help="initial weights, if the recipe trains its own CLIP: CLIP weights (safetensors), or "
        "the name or path of a bundle, whose image tower and decoder are trained further",
    )
    parser.add_argument("--only", choices=("render",), help="only render the views that the recipe needs")
    parser.add_argument(
        "--limit-steps", type=int, metavar="N", help="stop each stage after N steps, for a trial"
    )


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `train` and `ablate` share."""
    parser.add_argument(
        "--config", type=Path, required=True, help="recipe: a file, or the name of an included one"
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="parent folder of the recipe's data sets")
    parser.add_argument("--cache", type=Path, help="folder for rendered views (default: ~/.cache/clip2depth)")
    parser.add_argument(
        "--clip-weights",
        metavar="WHICH",
        help="pretrained, random (for a trial), a safetensors file, or the name or path of a bundle to train "
        "further; replaces the recipe's weights, and a CLIP that it would train",
    )
    parser.add_argument("--seed", type=int, help="replaces the recipe's seed")


def read_chosen_recipe(args: argparse.Namespace):
    """The recipe that the arguments select, with their changes. Raises Clip2DepthError without PyTorch."""
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise Clip2DepthError(
            f"training needs {', '.join(missing)} (PyTorch and related packages): "
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
        print(
            f"{checkpoint}: training complete; next: clip2depth export --checkpoint {checkpoint} --output "
            "BUNDLE"
        )
    return 0


def find_config(path: Path) -> Path:
    shipped = Path(__file__).parent.parent / "training" / "configs"
    if not path.exists() and path.parent == Path() and (shipped / path.name).exists():
        return shipped / path.name
    if not path.exists():
        names = ", ".join(sorted(p.name for p in shipped.glob("*.yaml")))
        raise Clip2DepthError(f"no configuration {path}: give a file or an included configuration: {names}")
    return path
