# SPDX-License-Identifier: Apache-2.0
"""Another network takes over between two frames: metres, steadiness and memory go on."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings

SIZE = (160, 120)
CAMERA = Camera.from_fov(*SIZE, 1.2)
PERIOD = 33_000_000
# A pattern that flow can hold on to.
IMAGE = cv2.resize(
    np.random.default_rng(2).integers(0, 256, (30, 40, 3), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC
)


def ramp() -> np.ndarray:
    """(120, 160) float32: 2 m at the top to 4 m at the bottom."""
    return np.repeat(np.linspace(2, 4, SIZE[1], dtype=np.float32)[:, None], SIZE[0], 1)


def regions() -> np.ndarray:
    """(120, 160) float32: a factor for every region, 0.7 to 1.4."""
    rng = np.random.default_rng(5)
    return cv2.resize(rng.uniform(0.7, 1.4, (3, 4)).astype(np.float32), SIZE)


def played(pipeline: Pipeline, frames: range, **more):
    """The depth of some frames of a camera that stands."""
    results = []
    for n in frames:
        result = pipeline.process(Frame(IMAGE, n * PERIOD, "optical", CAMERA, **more))
        results.append((result.depth.copy(), result.facts))
    return results


def test_the_next_frame_is_the_new_networks_and_says_so(exact_engine):
    first, second = exact_engine(ramp()), exact_engine(ramp() * regions())
    pipeline = Pipeline(first)
    before = played(pipeline, range(10))
    assert pipeline.swap(second) is first
    after = played(pipeline, range(10, 15))
    np.testing.assert_allclose(before[-1][0], ramp(), rtol=1e-3)
    for depth, _ in after:
        np.testing.assert_allclose(depth, ramp() * regions(), rtol=5e-3)
    assert [facts.reset for _, facts in after] == [True, False, False, False, False]


@pytest.mark.parametrize("stabilized", [False, True])
def test_metres_that_a_source_has_told_go_on(exact_engine, stabilized):
    """A network that takes the world for 1.25 times as large: ranges had said that the factor is 1.5."""
    pipeline = Pipeline(
        exact_engine(ramp()),
        scale=ScaleSettings(ranges=True, name="a"),
        **({} if stabilized else {"stabilizer": None}),
    )
    x, y = np.meshgrid(np.arange(5, 155, 10), np.arange(5, 115, 10))
    points = (CAMERA.rays()[y, x] * ramp()[y, x, None] * 1.5).reshape(-1, 3).astype(np.float32)
    before = played(pipeline, range(60), ranges=points)
    assert before[-1][1].scale == pytest.approx(1.5, rel=0.02)
    pipeline.swap(exact_engine(ramp() * np.float32(1.25)))
    pipeline.configure(replace(pipeline.settings, scale=ScaleSettings(ranges=True, name="b")))
    after = played(pipeline, range(60, 90))
    for depth, facts in after:
        assert facts.scale == pytest.approx(before[-1][1].scale / 1.25, rel=0.01)
        np.testing.assert_allclose(depth, before[-1][0], rtol=0.01)
        assert facts.scale_source == "ranges" and not math.isnan(facts.scale_deviation)


def test_two_swaps_between_two_frames_are_one(exact_engine):
    pipeline = Pipeline(exact_engine(ramp()), scale=ScaleSettings(ranges=True))
    points = (CAMERA.rays()[::9, ::9] * ramp()[::9, ::9, None] * 1.5).reshape(-1, 3).astype(np.float32)
    before = played(pipeline, range(30), ranges=points)
    pipeline.swap(exact_engine(ramp() * np.float32(1.25)))
    pipeline.swap(exact_engine(ramp() * np.float32(2.0)))
    ((depth, facts),) = played(pipeline, range(30, 31))
    assert facts.scale == pytest.approx(before[-1][1].scale / 2, rel=0.01)
    np.testing.assert_allclose(depth, before[-1][0], rtol=0.01)


def test_a_factor_that_nobody_has_told_is_left_alone(exact_engine):
    pipeline = Pipeline(exact_engine(ramp()), scale=ScaleSettings(initial=1.2))
    played(pipeline, range(5))
    pipeline.swap(exact_engine(ramp() * np.float32(2)))
    (depth, facts), *_ = played(pipeline, range(5, 6))
    assert facts.scale == pytest.approx(1.2)
    np.testing.assert_allclose(depth, ramp() * 2.4, rtol=1e-3)


def test_each_bundles_factor_is_kept_under_its_own_name(exact_engine, tmp_path):
    memory = tmp_path / "scale.json"
    pipeline = Pipeline(exact_engine(ramp()), scale=ScaleSettings(ranges=True, memory=str(memory), name="a"))
    x, y = np.meshgrid(np.arange(5, 155, 10), np.arange(5, 115, 10))
    points = (CAMERA.rays()[y, x] * ramp()[y, x, None] * 1.5).reshape(-1, 3).astype(np.float32)
    played(pipeline, range(60), ranges=points)
    pipeline.swap(exact_engine(ramp() * np.float32(1.25)))
    pipeline.configure(
        replace(pipeline.settings, scale=ScaleSettings(ranges=True, memory=str(memory), name="b"))
    )
    played(pipeline, range(60, 120), ranges=points)
    pipeline.close()
    from json import loads

    kept = {key.split()[0]: entry["scale"] for key, entry in loads(memory.read_text())["cameras"].items()}
    assert kept == {"a": pytest.approx(1.5, rel=0.02), "b": pytest.approx(1.2, rel=0.02)}


def test_after_a_reset_nothing_is_carried_over(exact_engine):
    pipeline = Pipeline(exact_engine(ramp()), scale=ScaleSettings(ranges=True, name="a"))
    points = np.array([[0, 0, 4.5]], np.float32).repeat(20, 0)
    played(pipeline, range(20), ranges=points)
    pipeline.swap(exact_engine(ramp() * np.float32(1.25)))
    pipeline.reset()
    (_, facts), *_ = played(pipeline, range(20, 21))
    assert facts.scale == 1.0 and facts.reset


@pytest.mark.parametrize("size", [(240, 180), (80, 60), (96, 96)])
def test_another_input_size_is_fine(exact_engine, size):
    other = cv2.resize(ramp() * np.float32(1.25), size, interpolation=cv2.INTER_LINEAR)
    pipeline = Pipeline(exact_engine(ramp()))
    played(pipeline, range(5))
    pipeline.swap(exact_engine(other))
    (depth, facts), *_ = played(pipeline, range(5, 6))
    assert depth.shape == SIZE[::-1] and facts.reset
    assert np.median(depth / ramp()) == pytest.approx(1.25, rel=0.1)


def test_before_the_first_frame_it_is_nothing_but_another_engine(exact_engine):
    pipeline = Pipeline(exact_engine(ramp()))
    pipeline.swap(exact_engine(ramp() * np.float32(2)))
    (depth, facts), *_ = played(pipeline, range(1))
    np.testing.assert_allclose(depth, ramp() * 2, rtol=1e-5)
    assert not facts.reset


def test_what_cannot_run_changes_nothing(exact_engine):
    class Broken(type(exact_engine())):
        def infer(self, image):
            raise Clip2DepthError("The device is gone.")

    first = exact_engine(ramp())
    pipeline = Pipeline(first)
    played(pipeline, range(5))
    with pytest.raises(Clip2DepthError, match="device is gone"):
        pipeline.swap(Broken(first.manifest))
    (depth, facts), *_ = played(pipeline, range(5, 6))
    assert pipeline.engine is first and not facts.reset
    np.testing.assert_allclose(depth, ramp(), rtol=1e-3)


def test_a_bundle_that_needs_a_camera_is_refused_where_there_is_none(exact_engine):
    first = exact_engine(ramp())
    pipeline = Pipeline(first)
    pipeline.process(Frame(IMAGE, 0, "optical", None))
    with pytest.raises(Clip2DepthError, match="needs the camera"):
        pipeline.swap(exact_engine(ramp(), canonical_focal_px=100.0))
    assert pipeline.engine is first
    pipeline.process(Frame(IMAGE, PERIOD, "optical", None))
