# SPDX-License-Identifier: Apache-2.0
"""The stabilizer on whole sequences, against its target values; see benchmark/temporal.py."""

from importlib.util import find_spec

import numpy as np
import pytest

from benchmark.steadiness import measures
from benchmark.steadiness.methods import AVERAGE, OWN, RAW, run
from benchmark.steadiness.sequences import driven, flickered, predicted, still

pytestmark = pytest.mark.slow


@pytest.fixture
def simulator():
    if find_spec("mujoco") is None:
        pytest.skip("MuJoCo is not installed (the sim extra)")


def test_scale_jitter_on_measured_depth(rgbd):
    """Protocol A: TAE from 10 % to 0.8 %, and more accurate than what it was given."""
    sequence = flickered(rgbd / "kitchen")
    raw, average, own = (run(method, sequence).depths for method in (RAW, AVERAGE, OWN))
    assert 0.09 < measures.tae_of(raw, sequence, 1) < 0.11
    assert measures.tae_of(own, sequence, 1) < 0.008
    assert measures.tae_of(own, sequence, 8) < measures.tae_of(average, sequence, 8)
    assert measures.abs_rel(own, sequence) < 0.03 < measures.abs_rel(average, sequence)


def test_depth_of_the_bundle(rgbd):
    """Protocol B: a third of raw's TAE at no loss of accuracy."""
    sequence = predicted(rgbd / "kitchen", "mini")
    raw, own = (run(method, sequence).depths for method in (RAW, OWN))
    assert measures.tae_of(own, sequence, 1) < measures.tae_of(raw, sequence, 1) / 3
    assert measures.abs_rel(own, sequence) <= measures.abs_rel(raw, sequence)


def test_people_who_walk_are_not_smeared(simulator):
    """Protocol C: on moving bodies within 10 % of raw's error from the third frame on, better elsewhere."""
    sequences = [driven(seed, frames=60) for seed in (1, 20)]
    newcomers = [measures.Newcomers(sequence) for sequence in sequences]
    raw, average, own = ([run(method, sequence) for sequence in sequences] for method in (RAW, AVERAGE, OWN))
    assert sum(moving.sum() for s in sequences for moving in s.moving) > 100_000, "people are seen"
    for ages in ((3, 3), (10, 10), (3,)):
        expected = measures.moving_error(raw, newcomers, *ages)
        assert measures.moving_error(own, newcomers, *ages) < 1.1 * expected
    for sequence, stable, averaged, frame_by_frame in zip(sequences, own, average, raw, strict=True):
        accuracy = measures.abs_rel(stable.depths, sequence)
        assert accuracy < measures.abs_rel(frame_by_frame.depths, sequence) * 2 / 3
        assert accuracy < measures.abs_rel(averaged.depths, sequence)


def test_a_still_camera_converges_and_stays(simulator):
    sequence = still(4, frames=100)
    outcome = run(OWN, sequence)
    deviation = np.array([np.nanmedian(d) for d in outcome.deviations])
    error = np.array(
        [np.nanmean(np.abs(d - t) / t) for d, t in zip(outcome.depths, sequence.truth, strict=True)]
    )
    change = np.array(
        [
            np.nanmedian(np.abs(np.log(b / a)))
            for a, b in zip(outcome.depths, outcome.depths[1:], strict=False)
        ]
    )
    assert (np.diff(deviation[:30]) < 1e-3).all() and deviation[30] < 0.3 * deviation[0]
    assert error[50:].mean() < 0.4 * error[0]
    # Neither the standard deviation nor the depth drifts afterwards.
    assert deviation[50:].max() < 1.1 * deviation[50]
    assert change[50:].mean() < 0.005 < 0.03 < change[0]
