#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tells near from far? The bundle mini, trained further with one change per row, at equal budgets.

    python benchmark/clues.py --root ROOT --output FOLDER [--images N] [--seeds N]

ROOT holds the real frames of mini_near.yaml. Image tower and decoder are trained jointly by the first stage
of mini_near.yaml, captions included, but with AdamW, small batches and a lower learning rate, and on
simulated scenes of other seeds. All rows have the same number of images. A table of the rows finished so far
is in FOLDER/table.md; call the command again to continue after an interruption: finished rows are not
repeated, one that was interrupted starts anew.

AbsRel in meters / after scaling each view by its median: simulated places and near scenes that no network was
trained on, and the indoor validation folders of mini_near.yaml (mean over folders). near: median of depth /
truth, of all pixels of the near scenes that are nearer than 0.5 m. Images per second: of training, with one
thread. With several seeds: mean and half of the range.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import open_clip
import torch
from timm.models.resnet import BasicBlock
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.commands.train import find_config
from clip2depth_ros.files.replacing import write_whole
from clip2depth_ros.io.results import TRUTH_RANGE
from clip2depth_ros.metrics.depth import depth_errors
from clip2depth_ros.network import Clip2Depth, create_clip, find_backbone
from clip2depth_ros.training.averaging import WeightAverage, trained_state
from clip2depth_ros.training.configuration import Phase, Recipe, Stage, read_recipe
from clip2depth_ros.training.datasets import DataSet, below, open_data_set
from clip2depth_ros.training.loss.objectives import ClipWithDepth, PretrainObjective, network_depth
from clip2depth_ros.training.optimizers import create_optimizer
from clip2depth_ros.training.recovery import load_bundle_weights
from clip2depth_ros.training.schedule import Schedule
from clip2depth_ros.training.views.augmentation import Augmentation
from clip2depth_ros.training.views.batches import Batch, BatchMaker, collate

SMALL, LARGE, OWN = (128, 160), (192, 256), (160, 224)  # (height, width); OWN is mini's
BATCH, RATE = 16, 3e-4  # with 1e-3, as in the recipe, base is worse than mini on places after 3,200 images
NEAR_M = 0.5
SCENES = {"places": {"places": 500}, "rooms": {"rooms": 128}, "near": {"scenes": 250}}
TESTS = {"places": {"places": 32}, "near": {"scenes": 32}}
NEW, UNSEEN = 100_000, 3_000_009_000_000  # first seeds of SCENES and TESTS: mini was not trained on them


@dataclass(frozen=True)
class Row:
    """Changes of the training. real: share of the draws. degraded: factor of the blur and noise added."""

    meaning: str
    size: tuple[int, int] = SMALL
    trained: bool = True
    real: float = 0.06
    near: bool = True
    degraded: float = 1.0
    focal: bool = False
    deeper: bool = False


ROWS = {
    "mini": Row("`mini`, not trained further, at 160x128", trained=False),
    "mini own": Row("`mini`, not trained further, at 224x160", OWN, trained=False),
    "mini large": Row("`mini`, not trained further, at 256x192", LARGE, trained=False),
    "base": Row("base, at 160x128"),
    "no real": Row("no real frames (base: 6 % of the draws)", real=0.0),
    "more real": Row("real frames: 16 % of the draws", real=0.16),
    "no near": Row("no near scenes", near=False),
    "clean": Row("no blur and noise in augmentation", degraded=0.0),
    "degraded": Row("twice the blur and noise", degraded=2.0),
    "focal": Row("focal length as an input", focal=True),
    "large": Row("larger input, 256x192", LARGE),
    "deeper": Row("deeper image tower", deeper=True),
}


class WithFocal(nn.Module):
    """The decoder's first layer with one more input channel: log(focal length in pixels / 200) everywhere.

    Its weights are zero at first. `focal_px`: (B,), to be set before each batch.
    """

    def __init__(self, layer: nn.Module, channels: int) -> None:
        super().__init__()
        self.layer, self.weight = layer, nn.Parameter(torch.zeros(channels))
        self.focal_px = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (
            self.layer(x) + torch.log(self.focal_px / 200.0)[:, None, None, None] * self.weight[:, None, None]
        )


class Objective(PretrainObjective):
    """PretrainObjective that tells the network the focal lengths, where it takes them."""

    def forward(self, batch: Batch, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        give_focal(self.module.network, batch.intrinsics)
        return super().forward(batch, step)


def give_focal(network: Clip2Depth, intrinsics: np.ndarray) -> None:
    """intrinsics: (B, 3, 3), pixels."""
    if isinstance(network.decoder.reduce[0], WithFocal):
        network.decoder.reduce[0].focal_px = torch.from_numpy(intrinsics[:, 0, 0])


def start(row: Row, recipe: Recipe, images: np.ndarray) -> ClipWithDepth:
    """mini with the row's changes, and a text tower with random weights; computes mini's depth.

    images: (B, H, W, 3) uint8, for the batch norms' statistics.
    """
    backbone, wanted = find_backbone(recipe.network.backbone), recipe.network
    clip = create_clip(backbone)
    network = Clip2Depth(
        clip, backbone, size=row.size, depth_range=wanted.depth_range,
        canonical_focal_px=wanted.canonical_focal_px, frozen=False,
    )  # fmt: skip
    load_bundle_weights(network, open_bundle("mini"), images)
    if row.deeper:  # one residual block more per stage; the zero weight makes it the identity
        for name, channels in zip(network.image_tower.taps, network.image_tower.channels, strict=True):
            block = BasicBlock(channels, channels)
            nn.init.zeros_(block.bn2.weight)
            network.image_tower.get_submodule(f"stages.{name}").append(block)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    if row.focal:
        network.decoder.reduce[0] = WithFocal(network.decoder.reduce[0], backbone.decoder_widths[0])
    module = ClipWithDepth(clip, network, open_clip.get_tokenizer(backbone.clip))
    return module.to(memory_format=torch.channels_last)


def train(module: ClipWithDepth, stage: Stage, batches: BatchMaker, seed: int) -> tuple[float, WeightAverage]:
    """Images per second, and the average of the weights."""
    objective = Objective(module, stage).train()
    optimizer = create_optimizer(
        objective, stage.optimizer, learning_rate=stage.learning_rate, weight_decay=stage.weight_decay
    )
    average = WeightAverage(trained_state(objective), stage.average)
    schedule, began = Schedule(stage), time.monotonic()
    for step in range(schedule.steps):
        batch = batches(step, size=stage.phases[0].size, count=BATCH)
        torch.manual_seed((seed << 32) + step)
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(step)
        loss, _ = objective(batch, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(objective.parameters(), stage.clip_norm, error_if_nonfinite=True)
        optimizer.step()
        average.update(step)
        if step % 20 == 0:
            print(f"  {step * BATCH} images, loss {loss.item():.3f}", file=sys.stderr, flush=True)
    return schedule.images / (time.monotonic() - began), average


def whole_views(data_set: DataSet, size: tuple[int, int], focal: float | None) -> Batch:
    """All frames, letterboxed as in the node."""
    plain, rng = Augmentation(letterbox=1.0), np.random.default_rng(0)
    views = [plain.apply(frame, size=size, canonical_focal_px=focal, rng=rng) for frame in data_set]
    return collate(views)


def compare(network: Clip2Depth, batch: Batch) -> tuple[list[float], np.ndarray]:
    """Mean AbsRel in meters and scaled by the median; depth / truth of the pixels nearer than NEAR_M."""
    errors, ratios = [], []
    for i in range(len(batch)):
        give_focal(network, batch.intrinsics[i : i + 1])
        depth = network_depth(network, batch.image[i : i + 1])[0] / batch.scale[i]
        truth = batch.depth[i] / batch.scale[i]
        found = depth_errors(depth, truth, depth_min=TRUTH_RANGE[0], depth_max=TRUTH_RANGE[1])
        if found is not None:
            errors.append([found["abs_rel"], found["abs_rel_scaled"]])
        near = (truth > TRUTH_RANGE[0]) & (truth < NEAR_M)
        ratios.append(depth[near] / truth[near])
    return np.mean(errors, axis=0).tolist(), np.concatenate(ratios)


def rendered(kind: str, seed: int, counts: dict[str, int]) -> DataSet:
    entry = {"kind": kind, "split": "all", "size": [192, 256], "seed": seed, "workers": 1}
    data_set = open_data_set(entry | counts)
    data_set.prepare()
    return data_set


class Experiment:
    """Data and recipe of all rows. root: folder of the real frames."""

    def __init__(self, root: Path, images: int) -> None:
        self.recipe = read_recipe(find_config(Path("mini_near.yaml")))
        # not Muon: its products in bf16 take most of the time on a CPU without bf16
        self.stage = replace(self.recipe.pretrain, images=images, optimizer="adamw", learning_rate=RATE)
        data = self.recipe.data
        self.simulated = {kind: rendered(kind, NEW, counts) for kind, counts in SCENES.items()}
        self.weights = {e["kind"]: e["weight"] for e in data.training if e["kind"] in SCENES}
        self.real = [
            (open_data_set(below(e, root)), float(e["weight"])) for e in data.training if e["kind"] == "rgbd"
        ]
        self.tests = {kind: [rendered(kind, UNSEEN, counts)] for kind, counts in TESTS.items()}
        indoor = [e for e in data.validation if e["kind"] == "rgbd" and not e["root"].startswith("pjlab")]
        self.tests["real"] = [open_data_set(below(e, root)) for e in indoor]

    def batches(self, row: Row, seed: int) -> BatchMaker:
        kinds = [kind for kind in SCENES if row.near or kind != "near"]
        total, real = sum(self.weights[kind] for kind in kinds), sum(weight for _, weight in self.real)
        drawn = [(self.simulated[kind], (1 - row.real) * self.weights[kind] / total) for kind in kinds]
        drawn += [(data_set, row.real * weight / real) for data_set, weight in self.real]
        look = self.stage.augmentation
        look = replace(look, hue=0.9, blur=look.blur * row.degraded, noise=look.noise * row.degraded)
        sets, weights = zip(*drawn, strict=True)
        return BatchMaker(sets, weights, look, (seed, 0), self.recipe.network.canonical_focal_px)

    def run(self, row: Row, seed: int) -> dict[str, float]:
        """The row's errors by name, and "rate", images per second."""
        torch.manual_seed(seed)
        batches = self.batches(row, seed)
        module = start(row, self.recipe, batches(0, size=row.size, count=BATCH).image)
        if not row.trained:
            return self.measure(module.network, row.size)
        stage = replace(self.stage, phases=(Phase(1.0, row.size, BATCH),))
        rate, average = train(module, stage, batches, seed)
        with average.applied():
            return self.measure(module.network, row.size) | {"rate": rate}

    def measure(self, network: Clip2Depth, size: tuple[int, int]) -> dict[str, float]:
        found = {}
        for name, data_sets in self.tests.items():
            focal = self.recipe.network.canonical_focal_px
            each = [compare(network, whole_views(data_set, size, focal)) for data_set in data_sets]
            found[name], found[f"{name} scaled"] = np.mean([errors for errors, _ in each], axis=0).tolist()
            if name == "near":
                found["ratio"] = float(np.median(each[0][1]))
        return found


def table(results: dict[str, dict[str, float]]) -> str:
    """Markdown, from the results by "row/seed"."""
    columns = {
        "places": ("places", "places scaled"),
        "near scenes": ("near", "near scaled"),
        "near": ("ratio",),
        "real validation": ("real", "real scaled"),
        "images/s": ("rate",),
    }
    lines = [f"| | seeds | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    for name, row in ROWS.items():
        runs = [found for key, found in results.items() if key.rpartition("/")[0] == name]
        if not runs:
            continue
        cells = []
        for keys in columns.values():
            values = [[run[key] for run in runs] for key in keys if all(key in run for run in runs)]
            digits = 1 if keys == ("rate",) else 2 if keys == ("ratio",) else 3
            cells.append(" / ".join(_cell(v, digits) for v in values))
        lines.append(f"| {row.meaning} | {len(runs) if row.trained else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: list[float], digits: int) -> str:
    spread = f" ± {np.ptp(values) / 2:.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of mini_near.yaml's real frames")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--images", type=int, default=3200, metavar="N", help="that train each row")
    parser.add_argument("--seeds", type=int, default=2, metavar="N")
    args = parser.parse_args()
    if not args.root.is_dir():
        parser.error(f"--root: {args.root} is not a folder")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    args.output.mkdir(parents=True, exist_ok=True)
    file = args.output / f"results-{args.images}.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    experiment = Experiment(args.root.resolve(), args.images)
    for seed in range(1, args.seeds + 1):
        for name, row in ROWS.items():
            key = f"{name}/{seed}"
            if key in results or (seed > 1 and not row.trained):
                continue
            print(key, file=sys.stderr, flush=True)
            results[key] = experiment.run(row, seed)
            write_whole(file, json.dumps(results, indent=2) + "\n")
            write_whole(args.output / "table.md", table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
