# SPDX-License-Identifier: Apache-2.0
"""One stage of training, whatever is trained: optimizer, schedule, validation, checkpoints, logs."""

from __future__ import annotations

import csv
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network.checkpoint import read_tensors, write_tensors
from clip2depth_ros.training.configuration import Phase, Stage
from clip2depth_ros.training.views import Batch, prefetch

REPORT_SECONDS = 20.0


class Trainer:
    """Runs one stage to the end of its budget, from where an interrupted run left it.

    module         what is trained; parameters that need no gradient are left out of the optimizer
    objective      (batch, step) -> (loss, parts): a scalar tensor and numbers to report
    make_batch     (step, phase) -> Batch, a function of its arguments alone: a resumed run sees the same
    validate       () -> errors with "rmse_log", the lower the better; unlike the absolute relative error, it
                   does not favour a network that says too little
    keep_best      called whenever validation has its best result so far
    directory      takes NAME.safetensors (to resume), NAME-training.csv and NAME-validation.csv
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        stage: Stage,
        directory: Path,
        *,
        objective: Callable[[Batch, int], tuple[torch.Tensor, dict[str, float]]],
        make_batch: Callable[[int, Phase], Batch],
        validate: Callable[[], dict[str, float]],
        keep_best: Callable[[dict[str, float]], None],
    ) -> None:
        self.name, self.module, self.stage, self.directory = name, module, stage, Path(directory)
        self.objective, self.make_batch, self.validate, self.keep_best = (
            objective,
            make_batch,
            validate,
            keep_best,
        )
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        decayed = [p for p in self.parameters if p.ndim > 1]
        others = [p for p in self.parameters if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": stage.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=stage.learning_rate,
            fused=True,
        )
        self.step = self.images = 0
        self.seconds = 0.0
        self.best = math.inf
        self.finished = False

    @property
    def state_file(self) -> Path:
        return self.directory / f"{self.name}.safetensors"

    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        return min(1.0, max(self.images / self.stage.images, self.seconds / (60 * self.stage.minutes)))

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to the final rate."""
        stage, done = self.stage, self.progress()
        if done < stage.warmup_share:
            return stage.learning_rate * max(done / stage.warmup_share, 0.01)
        along = (done - stage.warmup_share) / (1 - stage.warmup_share)
        high, low = stage.learning_rate, stage.final_learning_rate
        return low + 0.5 * (high - low) * (1 + math.cos(math.pi * along))

    def run(self) -> None:
        """Train until the budget is spent. Returns at once if that had happened before."""
        self._resume()
        if self.finished:
            return
        print(f"{self.name}: {sum(p.numel() for p in self.parameters):,} trainable parameters", flush=True)
        while self.progress() < 1.0:
            self._run_phase(self._boundary(self.progress()))
        self._validate()
        self.finished = True
        self.save()

    def _boundary(self, progress: float) -> tuple[Phase, float]:
        """The phase at this progress, and where it ends."""
        end = 0.0
        total = sum(phase.share for phase in self.stage.phases)
        for phase in self.stage.phases:
            end += phase.share / total
            if progress < end:
                return phase, end
        return self.stage.phases[-1], 1.0

    def _run_phase(self, boundary: tuple[Phase, float]) -> None:
        phase, end = boundary
        end = 1.0 if end > 1 - 1e-9 else end
        batches = prefetch(lambda step: self.make_batch(step, phase), self.step)
        reported = saved = validated = last = time.monotonic()
        seen, totals = 0, {}
        try:
            while self.progress() < end:
                parts = self._optimise(next(batches))
                now = time.monotonic()
                self.seconds += now - last
                last = now
                seen += phase.batch
                for part, value in parts.items():
                    total, count = totals.get(part, (0.0, 0))
                    totals[part] = (total + value, count + 1)
                if now - reported > REPORT_SECONDS or self.progress() >= end:
                    self._report({k: v / n for k, (v, n) in totals.items()}, seen / (now - reported), phase)
                    reported, seen, totals = now, 0, {}
                if now - validated > 60 * self.stage.validate_minutes:
                    self._validate()
                    validated = last = time.monotonic()  # validation is not charged to the budget
                if now - saved > 60 * self.stage.save_minutes:
                    self.save()
                    saved = last = time.monotonic()
        finally:
            batches.close()

    def _optimise(self, batch: Batch) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.module.train()
        loss, parts = self.objective(batch, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.stage.clip_norm)
        if not torch.isfinite(norm):
            raise Clip2DepthError(
                f"{self.name}: the gradient is not finite at step {self.step}; lower the learning rate "
                f"(the last good state is {self.state_file})"
            )
        self.optimizer.step()
        self.step += 1
        self.images += len(batch.image)
        return {"loss": loss.item(), **parts}

    def _report(self, parts: dict[str, float], rate: float, phase: Phase) -> None:
        done = self.progress()
        left = self.seconds / max(done, 1e-6) * (1 - done)
        row = {
            "step": self.step,
            "images": self.images,
            "minutes": self.seconds / 60,
            "lr": self.learning_rate(),
        }
        _append(self.directory / f"{self.name}-training.csv", row | dict(sorted(parts.items())))
        numbers = "  ".join(f"{k} {v:.3f}" for k, v in parts.items())
        text = (
            f"{self.name} {100 * done:3.0f} %  {self.images:,} images  {rate:.0f}/s at {phase.size[1]}x"
            f"{phase.size[0]}  {numbers}  {left / 60:.0f} min left"
        )
        print(
            f"\r{text}" if sys.stdout.isatty() else text, end="" if sys.stdout.isatty() else "\n", flush=True
        )

    def _validate(self) -> None:
        self.module.eval()
        with torch.no_grad():
            errors = self.validate()
        row = {"step": self.step, "images": self.images, "minutes": self.seconds / 60}
        _append(self.directory / f"{self.name}-validation.csv", {**row, **errors})
        numbers = "  ".join(f"{k} {v:.3f}" for k, v in errors.items())
        print(f"{self.name} validation after {self.images:,} images: {numbers}", flush=True)
        if errors["rmse_log"] < self.best:
            self.best = errors["rmse_log"]
            self.keep_best(errors)

    def save(self) -> None:
        """Write everything that a resumed run needs, atomically."""
        tensors = {f"module.{k}": v for k, v in self.module.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors.update((f"optimizer.{index}.{k}", torch.as_tensor(v)) for k, v in state.items())
        facts = {
            "step": self.step,
            "images": self.images,
            "seconds": self.seconds,
            "best": self.best,
            "finished": self.finished,
        }
        write_tensors(self.state_file, tensors, {"facts": json.dumps(facts)})

    def _resume(self) -> None:
        if not self.state_file.exists():
            return
        tensors, metadata = read_tensors(self.state_file)
        facts = json.loads(metadata["facts"])
        try:
            self.module.load_state_dict(
                {k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")}
            )
        except RuntimeError:
            raise Clip2DepthError(
                f"{self.state_file} belongs to another network: train in another folder"
            ) from None
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.step, self.images, self.seconds = facts["step"], facts["images"], facts["seconds"]
        self.best, self.finished = facts["best"], facts["finished"]
        print(f"{self.name}: resumed at {self.images:,} images", flush=True)


def _append(path: Path, row: dict[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(row)
        writer.writerow(f"{v:.6g}" for v in row.values())
