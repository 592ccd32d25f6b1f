# SPDX-License-Identifier: Apache-2.0
"""A run of a recipe: data, training of a CLIP where the recipe has one, then mirror and decoder on it.

A run's folder has pretrain.safetensors and depth.safetensors (to resume), checkpoint.safetensors (mirror and
decoder at the best validation) and the logs. A run that trains a CLIP also writes clip.safetensors (frozen in
the second stage) and joint.safetensors (mirror and decoder that were trained together with it).
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import open_clip
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.replacing import write_whole
from clip2depth_ros.network import Clip2Depth, create_clip, find_backbone, save_checkpoint
from clip2depth_ros.network.backbones import clip_fingerprint
from clip2depth_ros.network.checkpoint import read_tensors, write_tensors
from clip2depth_ros.training.configuration import Phase, Recipe, Stage
from clip2depth_ros.training.datasets import DataSet, below, open_data_set
from clip2depth_ros.training.loss.objectives import (
    ClipWithDepth,
    DepthObjective,
    PretrainObjective,
    validation_errors,
)
from clip2depth_ros.training.recovery import load_bundle_weights
from clip2depth_ros.training.state import read_facts
from clip2depth_ros.training.trainer import Trainer
from clip2depth_ros.training.views.batches import Batch, BatchMaker, checked_flow, fixed_batch

NO_INFLUENCE = ("report_steps", "save_minutes")  # entries of a stage that may differ when a run is resumed


class Run:
    """One recipe in one folder. Call `train()`; call it again after an interruption.

    root   base folder of the data sets' folders that are not absolute
    cache  folder for rendered views; ~/.cache/clip2depth if None
    start  initial weights of pretraining: CLIP weights, a safetensors file; or a bundle, for image tower and
           decoder, with a random text tower; all random if None
    """

    def __init__(
        self,
        recipe: Recipe,
        directory: Path,
        *,
        root: Path | None = None,
        cache: Path | None = None,
        start: str | Path | None = None,
    ) -> None:
        if start is not None and recipe.pretrain is None:
            raise Clip2DepthError(
                f"the recipe {recipe.name} trains no CLIP that could start from {start}: leave it out, or "
                "give the CLIP that it stands on by --clip-weights"
            )
        self.recipe, self.directory = recipe, Path(directory)
        self._root, self._cache, self._start = root, cache, start
        self.trainable = 0  # parameters of the depth stage, once it has run
        self.backbone = find_backbone(recipe.network.backbone)
        torch.set_num_threads(recipe.threads)
        cv2.setNumThreads(1)

    @cached_property
    def accelerator(self) -> Accelerator:
        """Devices and precision; created on first use, because that waits for the other processes."""
        # the text tower is used only in steps with captions
        some_unused = DistributedDataParallelKwargs(find_unused_parameters=self.recipe.pretrain is not None)
        try:
            return Accelerator(mixed_precision=self.recipe.precision, kwargs_handlers=[some_unused])
        except ValueError as error:
            raise Clip2DepthError(
                f"precision {self.recipe.precision} does not work here ({error}): set another in the recipe"
            ) from None

    @property
    def clip_file(self) -> Path:
        """The CLIP of the depth stage, where it is a file."""
        if self.recipe.pretrain is None and not self.recipe.network.weights_are_a_bundle:
            return Path(self.recipe.network.weights)
        return self.directory / "clip.safetensors"

    @property
    def checkpoint_file(self) -> Path:
        return self.directory / "checkpoint.safetensors"

    @cached_property
    def training_sets(self) -> tuple[DataSet, ...]:
        return self.open(self.recipe.data.training)

    @cached_property
    def validation_sets(self) -> tuple[DataSet, ...]:
        return self.open(self.recipe.data.validation)

    def open(self, entries: tuple[dict, ...]) -> tuple[DataSet, ...]:
        """Data sets of the configuration, with their folders below `root`."""
        if not entries:
            raise Clip2DepthError(
                f"the recipe {self.recipe.name} names no data set: see data in its configuration"
            )
        return tuple(open_data_set(below(entry, self._root), cache=self._cache) for entry in entries)

    def prepare(self) -> None:
        """Let the data sets make their missing files: rooms are rendered."""
        for data_set in (*self.validation_sets, *self.training_sets):
            data_set.prepare()

    def train(self, limit: int | None = None) -> Path:
        """Train what is not trained yet, at most `limit` steps per stage; returns the checkpoint's path."""
        self.directory.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with self.accelerator.main_process_first():
            self.prepare()
        self.pretrain(limit)
        self._train_depth(self.recipe.depth, limit)
        if self.accelerator.is_main_process:
            self._write_summary(time.monotonic() - started)
        return self.checkpoint_file

    def pretrain(self, limit: int | None = None) -> None:
        """Train the CLIP, where the recipe has that stage and it is not finished yet."""
        stage = self.recipe.pretrain
        if stage is None:
            return
        state = self.directory / "pretrain.safetensors"
        if self.clip_file.exists() and (not state.exists() or read_facts(state)["finished"]):
            return
        torch.manual_seed(self.recipe.seed)
        bundle = None
        if self._start is not None and Path(self._start).suffix != ".safetensors":
            bundle = open_bundle(self._start)
        clip = create_clip(self.backbone, None if bundle else self._start)
        network = self._network(clip, frozen=False)
        began_with = ""
        if bundle is not None:
            load_bundle_weights(network, bundle, self._batches(stage, 0)(0, stage.phases[0]).image)
            began_with = bundle.manifest.model_sha256[:12]
        elif self._start is not None:
            began_with = clip_fingerprint(clip)[:12]
        module = ClipWithDepth(clip, network, open_clip.get_tokenizer(self.backbone.clip))
        module = module.to(memory_format=torch.channels_last)
        objective = PretrainObjective(module, stage)
        trainer = self._trainer("pretrain", objective, network, stage, began_with=began_with)
        trainer.run(limit)
        if self.accelerator.is_main_process:
            with trainer.average.applied():
                write_tensors(self.clip_file, clip.state_dict(), {"clip": self.backbone.clip})
                # the depth network trained together with the CLIP, to compare with one on the frozen CLIP
                network.clip_sha256 = clip_fingerprint(clip)
                notes = {"recipe": self.recipe.name, "trained_on": self.recipe.trained_on}
                save_checkpoint(
                    self.directory / "joint.safetensors",
                    network,
                    clip_weights=self.clip_file.name,
                    notes=notes,
                )
        self.accelerator.wait_for_everyone()
        self.accelerator.free_memory()

    def _take_from_bundle(self, stage: Stage) -> dict[str, torch.Tensor]:
        """Write clip_file from the recipe's bundle; returns the initial mirror and decoder.

        Image tower and decoder are those of the bundle. A bundle has only the output of the text tower, so
        the text tower gets random weights, and the decoder compensates for them.
        """
        torch.manual_seed(self.recipe.seed)
        clip = create_clip(self.backbone)
        network = self._network(clip, frozen=False)
        images = self._batches(stage, 1)(0, stage.phases[0]).image
        load_bundle_weights(network, open_bundle(self.recipe.network.weights), images)
        if self.accelerator.is_main_process:
            write_tensors(self.clip_file, clip.state_dict(), {"clip": self.backbone.clip})
        self.accelerator.wait_for_everyone()
        return network.trainable_state()

    def _train_depth(self, stage: Stage, limit: int | None) -> None:
        begin = None
        begun = self.clip_file.exists() and (self.directory / "depth.safetensors").exists()
        if self.recipe.pretrain is None and self.recipe.network.weights_are_a_bundle and not begun:
            begin = self._take_from_bundle(stage)
        elif self.recipe.pretrain is not None and self.recipe.decoder == "joint":
            begin, _ = read_tensors(self.directory / "joint.safetensors")
        weights = self.recipe.network.weights
        kept = weights  # the CLIP weights that the checkpoint names
        if self.recipe.pretrain is not None or weights not in ("pretrained", "random"):
            weights, kept = self.clip_file, os.path.relpath(self.clip_file, self.directory)
        torch.manual_seed(self.recipe.seed + 1)
        clip = create_clip(self.backbone, None if weights == "random" else weights)
        network = self._network(clip, frozen=True).to(memory_format=torch.channels_last)
        if begin is not None:
            network.load_state_dict(begin, strict=False)

        def keep_best(errors: dict[str, float]) -> None:
            notes = {
                "recipe": self.recipe.name,
                "trained_on": self.recipe.trained_on,
                "seed": self.recipe.seed,
                "validation": errors,
            }
            save_checkpoint(self.checkpoint_file, network, clip_weights=kept, notes=notes)

        objective = DepthObjective(network, stage.loss)
        trainer = self._trainer("depth", objective, network, stage, keep_best=keep_best)
        self.trainable = sum(map(torch.numel, trainer.parameters))
        trainer.run(limit)
        self.accelerator.wait_for_everyone()
        self.accelerator.free_memory()

    def _network(self, clip, *, frozen: bool) -> Clip2Depth:
        wanted = self.recipe.network
        return Clip2Depth(
            clip,
            self.backbone,
            size=wanted.size,
            depth_range=wanted.depth_range,
            canonical_focal_px=wanted.canonical_focal_px,
            mirror_tokens=wanted.mirror_tokens,
            skips=wanted.skips,
            condition=wanted.condition if frozen else "mirror",
            frozen=frozen,
        )

    def _trainer(
        self,
        name: str,
        objective,
        network: Clip2Depth,
        stage: Stage,
        keep_best=lambda errors: None,
        began_with: str = "",
    ) -> Trainer:
        recipe = self.recipe
        validation = self.validation_batch()
        return Trainer(
            name,
            objective,
            stage,
            self.directory,
            accelerator=self.accelerator,
            make_batch=self._batches(stage, 0 if name == "pretrain" else 1),
            validate=lambda: validation_errors(network, validation, recipe.network.depth_range),
            keep_best=keep_best,
            identity={
                "CLIP": network.clip_sha256[:12] or began_with,
                "seed": recipe.seed,
                "precision": recipe.precision,
                "network": dataclasses.asdict(recipe.network) | {"weights": None},
            }
            | ({"decoder": "joint"} if name == "depth" and recipe.decoder == "joint" else {})
            | {k: v for k, v in dataclasses.asdict(stage).items() if k not in NO_INFLUENCE},
            seed=recipe.seed,
            workers=recipe.data.workers,
            spawn=any(data_set.draws for data_set in self.training_sets),
        )

    def _batches(self, stage: Stage, number: int) -> StageBatches:
        entries, canonical = self.recipe.data.training, self.recipe.network.canonical_focal_px
        maker = BatchMaker(
            self.training_sets,
            tuple(float(entry.get("weight", 1.0)) for entry in entries),
            stage.augmentation,
            (self.recipe.seed, number),
            canonical,
        )
        pairs = stage.loss.temporal > 0
        return StageBatches(maker, pairs, self.accelerator.process_index, self.accelerator.num_processes)

    def validation_batch(self) -> Batch:
        """Views of the validation sets, evenly picked, centered, not augmented, at the bundle's size."""
        wanted = self.recipe.network
        return fixed_batch(
            self.validation_sets,
            self.recipe.data.validation_views,
            size=wanted.size,
            canonical_focal_px=wanted.canonical_focal_px,
        )

    def _write_summary(self, seconds: float) -> None:
        facts = {
            "recipe": self.recipe.name,
            "seed": self.recipe.seed,
            "training_views": sum(len(data_set) for data_set in self.training_sets),
            "seconds_of_this_call": round(seconds),
            "written": time.strftime("%Y-%m-%d"),
        }
        write_whole(self.directory / "summary.json", json.dumps(facts, indent=2) + "\n")


@dataclass(frozen=True)
class StageBatches:
    """(step, phase) -> Batch of this process, with optical flow for pairs of unknown motion."""

    maker: BatchMaker
    pairs: bool
    rank: int
    processes: int

    def __call__(self, step: int, phase: Phase) -> Batch:
        batch = self.maker(
            step,
            size=phase.size,
            count=phase.batch // self.processes,
            pairs=self.pairs,
            rank=self.rank,
            world=self.processes,
        )
        if self.pairs:
            unknown = ~np.isfinite(batch.motion).all((1, 2))  # pyright: ignore[reportCallIssue]
            if unknown.any():
                batch.flow = np.full((*batch.depth.shape, 2), np.nan, np.float32)
                batch.flow[unknown] = checked_flow(batch.image[unknown], batch.next_image[unknown])
        return batch
