# SPDX-License-Identifier: Apache-2.0
# nothing of ours is imported where PyTorch is missing
import pytest

pytest.importorskip("torch", reason="training needs PyTorch")

from clip2depth_ros.training.configuration import Phase, Stage
from clip2depth_ros.training.schedule import Schedule

pytestmark = pytest.mark.torch


def stage(**changes):
    settings = dict(
        images=96, learning_rate=0.05, warmup_share=0.25,
        phases=(Phase(0.5, (1, 1), 8), Phase(0.5, (1, 2), 4)),
    )  # fmt: skip
    return Stage(**(settings | changes))


def test_phases_take_their_share_of_the_images():
    schedule = Schedule(stage())
    assert (schedule.steps, schedule.images) == (6 + 12, 96)
    assert [schedule.phase(s).size for s in (0, 5, 6, 17)] == [(1, 1), (1, 1), (1, 2), (1, 2)]
    assert [schedule.images_before(s) for s in (0, 1, 6, 7, 18)] == [0, 8, 48, 52, 96]


def test_the_rate_warms_up_and_comes_down():
    schedule = Schedule(stage())
    rates = [schedule.learning_rate(s) for s in range(schedule.steps)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(0.05) and schedule.images_before(top) == 24
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[0] < 0.001 and rates[-1] < 0.001
    assert schedule.learning_rate(schedule.steps) == pytest.approx(1e-6)


def test_a_batch_larger_than_the_budget_is_one_step():
    assert Schedule(stage(images=3, phases=(Phase(1.0, (1, 1), 8),))).steps == 1
