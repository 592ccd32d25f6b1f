# SPDX-License-Identifier: Apache-2.0
"""A recipe from end to end: views, a CLIP of our own where one is needed, then mirror and decoder on it.

A run's folder holds, for the backbone `mini`: pretrain.safetensors and depth.safetensors (to resume),
clip.safetensors (the CLIP, frozen from then on), checkpoint.safetensors (best mirror and decoder by
validation) and the CSV logs.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import open_clip
import torch

from clip2depth_ros.camera.letterbox import BORDER
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network import Clip2Depth, create_clip, find_backbone, save_checkpoint
from clip2depth_ros.network.checkpoint import write_tensors
from clip2depth_ros.training.augmentation import Augmentation
from clip2depth_ros.training.configuration import Phase, Recipe, Stage
from clip2depth_ros.training.objectives import (
    ClipWithDepth,
    depth_objective,
    pretrain_objective,
    validation_errors,
)
from clip2depth_ros.training.rooms import RoomViews
from clip2depth_ros.training.trainer import Trainer
from clip2depth_ros.training.views import Batch, ViewSet

VALIDATION_VIEWS = 256
EVALUATION_DEPTHS = (0.2, 15.0)  # canonical metres that count in validation


class Run:
    """One recipe in one folder. Call `train()`; call it again after an interruption."""

    def __init__(self, recipe: Recipe, directory: Path, rooms: RoomViews) -> None:
        self.recipe, self.directory, self.rooms = recipe, Path(directory), rooms
        self.backbone = find_backbone(recipe.network.backbone)
        torch.set_num_threads(recipe.threads)
        cv2.setNumThreads(1)

    @property
    def clip_file(self) -> Path:
        return self.directory / "clip.safetensors"

    @property
    def checkpoint_file(self) -> Path:
        return self.directory / "checkpoint.safetensors"

    def train(self) -> Path:
        """Train whatever is not trained yet; returns the checkpoint's path."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.recipe.pretrain is not None:
            self._pretrain(self.recipe.pretrain)
        self._train_depth(self.recipe.depth)
        return self.checkpoint_file

    def _pretrain(self, stage: Stage) -> None:
        torch.manual_seed(self.recipe.seed)
        clip = create_clip(self.backbone)
        network = self._network(clip, frozen=False)
        module = ClipWithDepth(clip, network, open_clip.get_tokenizer(self.backbone.clip))
        module = module.to(memory_format=torch.channels_last)
        trainer = self._trainer(
            "pretrain",
            module,
            network,
            stage,
            pretrain_objective(module, stage, self.recipe.bfloat16),
            keep_best=lambda errors: None,
        )
        trainer.run()
        if not self.clip_file.exists():
            write_tensors(self.clip_file, clip.state_dict(), {"clip": self.backbone.clip})

    def _train_depth(self, stage: Stage) -> None:
        torch.manual_seed(self.recipe.seed + 1)
        weights = "pretrained" if self.recipe.pretrain is None else self.clip_file
        network = self._network(create_clip(self.backbone, weights), frozen=True)
        network = network.to(memory_format=torch.channels_last)

        def keep_best(errors: dict[str, float]) -> None:
            save_checkpoint(
                self.checkpoint_file,
                network,
                clip_weights="pretrained" if self.recipe.pretrain is None else self.clip_file.name,
                notes={
                    "recipe": self.recipe.name,
                    "trained_on": self.recipe.trained_on,
                    "seed": self.recipe.seed,
                    "validation": errors,
                },
            )

        objective = depth_objective(network, stage.loss, self.recipe.bfloat16)
        self._trainer("depth", network, network, stage, objective, keep_best=keep_best).run()

    def _network(self, clip, *, frozen: bool) -> Clip2Depth:
        wanted = self.recipe.network
        return Clip2Depth(
            clip,
            self.backbone,
            size=wanted.size,
            depth_range=wanted.depth_range,
            canonical_focal_px=wanted.canonical_focal_px,
            mirror_tokens=wanted.mirror_tokens,
            frozen=frozen,
        )

    def _trainer(self, name, module, network, stage: Stage, objective, *, keep_best) -> Trainer:
        views = self.rooms.training()
        validation = self.validation_batch()
        stage_number = 0 if name == "pretrain" else 1

        def make_batch(step: int, phase: Phase) -> Batch:
            seed = (self.recipe.seed, stage_number, step)
            return views.random_batch(phase.batch, stage.augmentation, seed, **self._geometry(phase.size))

        def validate() -> dict[str, float]:
            self.rooms.training()  # takes in what was rendered meanwhile
            return validation_errors(network, validation, EVALUATION_DEPTHS)

        return Trainer(
            name,
            module,
            stage,
            self.directory,
            objective=objective,
            make_batch=make_batch,
            validate=validate,
            keep_best=keep_best,
        )

    def validation_batch(self, count: int = VALIDATION_VIEWS) -> Batch:
        """Views of the held-out rooms, evenly picked, centred, not augmented, at the bundle's size."""
        views: ViewSet = self.rooms.validation()
        if not len(views):
            raise Clip2DepthError("there are no validation views: render some first")
        indices = np.unique(np.linspace(0, len(views) - 1, min(count, len(views))).round().astype(int))
        geometry = self._geometry(self.recipe.network.size)
        return views.batch(indices, Augmentation(), np.random.default_rng(0), **geometry)

    def _geometry(self, size: tuple[int, int]) -> dict:
        return {
            "size": size,
            "canonical_focal_px": self.recipe.network.canonical_focal_px,
            "border_colour": BORDER,
        }


def write_summary(run: Run, seconds: float) -> None:
    """summary.json beside the checkpoint: recipe, views, time."""
    facts = {
        "recipe": run.recipe.name,
        "seed": run.recipe.seed,
        "training_views": len(run.rooms.training()),
        "seconds_of_this_call": round(seconds),
        "written": time.strftime("%Y-%m-%d"),
    }
    (run.directory / "summary.json").write_text(json.dumps(facts, indent=2) + "\n")
