# SPDX-License-Identifier: Apache-2.0
"""The ablations of the paper: the same training with one change, over several seeds, in one table."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.files.bounded import load_json
from clip2depth_ros.files.replacing import write_whole
from clip2depth_ros.training.configuration import Recipe
from clip2depth_ros.training.recipe import Run

ERRORS = ("abs_rel", "rmse", "log10", "delta1", "delta2", "delta3")
DECIMALS = 4
COMPARED = "abs_rel"  # with the first row, seed by seed, which removes the influence of the seed


# Required keys of a run's result.json.
RESULT = {"row", "seed", "budget", "trainable", "errors"}


@dataclass(frozen=True)
class Row:
    """One row: its description, and its changes of the recipe's network."""

    meaning: str
    changes: dict


ROWS = {
    "mirror": Row("mirror, trained (the paper)", {}),
    "random": Row("mirror, random and frozen", {"condition": "random"}),
    "sentence": Row('"How far is this location from the camera?"', {"condition": "sentence"}),
    "none": Row("no text condition", {"condition": "none"}),
    "no-skips": Row("mirror, trained; decoder without skips", {"skips": False}),
}


class Ablation:
    """Trains and evaluates every row with every seed, each in its own folder. Finished runs are not repeated.

    recipe     of every row, except for its changes; a CLIP is trained once for all rows
    judge      (checkpoint, folder) -> errors, at least ERRORS; on images that were not used for selection
    make_run   (recipe, directory) -> Run
    """

    def __init__(
        self,
        recipe: Recipe,
        directory: Path,
        *,
        rows: Sequence[str],
        seeds: int,
        judge: Callable[[Path, Path], dict[str, float]],
        make_run: Callable[[Recipe, Path], Run],
    ) -> None:
        unknown = [name for name in rows if name not in ROWS]
        if unknown:
            raise Clip2DepthError(f"no ablation '{unknown[0]}': known ones are {', '.join(ROWS)}")
        if recipe.pretrain is None and recipe.network.weights_are_a_bundle:
            raise Clip2DepthError(
                f"an ablation trains every decoder from the start, but {recipe.network.weights} is a bundle: "
                "give the CLIP's weights, a safetensors file, by --clip-weights"
            )
        if seeds < 1:
            raise Clip2DepthError(f"an ablation needs at least one seed, not {seeds}")
        self.recipe, self.directory = recipe, Path(directory)
        self.rows = tuple(rows)
        self.seeds = tuple(range(recipe.seed, recipe.seed + seeds))
        self._judge, self._make_run = judge, make_run

    def run(self) -> list[dict]:
        """All results, in order of seed, then row; missing ones are trained first."""
        recipe = self._on_one_clip()
        return [self._result(recipe, name, seed) for seed in self.seeds for name in self.rows]

    def _on_one_clip(self) -> Recipe:
        """The recipe with its CLIP as given weights, so that rows differ in mirror and decoder only."""
        if self.recipe.pretrain is None:
            return self.recipe
        run = self._make_run(self.recipe, self.directory / "clip")
        run.pretrain()
        network = dataclasses.replace(self.recipe.network, weights=str(run.clip_file.resolve()))
        return dataclasses.replace(self.recipe, network=network, pretrain=None)

    def _result(self, recipe: Recipe, name: str, seed: int) -> dict:
        folder = self.directory / name / f"seed-{seed}"
        file = folder / "result.json"
        network = dataclasses.replace(recipe.network, **ROWS[name].changes)
        recipe = dataclasses.replace(recipe, network=network, seed=seed)
        budget = {"recipe": recipe.name, "images": recipe.depth.images, "size": list(network.size)}
        if file.exists():
            result = load_json(file)
            if not isinstance(result, dict) or not result.keys() >= RESULT:
                raise Clip2DepthError(f"{file} is not a result of an ablation: remove it")
            if result["budget"] != budget:
                raise Clip2DepthError(
                    f"{file} had the budget {printable(result['budget'], 200)}, not {budget}: ablate in "
                    "another folder"
                )
            return result
        run = self._make_run(recipe, folder)
        checkpoint = run.train()
        result = {
            "row": name,
            "seed": seed,
            "budget": budget,
            "trainable": run.trainable,
            "errors": self._judge(checkpoint, folder),
        }
        write_whole(file, json.dumps(result, indent=2) + "\n")
        return result


def summarize(results: Sequence[dict]) -> list[dict]:
    """A dictionary per row, in order of first appearance: mean and sample standard deviation over seeds.

    "difference": of COMPARED, from the first row of the same seed; None in the first row.
    """
    rows = []
    first = {r["seed"]: r["errors"][COMPARED] for r in results if r["row"] == results[0]["row"]}
    for name in dict.fromkeys(result["row"] for result in results):
        ours = [result for result in results if result["row"] == name]
        errors = dict.fromkeys(error for result in ours for error in result["errors"])
        apart = [r["errors"][COMPARED] - first[r["seed"]] for r in ours if r["seed"] in first]
        rows.append(
            {
                "row": name,
                "meaning": ROWS[name].meaning,
                "seeds": [result["seed"] for result in ours],
                "trainable": ours[0]["trainable"],
                "errors": {error: _spread([r["errors"][error] for r in ours]) for error in errors},
                "difference": _spread(apart) if rows and apart else None,
            }
        )
    return rows


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "deviation": deviation}


def markdown(rows: Sequence[dict]) -> str:
    """The table, mean ± sample standard deviation."""
    errors = list(rows[0]["errors"])
    lines = [
        f"| | trainable | {' | '.join(errors)} | {COMPARED} against the first row, seed by seed |",
        "|---|" + "---:|" * (len(errors) + 2),
    ]
    for row in rows:
        cells = [_cell(**row["errors"][error]) for error in errors]
        cells.append("" if row["difference"] is None else _cell(**row["difference"], sign="+"))
        lines.append(f"| {row['meaning']} | {row['trainable']:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(mean: float, deviation: float | None, sign: str = "") -> str:
    spread = "" if deviation is None else f" ± {deviation:.{DECIMALS}f}"
    return f"{mean:{sign}.{DECIMALS}f}{spread}"


def write_tables(folder: Path, results: Sequence[dict]) -> str:
    """Write ablation.md (mean and standard deviation), ablation.csv (every run) and ablation.json (both).

    Returns the text of ablation.md.
    """
    rows = summarize(results)
    text = markdown(rows)
    write_whole(folder / "ablation.md", text)
    table = io.StringIO()
    writer = csv.writer(table)
    errors = list(results[0]["errors"])
    writer.writerow(["row", "seed", "trainable", *errors])
    for result in results:
        numbers = [f"{result['errors'][error]:.6g}" for error in errors]
        writer.writerow([result["row"], result["seed"], result["trainable"], *numbers])
    write_whole(folder / "ablation.csv", table.getvalue())
    facts = {"rows": rows, "runs": list(results)}
    write_whole(folder / "ablation.json", json.dumps(facts, indent=2) + "\n")
    return text
