# SPDX-License-Identifier: Apache-2.0
"""Bundles without metres: nothing is published before a source has told them, and the right thing after."""

import sys
from pathlib import Path

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import Floor, Frame
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings, sample_ranges

CAMERA = Camera.from_fov(112, 84, 1.2)
FACTOR, SHIFT = 0.03, -0.12  # 1 / metres = FACTOR * disparity + SHIFT


@pytest.fixture(scope="module")
def room() -> np.ndarray:
    """(h, w) a floor 0.6 m below, a wall 4 m ahead, a box before it."""
    _, y = CAMERA.axes()
    depth = np.minimum(4.0, 0.6 / np.maximum(np.repeat(y[:, None], 112, 1), 1e-3)).astype(np.float32)
    depth[30:60, 20:40] = np.minimum(depth[30:60, 20:40], 1.5)
    return depth


def outputs(kind: str, room: np.ndarray) -> np.ndarray:
    """What a network of the kind makes of the room."""
    return {"scale_free": 0.04 * room, "affine_inverse": (1 / room - SHIFT) / FACTOR}[kind].astype(np.float32)


def frame_of(index: int, room: np.ndarray, ranges: int = 0, **hints) -> Frame:
    image = np.random.default_rng(5).integers(0, 256, (84, 112, 3), np.uint8)
    if ranges:
        hints["ranges"] = sample_ranges(room, CAMERA, ranges, (1, index))
    return Frame(image, index * 66_666_667, "optical", CAMERA, **hints)


ALL_SOURCES = ScaleSettings(ranges=True, height=0.6, odometry=True)
KINDS = pytest.mark.parametrize("kind", ["scale_free", "affine_inverse"])


@KINDS
@pytest.mark.parametrize("stabilized", [True, False])
@pytest.mark.parametrize("scale", [None, ScaleSettings(), ALL_SOURCES])
def test_nothing_before_a_source_has_spoken(exact_engine, room, kind, stabilized, scale):
    """No settings, no source, and sources of which none has anything to say."""
    flat = np.full_like(room, 3.0)  # no floor in it
    options = {} if stabilized else {"stabilizer": None}
    pipeline = Pipeline(exact_engine(outputs(kind, flat), depth_kind=kind), scale=scale, **options)
    pipeline.keep_raw = True
    for index in range(5):
        result = pipeline.process(frame_of(index, room))
        assert np.isnan(result.depth).all() and np.isnan(result.raw).all()
        assert result.facts.valid_fraction == 0
        assert result.facts.floor is None
        assert result.facts.scale_source == ""
        assert "gives" in result.facts.no_metres and "unknown factor" in result.facts.no_metres
        named = scale is not None and scale.ranges
        assert ("it needs the camera's height" in result.facts.no_metres) == (not named)


@KINDS
def test_ranges_give_the_metres(exact_engine, room, kind):
    pipeline = Pipeline(exact_engine(outputs(kind, room), depth_kind=kind), scale=ScaleSettings(ranges=True))
    for index in range(3):  # two frames without them, and then some
        result = pipeline.process(frame_of(index, room, 60 if index == 2 else 0))
        assert bool(result.facts.no_metres) == (index < 2)
    for index in range(3, 45):
        result = pipeline.process(frame_of(index, room, 60))
    known = np.isfinite(result.depth)
    assert known.mean() > 0.95
    np.testing.assert_allclose(result.depth[known], room[known], rtol=0.02)
    assert result.facts.scale_source == "ranges"
    assert result.facts.scale_deviation < 0.05
    expected = 1 / 0.04 if kind == "scale_free" else FACTOR
    assert result.facts.scale == pytest.approx(expected, rel=0.03)
    if kind == "affine_inverse":
        assert result.facts.scale_shift == pytest.approx(SHIFT, abs=0.01)
        assert result.facts.floor.height == pytest.approx(0.6, rel=0.05)


def test_metric_bundles_are_as_they_were(exact_engine, room):
    result = Pipeline(exact_engine(room)).process(frame_of(0, room))
    assert result.facts.no_metres == ""
    assert np.isnan(result.facts.scale_shift)
    np.testing.assert_array_equal(result.depth, room)


def test_a_disparity_of_one_value_and_of_none(exact_engine, room):
    """A lens cap, and a network that gives no number: a frame each, and the next one is right."""
    engine = exact_engine(outputs("affine_inverse", room), depth_kind="affine_inverse")
    pipeline = Pipeline(engine, scale=ScaleSettings(ranges=True, height=0.6))
    good = engine.depth
    for index, answer in enumerate((np.zeros_like(good), np.full_like(good, np.nan), good, good)):
        engine.depth = answer
        result = pipeline.process(frame_of(index, room, 60))
    known = np.isfinite(result.depth)
    np.testing.assert_allclose(result.depth[known], room[known], rtol=0.05)


def test_no_motion_is_computed_from_what_is_no_depth(exact_engine, room):
    """Until factor and shift are known the stabilizer has no camera, and forgets what it had then."""
    pipeline = Pipeline(
        exact_engine(outputs("affine_inverse", room), depth_kind="affine_inverse"),
        scale=ScaleSettings(ranges=True),
    )
    motions = [pipeline.process(frame_of(i, room, 60 if i > 3 else 0)).facts for i in range(8)]
    assert {facts.motion for facts in motions[:4]} == {"none"}
    assert motions[4].reset and not motions[5].reset
    assert {facts.motion for facts in motions[5:]} <= {"vision", "none"}


def test_reset_forgets_factor_and_shift(exact_engine, room):
    engine = exact_engine(outputs("affine_inverse", room), depth_kind="affine_inverse")
    pipeline = Pipeline(engine, scale=ScaleSettings(ranges=True))
    pipeline.process(frame_of(0, room, 60))
    assert not pipeline.process(frame_of(1, room)).facts.no_metres
    pipeline.reset(keep_scale=True)
    assert not pipeline.process(frame_of(2, room)).facts.no_metres
    pipeline.reset()
    assert pipeline.process(frame_of(3, room)).facts.no_metres


def test_what_is_published_moves_slowly(exact_engine, room):
    """A network that changes its mind: depth follows by at most max_step a frame."""
    engine = exact_engine(outputs("affine_inverse", room), depth_kind="affine_inverse")
    pipeline = Pipeline(engine, scale=ScaleSettings(ranges=True), stabilizer=None)
    factors = []
    for index in range(60):
        if index == 20:
            engine.depth = (1.3 * engine.depth).astype(np.float32)
        facts = pipeline.process(frame_of(index, room, 60)).facts
        factors.append(facts.scale * np.percentile(engine.depth, [10, 50, 90]) + facts.scale_shift)
    steps = np.abs(np.diff(np.log(factors), axis=0))
    assert np.delete(steps, 19, axis=0).max() < 0.021  # one step is the network's own
    known = np.isfinite(pipeline.process(frame_of(60, room, 60)).depth)
    assert np.abs(pipeline.process(frame_of(61, room, 60)).depth[known] / room[known] - 1).mean() < 0.03


def test_the_floor_alone_where_the_mounting_is_known(exact_engine, room):
    """Of a camera that looks ahead, near things: the shift is known as well as the tilt."""
    near = np.minimum(room, 2.0)
    engine = exact_engine(outputs("affine_inverse", near), depth_kind="affine_inverse")
    mounting = Floor.from_mounting(0.6)
    settings = ScaleSettings(height=mounting.height, pitch=mounting.pitch, roll=mounting.roll)
    pipeline = Pipeline(engine, scale=settings)
    for index in range(10):
        result = pipeline.process(frame_of(index, near))
    assert result.facts.scale_source == "height"
    known = np.isfinite(result.depth)
    np.testing.assert_allclose(result.depth[known], near[known], rtol=0.03)


def test_ranges_of_another_place_are_said(exact_engine, room):
    engine = exact_engine(outputs("affine_inverse", room), depth_kind="affine_inverse")
    pipeline = Pipeline(engine, scale=ScaleSettings(ranges=True))
    said = []
    for index in range(30):
        frame = frame_of(index, room, 60)
        rng = np.random.default_rng([9, index])
        frame.ranges = frame.ranges * rng.uniform(0.2, 5.0, (60, 1)).astype(np.float32)
        result = pipeline.process(frame)
        said += result.facts.warnings
    assert result.facts.no_metres
    assert any("do not match the image" in text for text in said)
    assert len(said) < 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2])
def test_drives(seed):
    """Within 3 % in 3 s from 60 ranges a frame; within 5 % from height and odometry after 2 m."""
    pytest.importorskip("mujoco")
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmark"))
    try:
        import affine
    finally:
        sys.path.pop(0)
    from clip2depth_ros.simulation import Drive

    frames = list(Drive(seed, *affine.SIZE, affine.FPS, seconds=7.0))
    course = affine.drive(frames, "ranges", seed)
    assert np.nanmax(course.error[course.time >= 3.0]) < 0.03
    assert not np.isnan(course.error[course.time >= 3.0]).any()
    course = affine.drive(frames, "height + odometry", seed)
    after = course.driven >= 2.0
    assert after.sum() > 10
    assert not np.isnan(course.error[after]).any()
    assert np.max(course.error[after]) < 0.05
    assert np.isnan(course.error[course.driven < 0.05]).all()
