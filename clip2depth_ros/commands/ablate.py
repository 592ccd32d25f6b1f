# SPDX-License-Identifier: Apache-2.0
"""`clip2depth ablate`: train a recipe repeatedly with one change each, and compare the errors in one table.

Every row uses the same images, steps and seeds, and is evaluated on the recipe's test data (or its validation
data if it names none). When run again with the same arguments, it continues where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from clip2depth_ros.commands.train import add_recipe_arguments, read_chosen_recipe

HELP = "train without mirror, with other conditions, without skips, over seeds: one table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder for all runs and the table")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each row (default: 3)")
    parser.add_argument(
        "--rows", nargs="+", metavar="ROW", help="mirror, random, sentence, none, no-skips (default: all)"
    )


def run(args: argparse.Namespace) -> int:
    recipe = read_chosen_recipe(args)
    from clip2depth_ros.training.ablation import ROWS, Ablation, write_tables
    from clip2depth_ros.training.recipe import Run

    def make_run(recipe, directory: Path) -> Run:
        return Run(recipe, directory, root=args.root, cache=args.cache)

    test_sets = make_run(recipe, args.output).open(recipe.data.test or recipe.data.validation)
    for data_set in test_sets:
        data_set.prepare()
    ablation = Ablation(
        recipe,
        args.output,
        rows=args.rows or tuple(ROWS),
        seeds=args.seeds,
        judge=lambda checkpoint, folder: _evaluate(checkpoint, folder, test_sets),
        make_run=make_run,
    )
    table = write_tables(args.output, ablation.run())
    print(f"{table}\nWritten to {args.output}: ablation.md, ablation.csv, ablation.json.")
    return 0


def _evaluate(checkpoint: Path, folder: Path, data_sets) -> dict[str, float]:
    """Mean errors of a checkpoint over the data sets, by the rule of the first one's benchmark."""
    from clip2depth_ros.evaluation.engine_wrappers import Watched
    from clip2depth_ros.evaluation.evaluate import Evaluation
    from clip2depth_ros.metrics.benchmark_rules import find_rule
    from clip2depth_ros.pipeline import Pipeline
    from clip2depth_ros.training.ablation import ERRORS
    from clip2depth_ros.training.validation.network_engine import NetworkEngine

    rule = find_rule(data_sets[0].benchmark)
    with NetworkEngine(checkpoint) as engine:
        watched = Watched(engine)
        pipeline = Pipeline(watched, stabilizer=None)
        try:
            with Evaluation(pipeline, watched, rule, folder / "evaluation", temporal=False) as evaluation:
                for data_set in data_sets:
                    for frame in data_set:
                        evaluation.add(frame, follows=False)
                metrics = evaluation.finish({})
        finally:
            pipeline.close()
    errors = {name: metrics["errors"][name] for name in ERRORS}
    if metrics["blockiness"]:
        errors["blockiness"] = metrics["blockiness"]["ratio"]
    return errors
