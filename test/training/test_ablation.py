# SPDX-License-Identifier: Apache-2.0
# nothing of ours is imported where PyTorch is missing
import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs PyTorch")

import clip2depth_ros.training as training
from clip2depth_ros.cli import main
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.ablation import ERRORS, ROWS, Ablation, summarize, write_tables
from clip2depth_ros.training.configuration import read_recipe

pytestmark = pytest.mark.torch


class MadeUpRun:
    """Remembers what it was to train."""

    trainable = 10
    trained: list

    def __init__(self, recipe, directory):
        self.recipe, self.directory = recipe, directory
        self.clip_file = directory / "clip.safetensors"

    def pretrain(self):
        self.trained.append(("clip", self.recipe.seed, None, None))

    def train(self):
        network = self.recipe.network
        self.trained.append((self.directory.parent.name, self.recipe.seed, network.condition, network.skips))
        self.directory.mkdir(parents=True)
        assert self.recipe.pretrain is None and network.weights.endswith(".safetensors")
        return self.directory / "checkpoint.safetensors"


@pytest.fixture
def ablation(tmp_path):
    MadeUpRun.trained = []

    def make(recipe="ablation_sim", rows=tuple(ROWS), seeds=2):
        return Ablation(
            read_recipe(Path(training.__file__).parent / "configs" / f"{recipe}.yaml"),
            tmp_path,
            rows=rows,
            seeds=seeds,
            judge=lambda checkpoint, folder: dict.fromkeys(ERRORS, float(folder.name[-1])),
            make_run=MadeUpRun,
        )

    return make


def test_each_row_changes_one_thing_and_has_every_seed(ablation):
    results = ablation().run()
    assert MadeUpRun.trained[:5] == [
        ("mirror", 1, "mirror", True),
        ("random", 1, "random", True),
        ("sentence", 1, "sentence", True),
        ("none", 1, "none", True),
        ("no-skips", 1, "mirror", False),
    ]
    assert [row[1] for row in MadeUpRun.trained] == [1] * 5 + [2] * 5
    assert len({json.dumps(result["budget"]) for result in results}) == 1


def test_what_is_finished_is_not_repeated(ablation):
    ablation(rows=("mirror", "none")).run()
    MadeUpRun.trained.clear()
    ablation(seeds=3, rows=("mirror", "random")).run()
    trained = [row[:2] for row in MadeUpRun.trained]
    assert trained == [("random", 1), ("random", 2), ("mirror", 3), ("random", 3)]


def test_another_budget_does_not_share_a_table(ablation, tmp_path):
    ablation(rows=("mirror",)).run()
    with pytest.raises(Clip2DepthError, match=r"had the budget .*ablation_sim.* ablate in another folder"):
        ablation("mini_sim", rows=("mirror",)).run()


def test_a_clip_of_its_own_is_trained_once_for_all(ablation):
    ablation("mini_sim", rows=("mirror", "none")).run()
    assert [row[0] for row in MadeUpRun.trained] == ["clip", "mirror", "none", "mirror", "none"]


def test_mean_and_spread_by_hand(tmp_path):
    results = [
        {"row": row, "seed": seed, "trainable": parameters, "errors": {"abs_rel": value, "delta1": 0.5}}
        for row, seed, parameters, value in (
            ("mirror", 1, 7, 0.1), ("none", 1, 5, 0.2), ("mirror", 2, 7, 0.2), ("none", 2, 5, 0.4),
            ("mirror", 3, 7, 0.6), ("random", 1, 5, 0.05),
        )
    ]  # fmt: skip
    mirror, none, random = summarize(results)
    assert mirror["errors"]["abs_rel"] == {"mean": pytest.approx(0.3), "deviation": pytest.approx(0.07**0.5)}
    assert mirror["difference"] is None
    # apart from the same seed's: 0.1 and 0.2
    assert none["difference"] == {"mean": pytest.approx(0.15), "deviation": pytest.approx(0.005**0.5)}
    assert random["difference"] == {"mean": pytest.approx(-0.05), "deviation": None}
    table = write_tables(tmp_path, results)
    assert "| mirror, trained (the paper) | 7 | 0.3000 ± 0.2646 | 0.5000 ± 0.0000 |  |" in table
    assert "| no text condition | 5 | 0.3000 ± 0.1414 | 0.5000 ± 0.0000 | +0.1500 ± 0.0707 |" in table
    assert "| mirror, random and frozen | 5 | 0.0500 | 0.5000 | -0.0500 |" in table
    assert (tmp_path / "ablation.md").read_text() == table
    rows = list(csv.DictReader((tmp_path / "ablation.csv").open()))
    assert [row["abs_rel"] for row in rows] == ["0.1", "0.2", "0.2", "0.4", "0.6", "0.05"]
    assert len(json.loads((tmp_path / "ablation.json").read_text())["runs"]) == 6


def test_unknown_rows_and_no_seeds_are_refused(ablation):
    with pytest.raises(Clip2DepthError, match="no ablation 'mirrow': known ones are mirror, random"):
        ablation(rows=("mirrow",))
    with pytest.raises(Clip2DepthError, match="at least one seed, not 0"):
        ablation(seeds=0)


@pytest.mark.slow
def test_the_command_ends_in_a_table(tmp_path, small_recipe, capsys):
    """Two steps of one row, judged on made-up rooms."""
    depth = {"images": 4, "phases": [{"share": 1, "size": [32, 64], "batch": 2}]}
    given = small_recipe(depth, 4, {"canonical_focal_px": 60.0}, precision="no")
    call = ["ablate", *given, "--output", str(tmp_path / "out")]
    assert main([*call, "--rows", "none", "--seeds", "1"]) == 0
    said = capsys.readouterr().out
    assert "| no text condition |" in said and "Written to" in said
    assert (tmp_path / "out" / "none" / "seed-0" / "result.json").exists()
