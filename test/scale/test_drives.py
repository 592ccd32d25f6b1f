# SPDX-License-Identifier: Apache-2.0
"""Drives with depth that is wrong by a factor: each source alone finds the factor in time and holds it."""

import re

import numpy as np
import pytest

from clip2depth_ros.scale import ScaleSettings
from clip2depth_ros.scale.odometry import SYSTEMATIC

FACTORS = (0.4, 1.0, 2.5)


def errors(answers, factor) -> np.ndarray:
    """Relative error of the factor at every frame."""
    return np.abs(np.array([answer.value for answer in answers]) * factor - 1)


@pytest.mark.slow
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("source", ["height", "ranges", "odometry"])
def test_each_source_alone_finds_the_factor_and_holds_it(world, source, factor):
    robot = world.Robot(seconds=10.0, noise=0.05 if source == "odometry" else 0.0)
    answers = world.drive(robot, factor, *world.SETTINGS[source])
    # Odometry has to drive first: 1 m are 2 s.
    reached = 3.0 if source != "odometry" else 2.0 + 3.0
    assert errors(answers, factor)[round(reached * robot.fps) :].max() < 0.03
    assert {answer.source for answer in answers[-30:]} == {source}
    # A source that sees only a part of the image has a larger standard deviation.
    assert answers[-1].deviation < {"odometry": 1.15 * SYSTEMATIC, "height": 0.09, "ranges": 0.05}[source]
    assert not [warning for answer in answers for warning in answer.warnings]


@pytest.mark.slow
def test_a_camera_that_moves_on_its_robot_keeps_odometrys_evidence(world):
    """tf gives another mounting with every image then, and evidence must outlive that."""
    answers = world.drive(world.Robot(seconds=7.0), 0.4, *world.SETTINGS["odometry"], sway=0.05)
    assert errors(answers, 0.4)[75:].max() < 0.03 and answers[-1].source == "odometry"


@pytest.mark.slow
def test_at_thirty_frames_a_second_odometry_needs_less_than_three_seconds(world):
    answers = world.drive(world.Robot(seconds=5.0, fps=30.0), 0.4, *world.SETTINGS["odometry"])
    assert errors(answers, 0.4)[90:].max() < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("what", ["unknown", "a table", "a wall", "a person"])
def test_a_floor_hidden_for_ten_seconds_changes_nothing(world, what):
    table = (*world.BOXES, ((0.0, 0.0, 0.0), (9.0, 7.0, 0.35)))

    def hide(step):
        if not 4.0 < step.time < 14.0:
            return
        if what == "unknown":
            step.depth[42:] = np.nan
        elif what == "a table":
            step.depth = world.ray_cast(world.CAMERA, step.pose, table)
        elif what == "a wall":
            step.depth = np.full_like(step.depth, 0.8)
        else:
            step.depth[21:] = np.minimum(step.depth[21:], 0.7)

    answers = world.drive(world.Robot(seconds=16.0), 2.5, *world.SETTINGS["height"], hide)
    assert errors(answers, 2.5)[45:].max() < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("slip", [1.15, 1.6, 20.0])
def test_a_wheel_that_slips_for_two_seconds_changes_nothing(world, slip):
    robot = world.Robot(seconds=14.0, noise=0.05, slip=lambda time: slip if 8.0 < time < 10.0 else 1.0)
    answers = world.drive(robot, 1.0, *world.SETTINGS["odometry"])
    assert errors(answers, 1.0)[75:].max() < 0.03
    if slip > 1.5:
        said = [warning for answer in answers for warning in answer.warnings]
        assert any("a wheel slips" in warning or "jumps by" in warning for warning in said)


@pytest.mark.slow
def test_odometry_that_jumps_changes_nothing_and_is_reported(world):
    def jump(step):
        if step.time > 6.0:
            step.hints["odometry"] = step.hints["odometry"].copy()
            step.hints["odometry"][:3, 3] += (1.5, -0.7, 0.0)

    answers = world.drive(world.Robot(seconds=9.0), 1.0, *world.SETTINGS["odometry"], jump)
    assert errors(answers, 1.0)[75:].max() < 0.03
    assert any("Odometry jumps by" in warning for answer in answers for warning in answer.warnings)


@pytest.mark.slow
def test_all_sources_together_agree_with_a_smaller_std_dev(world):
    settings = ScaleSettings(height=0.6, pitch=0.1, odometry=True, ranges=True)
    answers = world.drive(world.Robot(seconds=8.0), 0.4, settings, "visual_odometry odometry ranges")
    assert errors(answers, 0.4).max() < 0.03
    assert not [warning for answer in answers for warning in answer.warnings]
    assert answers[-1].deviation < 0.03


@pytest.mark.slow
def test_a_wrong_height_is_reported_as_a_disagreement(world):
    settings = ScaleSettings(height=0.9, pitch=0.1, ranges=True)
    answers = world.drive(world.Robot(seconds=8.0), 1.0, settings, "ranges")
    assert errors(answers, 1.0).max() < 0.03
    said = [warning for answer in answers for warning in answer.warnings]
    assert len(said) == 1 and re.match(
        r"The sources of scale disagree: \w+ gives 1\.\d\d, \w+ gives", said[0]
    )
