# SPDX-License-Identifier: Apache-2.0
"""Scale from driven distance, and rejection of invalid odometry."""

import math

import numpy as np
import pytest

from clip2depth_ros.scale import OdometrySource, View
from clip2depth_ros.scale.odometry import SYSTEMATIC, UNKNOWN_BEND
from clip2depth_ros.stabilizer.ego_motion import find_ego_motion


def motion(world, forward=0.0, turn=0.0, aside=0.0) -> np.ndarray:
    """(4, 4): the pose after one frame in the optical frame before it; turn to the left, radians."""
    pose = np.eye(4)
    pose[:3, :3] = world.rotation(y=-turn)
    pose[:3, 3] = aside, 0.0, forward
    return pose


def feed(world, source, steps, factor=1.0, start=None, time=0.0, rate=15.0):
    """Evidence and problems of steps (odometry's and visual odometry's motions of one frame)."""
    pose = np.eye(4) if start is None else start
    depth = np.ones((84, 112), np.float32)
    evidence, problems = [], []
    for index, (told, seen) in enumerate([(None, None), *steps]):
        visual_odometry = None
        if told is not None:
            pose = pose @ told
            if seen is not None:
                visual_odometry = np.linalg.inv(seen)
                visual_odometry[:3, 3] *= factor
        view = View(depth, world.CAMERA, time + index / rate, visual_odometry, 0.05, pose)
        found = source.evidence(view)
        if found is not None:
            evidence.append(found)
        if source.problem:
            problems.append(source.problem)
    return evidence, problems


def test_the_factor_is_odometry_over_visual_odometry(world):
    step = motion(world, 0.03, 0.01, 0.005)
    evidence, problems = feed(world, OdometrySource(), [(step, step)] * 40, factor=2.5)
    assert not problems
    assert [math.exp(e.log_scale) for e in evidence] == pytest.approx([0.4] * len(evidence))
    assert len(evidence) > 3 and SYSTEMATIC < evidence[-1].deviation < 1.05 * SYSTEMATIC
    # Without corners it is unknown whether the factor holds for far objects.
    assert {e.shared_std_dev for e in evidence} == {UNKNOWN_BEND}


def test_the_pose_of_odometrys_frame_does_not_matter(world):
    start = world.camera_pose(5.0, -2.0, 1.0, 2.0, 0.3, 0.1)
    step = motion(world, 0.03, 0.01)
    evidence, _ = feed(world, OdometrySource(), [(step, step)] * 40, factor=0.5, start=start)
    assert math.exp(evidence[-1].log_scale) == pytest.approx(2.0)


def test_the_first_evidence_comes_within_half_a_meter(world):
    step = motion(world, 0.0333)
    assert feed(world, OdometrySource(), [(step, step)] * 12)[0]
    assert not feed(world, OdometrySource(), [(step, step)] * 6)[0]


@pytest.mark.parametrize("turn", [0.0, 0.05, -0.2])
def test_rotation_and_standing_give_no_evidence(world, turn):
    told = motion(world, 0.0, turn)
    seen = motion(world, 0.004, turn, -0.003)  # visual odometry is never exactly still
    assert feed(world, OdometrySource(), [(told, seen)] * 200) == ([], [])


def test_a_slipping_wheel_is_reported_and_hardly_changes_the_evidence(world):
    step, slipping = motion(world, 0.0333), motion(world, 0.0533)
    source = OdometrySource()
    feed(world, source, [(step, step)] * 90)
    evidence, problems = feed(world, source, [(slipping, step)] * 30 + [(step, step)] * 30, time=6.0)
    assert any("a wheel slips" in problem for problem in problems)
    assert max(abs(e.log_scale) for e in evidence) < 0.02


def test_wheels_that_spin_on_the_spot_are_reported(world):
    step, still = motion(world, 0.0333), motion(world, 0.0001)
    source = OdometrySource()
    feed(world, source, [(step, step)] * 90)
    evidence, problems = feed(world, source, [(step, still)] * 30 + [(step, step)] * 10, time=6.0)
    assert any("a wheel slips" in problem for problem in problems)
    assert max(abs(e.log_scale) for e in evidence) < 0.02


@pytest.mark.parametrize("jump", [0.5, 2.0, 50.0])
def test_a_jump_is_rejected(world, jump):
    step, leap = motion(world, 0.02), motion(world, jump)
    evidence, problems = feed(
        world, OdometrySource(), [(step, step)] * 7 + [(leap, step)] + [(step, step)] * 40
    )
    assert any(f"jumps by {jump:.2f} m" in problem for problem in problems)
    assert evidence and max(abs(e.log_scale) for e in evidence) < 1e-6


def test_disagreement_of_rotations_is_reported_and_rejected(world):
    told, seen = motion(world, 0.03, 0.04), motion(world, 0.03, -0.01)
    evidence, problems = feed(world, OdometrySource(), [(told, seen)] * 40)
    assert not evidence and all("visual odometry disagrees by" in problem for problem in problems)


def test_a_wrong_mounting_yaw_is_reported(world):
    told, seen = motion(world, 0.03), motion(world, 0.02, 0.0, 0.0224)
    evidence, problems = feed(world, OdometrySource(), [(told, seen)] * 40)
    assert not evidence and all("mounting pose (yaw first)" in problem for problem in problems)


def test_driving_without_visual_odometry_is_reported(world):
    step = motion(world, 0.1)
    evidence, problems = feed(world, OdometrySource(), [(step, None)] * 30)
    assert not evidence and "without visual odometry" in problems[0]


@pytest.mark.parametrize(
    "bad", [np.full((4, 4), np.nan), np.eye(3), np.diag([2.0, 2.0, 2.0, 1.0]), np.zeros((4, 4))]
)
def test_invalid_poses_are_reported(world, bad):
    source = OdometrySource()
    view = View(np.ones((84, 112), np.float32), world.CAMERA, 0.0, np.eye(4), 0.1, bad)
    assert source.evidence(view) is None
    assert source.problem.startswith("Odometry is not a pose")


def test_a_gap_in_the_frames_ends_the_stretch(world):
    step = motion(world, 0.02)
    source = OdometrySource()
    assert feed(world, source, [(step, step)] * 3) == ([], [])
    # The robot was carried 1.5 m meanwhile, without frames; the next stretch starts again.
    far = motion(world, 1.56)
    evidence, problems = feed(world, source, [(step, None)] + [(step, step)] * 30, start=far, time=9.0)
    assert not problems and max(abs(e.log_scale) for e in evidence) < 1e-6


def test_too_near_near_objects_do_not_determine_the_factor(world):
    """Visual odometry is in the scale of near objects; the factor is that of the whole image."""
    source, rng, last, evidence = OdometrySource(), np.random.default_rng(5), None, []
    ratios, near = [], []
    for step in world.Robot(seconds=8.0):
        depth = world.bend(step.depth)
        visual_odometry = corners = None
        if last is not None:
            motion = step.hints["visual_odometry"]
            corners = world.corners_of(*last, motion, rng)
            found = find_ego_motion(*corners, world.CAMERA.fx)
            visual_odometry = None if found is None else found.motion
            if visual_odometry is not None:
                near.append(np.linalg.norm(motion[:3, 3]) / np.linalg.norm(visual_odometry[:3, 3]))
        last = depth, step.depth
        ratios.append(np.log(step.depth / depth).mean())
        seen = View(
            depth, world.CAMERA, step.time, visual_odometry, 0.05, step.hints["odometry"], corners=corners
        )
        evidence.append(source.evidence(seen))
    last_word = [e for e in evidence if e is not None][-1]
    assert math.log(np.median(near)) > np.mean(ratios) + 0.05  # the factor of near objects alone
    assert last_word.log_scale == pytest.approx(np.mean(ratios), abs=0.05)
    assert last_word.shared_std_dev > 0.05
