# SPDX-License-Identifier: Apache-2.0
import numpy as np

from clip2depth_ros.evaluation.engine_wrappers import FlipAveraged, Watched

GRADIENT = np.tile(np.linspace(1.0, 3.0, 64, dtype=np.float32), (48, 1))


def test_flip_averaging_is_the_mean_with_the_mirrored_answer(exact_engine, tiny_depth):
    """An engine that always sees the right half farther is told by the mirror that it is the left."""
    image = np.zeros((48, 64, 3), np.uint8)
    averaged = FlipAveraged(exact_engine(GRADIENT))
    np.testing.assert_allclose(averaged.infer(image), 2.0, atol=1e-6)
    # and one that answers to what it sees says the same as ever
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    np.testing.assert_allclose(FlipAveraged(exact_engine()).infer(image), tiny_depth(image), rtol=1e-6)


def test_the_inner_engine_sees_the_image_turned_round(exact_engine):
    inner = exact_engine()
    image = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    FlipAveraged(inner).infer(image)
    np.testing.assert_array_equal(inner.image, image[:, ::-1])
    assert inner.image.flags["C_CONTIGUOUS"]


def test_what_was_said_last_stays_to_be_looked_at(exact_engine):
    watched = Watched(exact_engine(GRADIENT))
    said = watched.infer(np.zeros((48, 64, 3), np.uint8))
    assert watched.depth is said
    assert (watched.name, watched.manifest.name) == ("exact", "tiny")
