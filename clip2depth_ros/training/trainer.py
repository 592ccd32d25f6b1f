# SPDX-License-Identifier: Apache-2.0
"""One stage of training: optimizer, validation, state, several devices by Accelerate."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.averaging import WeightAverage, trained_state
from clip2depth_ros.training.configuration import Phase, Stage
from clip2depth_ros.training.logs import StageLog
from clip2depth_ros.training.optimizers import create_optimizer
from clip2depth_ros.training.schedule import Schedule
from clip2depth_ros.training.state import read_facts, read_state, write_state
from clip2depth_ros.training.views.batches import Batch
from clip2depth_ros.training.views.loading import load_batches

SKIPPED_STEPS = 20  # float16: this many steps in a row may overflow while the loss scale is reduced


class Trainer:
    """Runs one stage to the end of its budget; an interrupted run is resumed.

    objective      a module; objective(batch, step) -> (loss, parts), a scalar tensor and numbers to report,
                   always with the same names, NaN where one was not computed. Its parameters that require a
                   gradient are trained
    make_batch     (step, phase) -> Batch, which depends on its arguments only; runs in `workers` processes,
                   with `spawn` in new ones instead of forks
    validate       () -> errors, `measure` among them, lower is better; runs with the averaged weights.
                   "rmse_log", unlike the absolute relative error, does not favor underestimated depth
    keep_best      called with the averaged weights after the best validation so far
    alike          part by which a measure may exceed the lowest one and count as equal to it; of equal
                   validations the last one counts as the best
    directory      for NAME.safetensors (to resume) and the logs
    identity       what a resumed run must have in common with the stopped one, as JSON content
    seed           of the random numbers that the network draws in training

    The first process validates and writes logs and files; the batch of a step is divided among all processes.
    """

    def __init__(
        self,
        name: str,
        objective: nn.Module,
        stage: Stage,
        directory: Path,
        *,
        accelerator: Accelerator,
        make_batch: Callable[[int, Phase], Batch],
        validate: Callable[[], dict[str, float]],
        keep_best: Callable[[dict[str, float]], None],
        identity: dict | None = None,
        seed: int = 0,
        workers: int = 0,
        spawn: bool = False,
        measure: str = "rmse_log",
        alike: float = 0.0,
    ) -> None:
        self.name, self.stage, self.directory = name, stage, Path(directory)
        self.make_batch, self.validate, self.keep_best = make_batch, validate, keep_best
        self.accelerator, self.seed, self.workers, self.spawn = accelerator, seed, workers, spawn
        self.measure, self.alike = measure, alike
        self.identity = json.loads(json.dumps(identity or {}))
        self.schedule = Schedule(stage)
        for phase in stage.phases:
            if phase.batch % accelerator.num_processes:
                raise Clip2DepthError(
                    f"{name}: a batch of {phase.batch} does not divide among "
                    f"{accelerator.num_processes} processes"
                )
        self.objective = objective.train()
        self.parameters = {p: n for n, p in objective.named_parameters() if p.requires_grad}
        optimizer = create_optimizer(
            objective, stage.optimizer, learning_rate=stage.learning_rate, weight_decay=stage.weight_decay
        )
        self.prepared, self.optimizer = accelerator.prepare(objective, optimizer)
        self.state = trained_state(objective)
        self.average = WeightAverage(self.state, stage.average)
        self.step = 0
        self.seconds = 0.0
        self.best = math.inf
        self.finished = False
        self._skipped = 0
        self._sums: dict[str, tuple[float, int]] = {}

    @property
    def state_file(self) -> Path:
        return self.directory / f"{self.name}.safetensors"

    @property
    def images(self) -> int:
        """Images seen so far, on all devices."""
        return self.schedule.images_before(self.step)

    def run(self, limit: int | None = None) -> None:
        """Train until the budget is used, or `limit` steps are done; returns at once if they already are."""
        self._resume()
        end = min(self.schedule.steps, limit or self.schedule.steps)
        if self.finished or self.step >= end:
            return
        main = self.accelerator.is_main_process
        log = None
        if main:
            log = StageLog(
                self.name,
                self.directory,
                step=self.step,
                images=self.schedule.images_before(end),
                seen=self.images,
            )
            print(f"{self.name}: {sum(map(torch.numel, self.parameters)):,} trainable parameters", flush=True)
        try:
            self._run(end, log)
        finally:
            if log is not None:
                log.close()

    def _run(self, end: int, log: StageLog | None) -> None:
        saved = last = time.monotonic()
        for batch in load_batches(
            self.make_batch, self.schedule.phase, self.step, end, self.workers, spawn=self.spawn
        ):
            before = self.images
            self._optimize(batch)
            now = time.monotonic()
            self.seconds += now - last
            last = now
            if log is None:
                if self._validates(before, end):
                    self.accelerator.wait_for_everyone()
                continue
            log.advance(self.images - before)
            if self.step % self.stage.report_steps == 0 or self.step == end:
                self._report(log, last=self.step == end)
            if self._validates(before, end):
                self._validate(log)
                self.accelerator.wait_for_everyone()
                last = time.monotonic()  # validation is not training time
            self.finished = self.step == self.schedule.steps
            if self.step == end or now - saved >= 60 * self.stage.save_minutes:
                self.save()
                saved = last = time.monotonic()

    def _optimize(self, batch: Batch) -> None:
        """One step. Its random numbers depend on seed, step and process only, so no state of them is
        saved."""
        torch.manual_seed(((self.seed << 40) + (self.step << 8) + self.accelerator.process_index) % 2**63)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate(self.step)
        self.objective.train()
        loss, parts = self.prepared(batch, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(list(self.parameters), self.stage.clip_norm)
        self._check(norm)
        self.optimizer.step()
        self.average.update(self.step)
        self.step += 1
        for part, value in {"loss": loss.item(), **parts}.items():
            if not math.isnan(value):
                total, count = self._sums.get(part, (0.0, 0))
                self._sums[part] = (total + value, count + 1)
            else:
                self._sums.setdefault(part, (0.0, 0))

    def _check(self, norm: torch.Tensor) -> None:
        """With float16, a step whose gradient overflows is skipped; otherwise that is an error."""
        finite = bool(torch.isfinite(norm))
        self._skipped = 0 if finite else self._skipped + 1
        if not finite and (self.accelerator.scaler is None or self._skipped > SKIPPED_STEPS):
            raise Clip2DepthError(
                f"{self.name}: the gradient is not finite at step {self.step}; lower the learning rate "
                f"(the last good state is {self.state_file})"
            )

    def _validates(self, images_before: int, end: int) -> bool:
        every = self.stage.validate_images
        return self.step == end or self.images // every > images_before // every

    def _row(self) -> dict[str, float]:
        return {"step": self.step, "images": self.images, "minutes": self.seconds / 60}

    def _report(self, log: StageLog, *, last: bool) -> None:
        parts = {part: total / count if count else math.nan for part, (total, count) in self._sums.items()}
        rate = self.schedule.learning_rate(self.step - 1)
        log.training(self._row() | {"lr": rate} | dict(sorted(parts.items())), last=last)
        self._sums = {}

    def _validate(self, log: StageLog) -> None:
        self.objective.eval()
        with torch.no_grad(), self.average.applied():
            errors = self.validate()
            if errors[self.measure] < self.best * (1 + self.alike):
                self.best = min(self.best, errors[self.measure])
                self.keep_best(errors)
        log.validation(self._row() | errors)

    def save(self) -> None:
        """Write everything that a resumed run needs, atomically."""
        facts = {
            "identity": self.identity,
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "finished": self.finished,
            "sums": self._sums,
            "scaler": self.accelerator.scaler and self.accelerator.scaler.state_dict(),
        }
        optimizer = self.optimizer.optimizer
        write_state(self.state_file, self.state, self.average.state, optimizer, self.parameters, facts)

    def _resume(self) -> None:
        if not self.state_file.exists():
            return
        facts = read_facts(self.state_file)
        for key in sorted(facts["identity"].keys() | self.identity.keys()):
            then, now = facts["identity"].get(key), self.identity.get(key)
            if then != now:
                raise Clip2DepthError(
                    f"{self.state_file} was started with {key} {then} and cannot be resumed with {now}: "
                    f"train in another folder"
                )
        read_state(self.state_file, self.state, self.average.state, self.optimizer.optimizer, self.parameters)
        self.step, self.seconds, self.best = facts["step"], facts["seconds"], facts["best"]
        self.finished = facts["finished"]
        self._sums = {part: (total, count) for part, (total, count) in facts["sums"].items()}
        if self.accelerator.scaler is not None and facts["scaler"]:
            self.accelerator.scaler.load_state_dict(facts["scaler"])
        if self.accelerator.is_main_process:
            print(f"{self.name}: resumed at {self.images:,} images", flush=True)
