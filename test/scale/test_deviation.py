# SPDX-License-Identifier: Apache-2.0
"""The error of factor and shift from driven distance matches its standard deviation."""

import numpy as np
import pytest

from clip2depth_ros.camera.transforms import pose_matrix
from clip2depth_ros.scale.disparity_evidence import Stretches, motion_evidence
from clip2depth_ros.scale.stretches import Stretch

FACTOR, SHIFT, FOCAL = 0.4, -0.05, 164.0
METRES = np.array([1.5, 2.5, 5.0])


def _stretch(rng: np.random.Generator, error: float) -> Stretch:
    """A quarter of a meter through 20 surfaces, each with an independent error of the network."""
    surfaces = rng.uniform(1.5, 5.0, 20)
    which = rng.integers(0, 20, 90)
    metres = surfaces[which]
    seen = (1 + error * rng.standard_normal(20)[which]) / metres
    before = np.stack([rng.uniform(-0.6, 0.6, 90), rng.uniform(-0.45, 0.45, 90)], axis=1)
    points = np.concatenate([before, np.ones((90, 1))], axis=1) * metres[:, None]
    points[:, 2] -= 0.25
    points = points @ pose_matrix(0, 0, 0, *(0.002 * rng.standard_normal(3)))[:3, :3].T
    now = points[:, :2] / points[:, 2:] + 0.15 / FOCAL * rng.standard_normal((90, 2))
    motion = np.eye(4)
    motion[2, 3] = -0.25 * (1 + 0.02 * rng.standard_normal())
    return Stretch((seen - SHIFT) / FACTOR, before, now, motion, FOCAL)


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_the_error_is_within_two_standard_deviations(error):
    misses, ratios = [], []
    at = np.stack([(1 / METRES - SHIFT) / FACTOR, np.ones(3)], axis=1)
    for seed in range(12):
        rng, stretches = np.random.default_rng([7, seed]), Stretches()
        for index in range(6):
            line = motion_evidence(_stretch(rng, error), None)
            if line is not None:
                stretches.add(line, index * 0.5)
        weight, moment, *_ = stretches.combine(np.zeros((2, 2)), np.zeros(2), 4.0)
        found = at @ np.linalg.solve(weight, moment) * METRES - 1
        stated = np.sqrt(np.einsum("ni,ij,nj->n", at, np.linalg.inv(weight), at)) * METRES
        misses.append(found)
        ratios.append(np.abs(found) / stated)
    assert np.mean(np.array(ratios) < 2.0) > 0.9
    # Left alone, errors of the disparity make the near farther and the far nearer, here by 5 % each.
    assert np.abs(np.mean(misses, axis=0)).max() < 0.04
