# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from clip2depth_ros.stabilizer.ego_motion import MIN_POINTS, find_ego_motion, typical_miss

FOCAL = 260.0


def scene(rng, count=400, turn=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0), noise=0.2):
    """Points, where they are seen after a motion with `noise` pixels of error, and the motion."""
    z = rng.uniform(1, 5, count)
    points = np.column_stack([rng.uniform(-0.6, 0.6, (count, 2)) * z[:, None], z])
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = cv2.Rodrigues(np.array(turn))[0], shift
    moved = points @ motion[:3, :3].T + motion[:3, 3]
    return points, moved[:, :2] / moved[:, 2:] + rng.normal(0, noise / FOCAL, (count, 2)), motion


@pytest.mark.parametrize(
    "turn, shift",
    [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ((0.01, -0.02, 0.005), (0.02, 0.0, -0.05)),
        ((0.02, 0.15, -0.03), (0.03, -0.01, 0.08)),
        ((0.0, -0.3, 0.0), (0.0, 0.0, 0.2)),
    ],
)
def test_finds_the_motion(turn, shift):
    points, seen, motion = scene(np.random.default_rng(1), turn=turn, shift=shift)
    found = find_ego_motion(points, seen, FOCAL)
    np.testing.assert_allclose(found.motion, motion, atol=2e-3)
    assert found.spread == pytest.approx(0.2, rel=0.3)
    assert typical_miss(points, seen, FOCAL, found.motion) < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_moving_objects_are_outliers(seed):
    rng = np.random.default_rng(seed)
    points, seen, motion = scene(rng, turn=(0.0, 0.03, 0.0), shift=(0.0, 0.0, -0.06))
    seen[:120] += np.array([4.0, 1.0]) / FOCAL
    seen[120:160] = rng.uniform(-0.6, 0.6, (40, 2))
    found = find_ego_motion(points, seen, FOCAL)
    np.testing.assert_allclose(found.motion, motion, atol=3e-3)


def test_the_std_dev_matches_the_error():
    errors = []
    for seed in range(40):
        points, seen, _ = scene(np.random.default_rng(seed), shift=(0.0, 0.0, -0.05), noise=0.5)
        found = find_ego_motion(points, seen, FOCAL)
        length = np.linalg.norm(found.motion[:3, 3])
        errors.append((length - 0.05) / (found.deviation * length))
    assert 0.2 < np.std(errors) < 1.5  # a deliberate factor of two: see CORRELATION


def test_unreliable_motions_are_rejected():
    rng = np.random.default_rng(2)
    points, seen, _ = scene(rng)
    assert find_ego_motion(points[:0], seen[:0], FOCAL) is None
    assert find_ego_motion(points[: MIN_POINTS - 1], seen[: MIN_POINTS - 1], FOCAL) is None
    assert find_ego_motion(points, rng.uniform(-0.6, 0.6, seen.shape), FOCAL) is None, "no two agree"
    same = np.repeat(points[:1], 100, 0)
    assert find_ego_motion(same, np.repeat(seen[:1], 100, 0), FOCAL) is None, "one point says little"
    far = points * 1e6
    assert find_ego_motion(far, seen + rng.normal(0, 0.5 / FOCAL, seen.shape), FOCAL) is not None, (
        "at infinity the turn is known, and the translation does not matter"
    )
