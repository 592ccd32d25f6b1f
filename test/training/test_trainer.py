# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
import csv
import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from accelerate import Accelerator
from torch import nn

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.network.checkpoint import read_tensors
from clip2depth_ros.training.averaging import WeightAverage, trained_state
from clip2depth_ros.training.configuration import Phase, Stage
from clip2depth_ros.training.logs import StageLog
from clip2depth_ros.training.trainer import Trainer
from clip2depth_ros.training.views.batches import Batch
from clip2depth_ros.training.views.loading import load_batches

pytestmark = pytest.mark.torch

STEPS, BATCH = 12, 4


class Interrupted(Exception):
    pass


class Fit(nn.Module):
    """Brightness to depth by two convolutions, one of them frozen, with dropout: whatever a state must bring
    back.
    """

    def __init__(self, run):
        super().__init__()
        self.frozen = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)).requires_grad_(False)
        self.body = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Conv2d(4, 1, 1)
        )
        self.run = [run]  # in a list: no module of this one

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def depth(self, image):
        x = torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255
        return self.body(self.frozen(x.contiguous(memory_format=torch.channels_last)))[:, 0]

    def forward(self, batch, step):
        if step == self.run[0].interrupt_at:
            raise Interrupted
        self.run[0].seen.append((step, batch.image.shape[2]))
        loss = (self.depth(batch.image) - torch.from_numpy(batch.depth)).square().mean()
        return loss, {"extra": 1.0 if step % 2 else float("nan")}


def picture(rng, count, size):
    image = rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)
    return Batch(image, image.mean(-1, dtype=np.float32) / 100, [""] * count)


class Line:
    def __init__(self, directory, *, interrupt_at=None, workers=0, **stage):
        torch.manual_seed(0)
        self.module = Fit(self).to(memory_format=torch.channels_last)
        self.kept, self.seen, self.interrupt_at = [], [], interrupt_at
        settings = dict(
            images=STEPS * BATCH, learning_rate=0.02, warmup_share=0.25, report_steps=2, validate_images=16,
            phases=(Phase(0.5, (4, 4), BATCH), Phase(0.5, (4, 6), BATCH)),
        )  # fmt: skip
        self.trainer = Trainer(
            "line", self.module, Stage(**(settings | stage)), directory, accelerator=Accelerator(cpu=True),
            make_batch=make_batch, validate=self.validate, keep_best=self.kept.append, workers=workers,
            identity={"CLIP": "abc", "size": (1, 2)},
        )  # fmt: skip

    def validate(self):
        assert not self.module.training
        batch = picture(np.random.default_rng(99), 8, (4, 6))
        error = self.module.depth(batch.image) - torch.from_numpy(batch.depth)
        return {"rmse_log": error.abs().mean().item()}


def make_batch(step, phase):
    return picture(np.random.default_rng(step), phase.batch, phase.size)


def rows(path):
    return list(csv.DictReader(path.open()))


def test_it_learns_within_its_budget_and_logs(tmp_path):
    line = Line(tmp_path, images=150 * BATCH, report_steps=20, validate_images=100)
    with torch.no_grad():
        line.module.eval()
        before = line.validate()["rmse_log"]
    line.trainer.run()
    assert line.trainer.images == 150 * BATCH and line.trainer.finished
    assert line.kept[-1]["rmse_log"] < 0.5 * before
    assert [e["rmse_log"] for e in line.kept] == sorted((e["rmse_log"] for e in line.kept), reverse=True)
    logged = rows(tmp_path / "line-training.csv")
    assert logged[-1]["images"] == "600" and float(logged[-1]["loss"]) > 0 and logged[-1]["extra"] == "1"
    assert [row["step"] for row in logged[:2]] == ["20", "40"]
    assert [row["images"] for row in rows(tmp_path / "line-validation.csv")] == [
        "100", "200", "300", "400", "500", "600"
    ]  # fmt: skip
    assert list((tmp_path / "tensorboard" / "line").iterdir())


@pytest.mark.parametrize("alike, kept", [(0.0, [1.0, 0.9, 0.8]), (0.02, [1.0, 0.9, 0.8, 0.81])])
def test_of_equal_validations_the_last_is_kept(tmp_path, alike, kept):
    """Equal to the lowest, so that many small steps up do not add up."""
    line = Line(tmp_path, validate_images=BATCH, images=7 * BATCH)
    measures = itertools.chain([1.0, 0.9, 0.8, 0.81, 0.825], itertools.repeat(1.0))
    line.trainer.alike = alike
    line.trainer.validate = lambda: {"rmse_log": next(measures)}
    line.trainer.run()
    assert [errors["rmse_log"] for errors in line.kept] == kept


def test_phases_follow_each_other(tmp_path):
    line = Line(tmp_path)
    line.trainer.run()
    assert [step for step, _ in line.seen] == list(range(STEPS))
    assert [width for _, width in line.seen] == [4] * 6 + [6] * 6


def without_time(path):
    return [{k: v for k, v in row.items() if k != "minutes"} for row in rows(path)]


@pytest.mark.parametrize("interrupt_at", [5, 6, 11])
def test_a_stopped_run_goes_on_as_if_never_stopped(tmp_path, interrupt_at):
    """Weights, average, moments and logs, to the last bit; convolutions in another memory format among
    them.
    """
    whole = Line(tmp_path / "whole")
    whole.trainer.run()
    broken = Line(tmp_path / "broken", interrupt_at=interrupt_at, save_minutes=0.0)
    with pytest.raises(Interrupted):
        broken.trainer.run()
    torch.manual_seed(77)
    resumed = Line(tmp_path / "broken", save_minutes=0.0)
    resumed.trainer.run()
    assert resumed.seen[0][0] == interrupt_at
    expected, _ = read_tensors(tmp_path / "whole" / "line.safetensors")
    found, _ = read_tensors(tmp_path / "broken" / "line.safetensors")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    for log in ("line-training.csv", "line-validation.csv"):
        assert without_time(tmp_path / "broken" / log) == without_time(tmp_path / "whole" / log)
    assert resumed.trainer.best == whole.trainer.best


def test_rows_that_a_killed_run_wrote_after_its_last_state_are_not_doubled(tmp_path):
    line = Line(tmp_path, interrupt_at=9, save_minutes=0.0)
    with pytest.raises(Interrupted):
        line.trainer.run()
    for log in ("line-training.csv", "line-validation.csv"):
        path = tmp_path / log
        later = path.read_text().splitlines()[-1].split(",")
        path.write_text(path.read_text() + ",".join(["10", *later[1:]]) + "\n12,4")
    Line(tmp_path).trainer.run()
    assert [row["step"] for row in rows(tmp_path / "line-training.csv")] == ["2", "4", "6", "8", "10", "12"]
    assert [row["step"] for row in rows(tmp_path / "line-validation.csv")] == ["4", "8", "12"]


def test_a_finished_run_stays_finished(tmp_path):
    Line(tmp_path).trainer.run()
    again = Line(tmp_path)
    again.trainer.run()
    assert again.seen == [] and again.trainer.finished


def test_a_limit_stops_early_and_the_next_call_goes_on(tmp_path):
    Line(tmp_path / "whole").trainer.run()
    line = Line(tmp_path / "parts")
    line.trainer.run(limit=5)
    assert line.trainer.step == 5 and not line.trainer.finished and line.kept
    Line(tmp_path / "parts").trainer.run()
    expected, _ = read_tensors(tmp_path / "whole" / "line.safetensors")
    found, _ = read_tensors(tmp_path / "parts" / "line.safetensors")
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_only_what_is_trained_is_saved(tmp_path):
    Line(tmp_path).trainer.run()
    tensors, _ = read_tensors(tmp_path / "line.safetensors")
    assert not any("frozen" in name for name in tensors)
    assert {name.split(".")[0] for name in tensors} == {"weights", "average", "optimizer"}
    assert "weights.body.1.running_mean" in tensors and "optimizer.exp_avg.body.0.weight" in tensors


def test_a_state_of_another_network_or_recipe_is_refused(tmp_path):
    Line(tmp_path).trainer.run()
    other = Line(tmp_path)
    other.trainer.identity["CLIP"] = "xyz"
    with pytest.raises(Clip2DepthError, match=r"line.safetensors was started with CLIP abc .* with xyz"):
        other.trainer.run()
    other = Line(tmp_path)
    del other.trainer.state["body.0.bias"]
    with pytest.raises(Clip2DepthError, match=r"line.safetensors belongs to another network"):
        other.trainer.run()


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    line = Line(tmp_path)
    monkeypatch.setattr(line.module, "depth", lambda image: line.module.body[3].weight.sum() * torch.inf)
    with pytest.raises(Clip2DepthError, match="gradient is not finite at step 0"):
        line.trainer.run()


def test_the_average_follows_the_weights_and_stands_in_for_them():
    layer = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        layer[0].weight.fill_(0.0)
    average = WeightAverage(trained_state(layer), 0.9)
    with torch.no_grad():
        layer[0].weight.fill_(1.0)
    average.update(0)  # decay 1 / 10
    assert average.state["0.weight"].item() == pytest.approx(0.9)
    average.update(1000)  # decay 0.9
    assert average.state["0.weight"].item() == pytest.approx(0.91)
    with average.applied():
        assert layer[0].weight.item() == pytest.approx(0.91)
    assert layer[0].weight.item() == 1.0
    assert {"1.running_mean", "1.num_batches_tracked"} < average.state.keys()
    at_once = WeightAverage(trained_state(layer), 0.0)
    with torch.no_grad():
        layer[0].weight.fill_(5.0)
    at_once.update(3)
    assert at_once.state["0.weight"].item() == 5.0


def test_buffers_of_parts_that_are_not_in_training_are_left_alone():
    layers = nn.Sequential(nn.BatchNorm1d(1), nn.BatchNorm1d(1).requires_grad_(False).eval())
    assert all(name.startswith("0.") for name in trained_state(layers))


def number(step, phase):
    if step == 7:
        raise Clip2DepthError("no view")
    return (step, phase)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_and_bring_errors_along(workers):
    batches = load_batches(number, str, 3, 9, workers)
    assert [next(batches) for _ in range(4)] == [(step, str(step)) for step in (3, 4, 5, 6)]
    with pytest.raises(Clip2DepthError, match="no view"):
        next(batches)


def test_workers_make_the_very_same_run(tmp_path):
    Line(tmp_path / "none").trainer.run()
    Line(tmp_path / "two", workers=2).trainer.run()
    expected, _ = read_tensors(tmp_path / "none" / "line.safetensors")
    found, _ = read_tensors(tmp_path / "two" / "line.safetensors")
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_full_disk_names_the_log(tmp_path):
    log = StageLog("depth", tmp_path, step=0, images=8, seen=0)
    (tmp_path / "depth-training.csv").symlink_to("/dev/full")
    with pytest.raises(Clip2DepthError, match=r"depth-training.csv cannot be written: No space left"):
        log.training({"step": 1, "loss": 1.0})
    log.close()
