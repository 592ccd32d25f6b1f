# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
import csv

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from torch import nn

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.configuration import Phase, Stage
from clip2depth_ros.training.trainer import Trainer
from clip2depth_ros.training.views import Batch, ViewSet, prefetch

pytestmark = pytest.mark.torch

STEPS, BATCH = 12, 4


class Interrupted(Exception):
    pass


class Line:
    """Fit y = 3 x - 1 from batches of one-pixel images, to see the trainer alone."""

    def __init__(self, directory, *, interrupt_at=None, **stage):
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.kept = []
        self.interrupt_at = interrupt_at
        self.seen = []
        settings = dict(
            images=STEPS * BATCH, minutes=60, learning_rate=0.05, warmup_share=0.25,
            phases=(Phase(0.5, (1, 1), BATCH), Phase(0.5, (1, 2), BATCH)),
        )  # fmt: skip
        self.trainer = Trainer(
            "line", self.module, Stage(**(settings | stage)), directory,
            objective=self.objective, make_batch=self.make_batch, validate=self.validate,
            keep_best=self.kept.append,
        )  # fmt: skip

    def make_batch(self, step, phase):
        x = np.random.default_rng(step).normal(size=(phase.batch, *phase.size)).astype(np.float32)
        return Batch(x[..., None], 3 * x - 1, [""] * phase.batch)

    def objective(self, batch, step):
        if step == self.interrupt_at:
            raise Interrupted
        self.seen.append((step, batch.image.shape[2], self.trainer.learning_rate()))
        x, y = torch.from_numpy(batch.image).reshape(-1, 1), torch.from_numpy(batch.depth).reshape(-1, 1)
        return (self.module(x) - y).square().mean(), {"extra": 1.0}

    def validate(self):
        x = torch.linspace(-1, 1, 9)[:, None]
        return {"rmse_log": (self.module(x) - (3 * x - 1)).abs().mean().item()}


def test_it_learns_within_its_budget_and_logs(tmp_path):
    line = Line(tmp_path, images=200 * BATCH)
    before = line.validate()["rmse_log"]
    line.trainer.run()
    assert line.trainer.images == 200 * BATCH and line.trainer.finished
    assert line.kept[-1]["rmse_log"] < 0.3 * before
    rows = list(csv.DictReader((tmp_path / "line-training.csv").open()))
    assert rows[-1]["images"] == "800" and float(rows[-1]["loss"]) > 0 and rows[-1]["extra"] == "1"
    assert (tmp_path / "line-validation.csv").exists()


def test_schedule_warms_up_and_comes_down_and_phases_follow_each_other(tmp_path):
    line = Line(tmp_path)
    line.trainer.run()
    rates = [rate for _, _, rate in line.seen]
    assert [step for step, _, _ in line.seen] == list(range(STEPS))
    assert rates[:4] == sorted(rates[:4]) and rates[3:] == sorted(rates[3:], reverse=True)
    assert max(rates) == pytest.approx(0.05) and rates[-1] < 0.003
    assert [width for _, width, _ in line.seen] == [1] * 6 + [2] * 6


def test_a_stopped_run_resumes_to_the_very_same_weights(tmp_path):
    whole = Line(tmp_path / "whole")
    whole.trainer.run()
    broken = Line(tmp_path / "broken", interrupt_at=5, save_minutes=0.0)
    with pytest.raises(Interrupted):
        broken.trainer.run()
    resumed = Line(tmp_path / "broken", save_minutes=0.0)
    resumed.trainer.run()
    assert resumed.seen[0][0] == 5
    for name, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[name], value), name


def test_a_finished_run_stays_finished(tmp_path):
    Line(tmp_path).trainer.run()
    again = Line(tmp_path)
    again.trainer.run()
    assert again.seen == []


def test_time_ends_a_slow_run(tmp_path):
    line = Line(tmp_path, minutes=1e-9)
    line.trainer.run()
    assert line.trainer.finished and len(line.seen) <= 2


def test_a_state_of_another_network_is_refused(tmp_path):
    Line(tmp_path).trainer.run()
    other = Line(tmp_path)
    other.trainer.module = nn.Linear(2, 2)
    with pytest.raises(Clip2DepthError, match=r"line.safetensors belongs to another network"):
        other.trainer.run()


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path):
    line = Line(tmp_path)
    line.trainer.objective = lambda batch, step: (line.module(torch.full((2, 1), torch.inf)).sum(), {})
    with pytest.raises(Clip2DepthError, match="gradient is not finite at step 0"):
        line.trainer.run()


def test_prefetch_keeps_order_and_hands_on_errors():
    def make(step):
        if step == 7:
            raise Clip2DepthError("no view")
        return step

    batches = prefetch(make, 3)
    assert [next(batches) for _ in range(4)] == [3, 4, 5, 6]
    with pytest.raises(Clip2DepthError, match="no view"):
        next(batches)


def test_no_views_is_an_error():
    with pytest.raises(Clip2DepthError, match="no views to train on"):
        ViewSet().random_batch(2, None, (0,))
