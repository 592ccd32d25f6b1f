# SPDX-License-Identifier: Apache-2.0
"""Stabilizer and scale in the pipeline: what they are given, and what becomes of what they say."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import Floor, Frame
from clip2depth_ros.outputs import LaserScan
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.pipeline import pipeline as module
from clip2depth_ros.settings import PipelineSettings, ScaleSettings, StabilizerSettings

CAMERA = Camera.from_fov(320, 160, 1.1)
STEP = 33_333_333


def frame_of(index: int, camera: Camera = CAMERA, **hints) -> Frame:
    image = np.random.default_rng(5).integers(0, 256, (camera.height, camera.width, 3), np.uint8)
    return Frame(image, index * STEP, "optical", camera, **hints)


def pose_at(x: float, yaw: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 0] = pose[2, 2] = np.cos(yaw)
    pose[0, 2], pose[2, 0] = np.sin(yaw), -np.sin(yaw)
    pose[:3, 3] = x, 0.0, 0.5
    return pose


class FakeStabilizer:
    """Adds a metre, and remembers what it was told."""

    def __init__(self, settings):
        self.settings = settings
        self.calls = []
        self.resets = 0
        self.reason = ""

    def reset(self):
        self.resets += 1

    def update(self, depth, image, camera, stamp, *, motion=None, motion_deviation=0.0):
        given = SimpleNamespace(
            depth=depth.copy(), image=image.copy(), camera=camera, stamp=stamp, motion=motion
        )
        self.calls.append(given)
        deviation = np.full(depth.shape, 0.03, np.float32)
        return SimpleNamespace(
            depth=depth + 1,
            deviation=deviation,
            motion=None,
            visual_odometry=pose_at(0.1),
            visual_odometry_std_dev=0.2,
            corners=(np.zeros((0, 3)), np.zeros((0, 2))),
            source="vision",
            scale_jitter=1.05,
            temporal_error=0.01,
            reset=self.reason,
        )


class FakeEstimator:
    """Doubles the depth, once it may."""

    def __init__(self, settings):
        self.settings = settings
        self.calls = []
        self.resets = self.closed = 0
        self.source = "height"

    def reset(self):
        self.resets += 1

    def close(self):
        self.closed += 1

    def update(self, depth, camera, stamp, **more):
        self.calls.append(SimpleNamespace(depth=depth.copy(), camera=camera, stamp=stamp, **more))
        floor = Floor.from_mounting(1.5)
        return SimpleNamespace(
            value=2.0, deviation=0.04, source=self.source, floor=floor, warnings=("Look here.",), age=3.0
        )


@pytest.fixture
def faked(monkeypatch, exact_engine):
    """Function: a pipeline with fakes, faked(**arguments) -> pipeline; the network's depth is 2 m, 96x96."""
    monkeypatch.setattr(module, "Stabilizer", FakeStabilizer)
    monkeypatch.setattr(module, "ScaleEstimator", FakeEstimator)

    def make(depth=None, **arguments) -> Pipeline:
        depth = np.full((96, 96), 2.0, np.float32) if depth is None else depth
        return Pipeline(exact_engine(depth), **({"scale": ScaleSettings(height=1.5)} | arguments))

    return make


def test_what_the_stages_get_and_give(faked):
    depth = np.full((96, 96), 2.0, np.float32)
    depth[40:50, 20:30] = np.nan
    pipeline = faked(depth)
    ranges, gravity = np.ones((4, 3), np.float32), np.array([0.0, 1.0, 0.0])
    result = pipeline.process(frame_of(7, odometry=pose_at(0), gravity=gravity, ranges=ranges))
    stabilizer, estimator = pipeline._stabilizer, pipeline._estimator
    told = stabilizer.calls[0]
    # The letterbox's border stays outside: 320x160 in 96x96 leaves 96x48.
    assert told.depth.shape == told.image.shape[:2] == (48, 96) and told.camera == CAMERA.scaled(96, 48)
    assert told.stamp == 7 * STEP and told.motion is None
    np.testing.assert_array_equal(told.depth, depth[24:72])
    asked = estimator.calls[0]
    np.testing.assert_array_equal(asked.depth, depth[24:72] + 1)
    assert asked.camera == told.camera and asked.stamp == told.stamp and asked.visual_odometry_std_dev == 0.2
    np.testing.assert_array_equal(asked.visual_odometry, pose_at(0.1))
    np.testing.assert_array_equal(asked.odometry, pose_at(0))
    assert asked.ranges is ranges and asked.gravity is gravity

    known = np.isfinite(result.depth)
    np.testing.assert_allclose(result.depth[known], 6.0)
    assert 0.9 < known.mean() < 1 and result.facts.valid_fraction == pytest.approx(known.mean())
    np.testing.assert_array_equal(np.isfinite(result.std_dev), known)
    np.testing.assert_allclose(result.std_dev[known], 0.05, rtol=1e-5)  # 3 % and 4 % in quadrature
    facts = result.facts
    assert list(facts.times) == ["rectify", "fit", "infer", "stabilize", "scale", "unfit"]
    assert (facts.motion, facts.flicker, facts.temporal_error) == ("vision", 1.05, 0.01)
    assert (facts.scale, facts.scale_deviation, facts.scale_source) == (2.0, 0.04, "height")
    assert facts.scale_age == 3.0 and facts.floor.height == 1.5 and facts.warnings == ("Look here.",)


def test_the_networks_own_depth_on_request(faked):
    pipeline = faked()
    assert pipeline.process(frame_of(0)).raw is None
    pipeline.keep_raw = True
    result = pipeline.process(frame_of(1))
    np.testing.assert_allclose(result.raw, 2.0)
    np.testing.assert_allclose(result.depth, 6.0)


def test_odometry_moves_the_stabilizer_in_the_depths_own_metres(faked):
    pipeline = faked()
    for index, x in enumerate((0.0, 0.2, 0.3)):
        pipeline.process(frame_of(index, odometry=pose_at(x)))
    first, second, third = (call.motion for call in pipeline._stabilizer.calls)
    assert first is None
    # The camera moved 0.2 m to its right: the world's points moved to the left, in metres half as long.
    np.testing.assert_allclose(
        second, [[1, 0, 0, -0.1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-12
    )
    np.testing.assert_allclose(third[:3, 3], [-0.05, 0, 0], atol=1e-12)
    pipeline.process(frame_of(3))
    pipeline.process(frame_of(4, odometry=pose_at(0.5)))
    assert [call.motion for call in pipeline._stabilizer.calls[3:]] == [None, None]


def test_odometry_waits_until_the_scale_is_known(faked):
    pipeline = faked()
    pipeline.process(frame_of(0, odometry=pose_at(0)))
    pipeline._estimator.source = ""
    pipeline.process(frame_of(1, odometry=pose_at(0.2)))
    pipeline.process(frame_of(2, odometry=pose_at(0.4)))
    _, known, unknown = (call.motion for call in pipeline._stabilizer.calls)
    assert known is not None and unknown is None
    # Nobody asked for a scale: the metres are taken for the same.
    alone = faked(scale=None)
    for index in range(2):
        alone.process(frame_of(index, odometry=pose_at(0.2 * index)))
    assert alone._stabilizer.calls[1].motion[0, 3] == pytest.approx(-0.2)


@pytest.mark.parametrize(
    "broken", [np.full((4, 4), np.nan), np.eye(3), 2 * np.eye(4), np.diag([1.0, 1, -1, 1]), np.zeros((4, 4))]
)
def test_broken_odometry_costs_nothing_but_itself(faked, broken):
    pipeline = faked(scale=None)
    results = []
    for index, pose in enumerate((pose_at(0), broken, pose_at(0.1), pose_at(0.2))):
        results.append(pipeline.process(frame_of(index, odometry=pose)).facts.warnings)
    motions = [call.motion for call in pipeline._stabilizer.calls]
    assert motions[:3] == [None] * 3 and motions[3][0, 3] == pytest.approx(-0.1)
    assert [len(warnings) for warnings in results] == [0, 1, 0, 0] and "Odometry is not used" in results[1][0]


@pytest.mark.parametrize(
    "hints",
    [
        {"odometry": np.full((4, 4), np.nan)},
        {"odometry": np.zeros(7)},
        {"gravity": np.full(3, np.nan)},
        {"gravity": np.zeros(3)},
        {"ranges": np.full((5, 3), np.nan, np.float32)},
        {"ranges": np.zeros((0, 3), np.float32)},
        {"ranges": np.zeros(5, np.float32)},
    ],
)
def test_broken_hints_do_not_cost_the_frame(exact_engine, hints):
    """With the real stages."""
    settings = ScaleSettings(height=1.0, odometry=True, ranges=True)
    pipeline = Pipeline(exact_engine(np.full((48, 64), 2.0)), scale=settings)
    for index in range(3):
        result = pipeline.process(frame_of(index, **hints))
        np.testing.assert_allclose(result.depth, 2.0 * result.facts.scale, rtol=1e-3)


def test_switching_while_running(faked):
    pipeline = faked()
    assert pipeline.process(frame_of(0)).depth[0, 0] == pytest.approx(6.0)
    stabilizer, estimator = pipeline._stabilizer, pipeline._estimator
    pipeline.configure(PipelineSettings(StabilizerSettings(memory=5.0), ScaleSettings(height=1.0)))
    pipeline.process(frame_of(1))
    assert pipeline._stabilizer is stabilizer and stabilizer.settings.memory == 5.0
    assert pipeline._estimator is estimator and estimator.settings.height == 1.0
    pipeline.configure(PipelineSettings(StabilizerSettings(enabled=False), ScaleSettings(height=1.0)))
    result = pipeline.process(frame_of(2))
    assert result.depth[0, 0] == pytest.approx(4.0) and result.std_dev is None
    assert result.facts.motion == "" and estimator.calls[-1].visual_odometry is None
    pipeline.configure(PipelineSettings(None, None))
    result = pipeline.process(frame_of(3))
    assert result.depth[0, 0] == pytest.approx(2.0) and estimator.closed == 1
    facts = result.facts
    assert (facts.scale, facts.scale_source, facts.floor) == (1.0, "", None) and np.isnan(
        facts.scale_deviation
    )
    pipeline.configure(PipelineSettings(StabilizerSettings()))
    result = pipeline.process(frame_of(4))
    assert result.depth[0, 0] == pytest.approx(3.0) and result.std_dev is not None
    assert not result.facts.reset


def test_who_forgot_what(faked):
    pipeline = faked()
    assert not pipeline.process(frame_of(0)).facts.reset
    stabilizer, estimator = pipeline._stabilizer, pipeline._estimator
    stabilizer.resets = 0  # before the first frame there is nothing to forget
    stabilizer.reason = "cut"
    assert pipeline.process(frame_of(1)).facts.reset
    stabilizer.reason = ""
    assert not pipeline.process(frame_of(2)).facts.reset
    pipeline.reset(keep_scale=True)
    assert pipeline.process(frame_of(3)).facts.reset
    assert (stabilizer.resets, estimator.resets) == (1, 0)
    pipeline.reset()
    assert (stabilizer.resets, estimator.resets) == (2, 1)
    # Time that runs back is a recording's loop: the camera and its scale are the same.
    assert pipeline.process(frame_of(1)).facts.reset
    assert pipeline.process(frame_of(0)).facts.reset
    assert (stabilizer.resets, estimator.resets) == (3, 1)
    pipeline.close()
    pipeline.close()
    assert estimator.closed == 2


def test_odometry_from_before_a_reset_is_no_motion(faked):
    pipeline = faked()
    pipeline.process(frame_of(5, odometry=pose_at(0)))
    pipeline.process(frame_of(0, odometry=pose_at(3)))
    assert pipeline._stabilizer.calls[1].motion is None


def test_no_allocation_of_deviation_and_raw_per_frame(exact_engine):
    pipeline = Pipeline(exact_engine(), depth_size=(160, 120))
    pipeline.keep_raw = True
    first, second = pipeline.process(frame_of(0)), pipeline.process(frame_of(1))
    assert first.raw is second.raw and np.shares_memory(first.std_dev, second.std_dev)


def waves(index: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A wall at 3 m with a box, and a frame's own flicker: its scale and a smooth field."""
    rng = np.random.default_rng([1, index])
    depth = np.full((height, width), 3.0, np.float32)
    depth[30:70, 40:80] = 1.5
    field = cv2.resize(rng.normal(0, 0.05, (4, 5)), (width, height), interpolation=cv2.INTER_CUBIC)
    return (depth * np.exp(field + rng.normal(0, 0.05))).astype(np.float32)


def test_a_still_camera_sees_depth_come_to_rest(exact_engine):
    engine = exact_engine(waves(0))
    pipeline = Pipeline(engine)
    pipeline.keep_raw = True
    camera = Camera.from_fov(128, 96, 1.1)
    stable, raw, deviations = [], [], []
    for index in range(30):
        engine.depth = waves(index)
        result = pipeline.process(frame_of(index, camera))
        stable.append(result.depth.copy())
        raw.append(result.raw.copy())
        deviations.append(float(np.nanmedian(result.std_dev)))
    jumps = [np.median(np.abs(np.diff(np.log(d[10:]), axis=0))) for d in (np.array(stable), np.array(raw))]
    assert jumps[0] < 0.2 * jumps[1]
    assert deviations[-1] < 0.5 * deviations[0]
    # At rest at the right place: the mean of what was seen, on wall and box alike.
    truth = np.where(waves(0) < 2, 1.5, 3.0)
    assert np.abs(stable[-1] / truth - 1).mean() < 0.6 * np.mean([np.abs(r / truth - 1).mean() for r in raw])


def test_the_unknown_stays_where_it_is(exact_engine):
    engine = exact_engine(waves(0))
    pipeline = Pipeline(engine)
    camera = Camera.from_fov(128, 96, 1.1)
    for index in range(6):
        engine.depth = waves(index)
        hole = slice(50, 60), slice(10 * index, 10 * index + 20)
        engine.depth[hole] = np.nan
        result = pipeline.process(frame_of(index, camera))
        assert np.isnan(result.depth[hole]).all() and np.isnan(result.std_dev[hole]).all()
        assert np.isnan(result.depth).sum() == 200 == np.isnan(result.std_dev).sum()


def test_the_cameras_height_gives_metres_floor_and_scan(exact_engine):
    """A network that is wrong by a half, a floor and a wall: everything comes out in the robot's metres."""
    camera = Camera.from_fov(128, 96, 1.1)
    floor = Floor.from_mounting(0.8, 0.15)
    rays = camera.rays().astype(np.float64)
    with np.errstate(divide="ignore"):
        to_floor = -0.8 / (rays @ floor.normal)
    wall = 4.0 / (rays @ (0.0, -np.sin(0.15), np.cos(0.15)))
    truth = np.where((to_floor > 0) & (to_floor < wall), to_floor, wall)
    pipeline = Pipeline(
        exact_engine((truth / 2).astype(np.float32)), scale=ScaleSettings(height=0.8, pitch=0.15)
    )
    for index in range(120):
        result = pipeline.process(frame_of(index, camera))
    facts = result.facts
    assert facts.scale == pytest.approx(2.0, rel=0.03) and facts.scale_source == "height"
    np.testing.assert_allclose(result.depth, truth, rtol=0.05)
    assert facts.floor.height == pytest.approx(0.8, rel=0.03) and facts.floor.pitch == pytest.approx(
        0.15, abs=0.02
    )
    assert np.nanmedian(result.std_dev) >= facts.scale_deviation > 0
    ranges = LaserScan().build(result, facts.floor)
    assert np.nanmin(ranges) == pytest.approx(4.0, rel=0.05)


def test_real_frames_hold_still(rgbd):
    """The shipped bundle's depth on a moving camera: raw and stable against each other, by the true poses."""
    from clip2depth_ros.bundle import open_bundle
    from clip2depth_ros.engines import open_engine
    from clip2depth_ros.io import open_source
    from clip2depth_ros.metrics.temporal import tae

    errors = {"raw": [], "stable": []}
    with open_engine(open_bundle("mini")) as engine, open_source(rgbd / "kitchen") as source:
        pipeline = Pipeline(engine, depth_size=(160, 120))
        pipeline.keep_raw = True
        past = None
        for index, frame in enumerate(source):
            if index == 60:
                break
            result = pipeline.process(frame)
            now = {"raw": result.raw.copy(), "stable": result.depth.copy()}, frame.pose
            if past is not None and index > 10:
                for name, found in errors.items():
                    found.append(tae(past[0][name], now[0][name], result.camera, past[1], now[1]))
            past = now
            assert result.facts.motion in ("vision", "none")
            assert result.facts.reset is False and np.isnan(result.facts.flicker) == (index == 0)
    assert np.mean(errors["stable"]) < 0.5 * np.mean(errors["raw"])
