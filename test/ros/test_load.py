# SPDX-License-Identifier: Apache-2.0
"""A budget of processor time: the rate comes down to it smoothly, and goes up again when there is room."""

from __future__ import annotations

import numpy as np
import pytest

from clip2depth_ros.ros.inputs.camera_input import RateLimit
from clip2depth_ros.ros.outputs.load import LOWEST_RATE, LoadBudget


class Process:
    """A process that takes `rest` cores and `each` seconds for an image, of cameras of 30 Hz that wobble."""

    def __init__(self, most: float, each: float, rest: float = 0.0, cameras: int = 1) -> None:
        self.most, self.each, self.rest, self.rate = most, each, rest, 30.0
        self.now, self.spent = 1000.0, 5.0
        self.budget = LoadBudget(lambda: self.spent)
        self.limits = [RateLimit() for _ in range(cameras)]
        self.done = [0] * cameras
        self._rng = np.random.default_rng(3)

    def run(self, seconds: float) -> tuple[list[float], float]:
        """Images a second of each camera, and cores, in that time."""
        before, spent, end = list(self.done), self.spent, self.now + seconds
        while self.now < end:
            self.now += 1 / self.rate
            self.spent += self.rest / self.rate
            for n, limit in enumerate(self.limits):
                moment = self.now + self._rng.uniform(0, 0.004)
                if limit.admits(moment, self.budget.allowed(f"{n}", self.most, moment)):
                    self.budget.count(f"{n}")
                    self.done[n] += 1
                    self.spent += self.each
        rates = [(done - b) / seconds for done, b in zip(self.done, before, strict=True)]
        return rates, (self.spent - spent) / seconds


@pytest.mark.parametrize(
    ("most", "each", "rest", "expected"),
    [(0.5, 0.05, 0.0, 10.0), (0.5, 0.05, 0.2, 6.0), (0.1, 0.05, 0.0, 2.0), (1.5, 0.1, 0.0, 15.0)],
)
def test_the_process_stays_in_its_budget(most, each, rest, expected):
    process = Process(most, each, rest)
    process.run(40)
    (rate,), cores = process.run(40)
    assert cores == pytest.approx(most, rel=0.1)
    assert rate == pytest.approx(expected, rel=0.15)
    # Smoothly: no second is far from the others.
    seconds = [process.run(2)[0][0] for _ in range(20)]
    assert max(seconds) <= 1.35 * expected + 0.5 and min(seconds) >= 0.65 * expected - 0.5


def test_it_is_reached_soon():
    process = Process(0.5, 0.05)
    process.run(2.5)
    _, cores = process.run(2)
    assert cores < 0.8, "1.5 before"


@pytest.mark.parametrize("most", [0.0, 2.0])
def test_without_a_budget_or_within_it_every_image_is_taken(most):
    process = Process(most, 0.05)
    (rate,), cores = process.run(30)
    assert rate == pytest.approx(30, rel=0.02) and process.budget.rate == 0.0
    assert process.budget.used == pytest.approx(cores, rel=0.05), "measured all the same"


def test_cameras_of_one_process_share_it_evenly():
    process = Process(0.6, 0.05, cameras=3)
    process.run(40)
    rates, cores = process.run(40)
    assert cores == pytest.approx(0.6, rel=0.1)
    assert min(rates) > 0.8 * max(rates), rates


def test_room_is_used_again():
    process = Process(0.5, 0.05)
    process.run(20)
    process.each = 0.01
    process.run(20)
    (rate,), _ = process.run(10)
    assert rate == pytest.approx(30, rel=0.02)
    process.most = 0.1
    process.run(30)
    process.most = 0.0
    (rate,), _ = process.run(10)
    assert rate == pytest.approx(30, rel=0.02), "the limit was taken away while it runs"


def test_a_budget_that_the_rest_uses_up_leaves_a_little():
    process = Process(0.1, 0.05, rest=0.3)
    process.run(60)
    (rate,), _ = process.run(60)
    assert rate == pytest.approx(LOWEST_RATE, rel=0.3)


def test_a_pause_says_nothing_of_images():
    process = Process(0.5, 0.05)
    process.run(40)
    before = process.budget.rate
    process.now += 60
    process.run(0.2)
    assert process.budget.rate == before > 0


def test_a_slow_camera_is_not_held_back():
    process = Process(0.5, 0.05)
    process.run(20)
    process.rate = 5.0
    process.run(20)
    assert process.budget.rate == 0.0


def test_only_cameras_with_a_budget_are_held_back():
    budget, spent = LoadBudget(lambda: spent[0]), [0.0]
    for second in range(10):
        spent[0] = 1.0 * second
        for _ in range(30):
            budget.count("with")
            budget.count("without")
        budget.allowed("without", 0.0, second * 1.01)
        rate = budget.allowed("with", 0.25, second * 1.01)
    assert 0 < rate < 10 and budget.allowed("without", 0.0, 10.2) == 0.0
