# SPDX-License-Identifier: Apache-2.0
"""The scale filter: combination of sources, std dev, robustness against short contradictions."""

import math

import numpy as np
import pytest

from clip2depth_ros.scale import Evidence, Follower, ScaleFilter


def say(scale_filter, source, values, start=0.0, rate=15.0, deviation=0.03, memory=0.5, override_time=5.0):
    """Give a source's factors to the filter, one per frame; returns the reported problems."""
    problems = []
    for index, value in enumerate(values):
        scale_filter.predict(start + index / rate)
        scale_filter.update(source, Evidence(math.log(value), deviation), memory, override_time)
        if scale_filter.problem:
            problems.append(scale_filter.problem)
    return problems


def test_state_before_the_first_evidence():
    scale_filter = ScaleFilter(0.03)
    assert scale_filter.source == "" and math.isnan(scale_filter.age) and scale_filter.log_scale == 0.0


def test_the_first_evidence_is_used_at_once():
    scale_filter = ScaleFilter(0.03)
    say(scale_filter, "ranges", [2.5])
    assert math.exp(scale_filter.log_scale) == pytest.approx(2.5, rel=0.01)
    assert (scale_filter.source, scale_filter.age) == ("ranges", 0.0)
    assert scale_filter.deviation == pytest.approx(0.03, rel=0.01)


def test_frames_within_a_sources_memory_count_as_one():
    often, seldom = ScaleFilter(0.001), ScaleFilter(0.001)
    say(often, "height", [1.5] * 150, rate=30.0)
    say(seldom, "height", [1.5] * 11, rate=2.0)
    # With equal standard deviations, both follow one second of another factor equally.
    say(often, "height", [1.6] * 30, start=5.0, rate=30.0)
    say(seldom, "height", [1.6] * 2, start=5.5, rate=2.0)
    moved = [scale_filter.log_scale - math.log(1.5) for scale_filter in (often, seldom)]
    assert moved[0] > 0.001 and moved[0] == pytest.approx(moved[1], rel=0.3)
    assert often.deviation > 0.03 / math.sqrt(30)


def test_noise_averages_out():
    scale_filter, rng = ScaleFilter(0.01), np.random.default_rng(5)
    say(scale_filter, "height", np.exp(math.log(0.7) + 0.03 * rng.standard_normal(300)))
    assert math.exp(scale_filter.log_scale) == pytest.approx(0.7, rel=0.02)


def test_a_short_contradiction_changes_nothing():
    scale_filter = ScaleFilter(0.03)
    say(scale_filter, "height", [1.0] * 60)
    before = scale_filter.log_scale
    problems = say(scale_filter, "height", [1.9] * 60, start=4.0)
    assert scale_filter.log_scale == before
    assert problems and "Height gives scale" in problems[0] and "1.00 is used" in problems[0]
    assert say(scale_filter, "height", [1.0] * 60, start=8.0) == []


def test_consistent_contradiction_overrides_the_estimate():
    scale_filter = ScaleFilter(0.03)
    say(scale_filter, "ranges", [1.0] * 60)
    say(scale_filter, "ranges", [1.9] * 90, start=4.0, override_time=5.0)
    assert math.exp(scale_filter.log_scale) == pytest.approx(1.9, rel=0.03)


def test_inconsistent_contradiction_is_rejected():
    scale_filter, rng = ScaleFilter(0.03), np.random.default_rng(1)
    say(scale_filter, "ranges", [1.0] * 60)
    say(scale_filter, "ranges", rng.uniform(2.0, 6.0, 300), start=4.0, override_time=2.0)
    assert math.exp(scale_filter.log_scale) == pytest.approx(1.0, rel=0.1)


def test_disagreeing_sources_are_reported_and_the_first_is_kept():
    scale_filter, problems = ScaleFilter(0.03), []
    for index in range(600):
        time = index / 15
        problems += say(scale_filter, "odometry", [1.0], start=time)
        problems += say(scale_filter, "height", [1.5], start=time)
    assert math.exp(scale_filter.log_scale) == pytest.approx(1.0, rel=0.02)
    said = [problem for problem in problems if "disagree" in problem]
    assert (
        "height gives 1.50" in said[-1] and "odometry gives 1.00" in said[-1] and "1.00 is used" in said[-1]
    )


def test_agreeing_sources_reduce_the_std_dev():
    alone, together = ScaleFilter(0.03), ScaleFilter(0.03)
    problems = []
    for index in range(150):
        say(alone, "odometry", [1.2], start=index / 15)
        problems += say(together, "odometry", [1.2], start=index / 15)
        problems += say(together, "height", [1.22], start=index / 15)
    assert not problems and together.deviation < alone.deviation
    assert 1.2 < math.exp(together.log_scale) < 1.22


def test_many_frames_do_not_reduce_the_shared_std_dev():
    """A floor that the network bends is bent in every frame."""
    scale_filter = ScaleFilter(0.03)
    say(scale_filter, "height", [1.2] * 600, deviation=0.3)
    assert 0.3 <= scale_filter.deviation < 0.31
    say(scale_filter, "ranges", [1.2] * 60, start=40.0, deviation=0.02)
    assert 0.015 < scale_filter.deviation <= 0.02


def test_the_std_dev_grows_without_evidence_up_to_a_limit():
    scale_filter = ScaleFilter(0.03)
    say(scale_filter, "ranges", [1.4] * 60)
    sure = scale_filter.deviation
    scale_filter.predict(9.0)
    assert sure < scale_filter.deviation < 0.1 and scale_filter.age == pytest.approx(9.0 - 59 / 15)
    scale_filter.predict(9000.0)
    assert scale_filter.deviation == pytest.approx(0.1)
    assert math.exp(scale_filter.log_scale) == pytest.approx(1.4, rel=0.01)


def test_time_that_runs_back_is_tolerated():
    scale_filter = ScaleFilter(0.03)
    say(scale_filter, "ranges", [1.4] * 60, start=1000.0)
    say(scale_filter, "ranges", [1.4] * 60, start=0.0)
    assert math.exp(scale_filter.log_scale) == pytest.approx(1.4, rel=0.01)
    assert 0 <= scale_filter.age < 1e-6 and math.isfinite(scale_filter.deviation)


@pytest.mark.parametrize("aim", [0.4, 2.5])
def test_the_factor_follows_in_limited_steps(aim):
    follower = Follower(0.02)
    factors = [follower.follow(0.0)] + [follower.follow(math.log(aim)) for _ in range(60)]
    steps = np.abs(np.array(factors[1:]) / factors[:-1] - 1)
    assert steps.max() <= 0.02 and factors[-1] == pytest.approx(aim)
    # Three seconds at 15 frames/s bring it within 3 %.
    assert factors[45] == pytest.approx(aim, rel=0.03)


def test_the_first_factor_is_not_limited():
    assert Follower(0.02).follow(math.log(2.5)) == pytest.approx(2.5)
