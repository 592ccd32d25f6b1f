# SPDX-License-Identifier: Apache-2.0
"""The scale estimator: factor and floor from depth and aiding measurements; bad measurements are reported."""

import dataclasses
import json
import math
import warnings

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.scale import ScaleEstimator, ScaleSettings, sample_ranges
from clip2depth_ros.scale.source import Evidence, ScaleSource


@pytest.fixture(autouse=True)
def no_numpy_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def room(world) -> np.ndarray:
    return world.ray_cast(world.CAMERA, world.camera_pose(2.0, 3.0, 0.6, 0.2, 0.1, 0.0))


def run(world, estimator, depth, frames, start=0.0, rate=15.0, **hints):
    """The answers over frames of one depth."""
    found = []
    for index in range(frames):
        given = {name: hint(index) if callable(hint) else hint for name, hint in hints.items()}
        found.append(estimator.update(depth, world.CAMERA, round((start + index / rate) * 1e9), **given))
    return found


def points(world, room):
    return lambda index: sample_ranges(room, world.CAMERA, 60, index)


def test_without_sources_the_factor_stays_and_the_floor_is_found(world, room):
    answers = run(world, ScaleEstimator(ScaleSettings(pitch=0.1)), room, 5)
    last = answers[-1]
    assert {answer.value for answer in answers} == {1.0}
    assert (last.source, last.warnings) == ("", ()) and math.isnan(last.deviation) and math.isnan(last.age)
    assert last.floor.height == pytest.approx(0.6, rel=0.02)
    assert last.floor.pitch == pytest.approx(0.1, abs=0.02)


def test_the_floor_is_in_scaled_meters(world, room):
    settings = ScaleSettings(height=0.6, pitch=0.1)
    last = run(world, ScaleEstimator(settings), (room * 2.0).astype(np.float32), 30)[-1]
    assert last.value == pytest.approx(0.5, rel=0.02) and last.source == "height"
    assert last.floor.height == pytest.approx(0.6, rel=0.01)
    assert last.deviation < 0.09 and last.age == 0.0


def test_gravity_has_priority_over_the_mounting(world):
    pose = world.camera_pose(2.0, 3.0, 0.6, 0.2, 0.5, 0.3)
    depth = world.ray_cast(world.CAMERA, pose)
    assert run(world, ScaleEstimator(ScaleSettings()), depth, 1)[0].floor is None
    floor = run(world, ScaleEstimator(ScaleSettings()), depth, 1, gravity=-9.81 * pose[2, :3])[0].floor
    assert (floor.pitch, floor.roll) == pytest.approx((0.5, 0.3), abs=0.02)


def test_the_first_evidence_is_published_at_once(world, room):
    depth = (room * 2.5).astype(np.float32)
    answers = run(world, ScaleEstimator(ScaleSettings(ranges=True)), depth, 5, ranges=points(world, room))
    assert answers[0].value == pytest.approx(0.4, rel=0.03)
    # Later evidence must not cause a jump of the published factor.
    estimator = ScaleEstimator(ScaleSettings(ranges=True))
    before = run(world, estimator, depth, 3)
    after = run(world, estimator, depth, 60, start=0.2, ranges=points(world, room))
    world.assert_no_jump([answer.value for answer in before + after])
    assert (
        after[0].deviation > 0.5 > after[-1].deviation
    )  # while the factor moves, the difference is included
    assert after[-1].value == pytest.approx(0.4, rel=0.01)


BAD = {
    "odometry": [np.full((4, 4), np.nan), np.eye(3)],
    "gravity": [np.zeros(3), np.full(3, np.nan), np.ones(4)],
    "ranges": [np.full((9, 3), np.nan), np.full((9, 3), -1.0), np.ones((3, 4))],
}


@pytest.mark.parametrize(("name", "hint"), [(name, hint) for name, hints in BAD.items() for hint in hints])
def test_bad_measurements_are_reported_and_change_nothing(world, room, name, hint):
    estimator = ScaleEstimator(ScaleSettings(height=0.6, pitch=0.1, odometry=True, ranges=True))
    good = run(
        world, estimator, room, 30, ranges=points(world, room), odometry=np.eye(4), visual_odometry=np.eye(4)
    )
    hints = {"visual_odometry": np.eye(4), name: hint}
    bad = run(world, estimator, room, 30, start=2.0, **hints)
    assert [abs(answer.value / good[-1].value - 1) < 0.01 for answer in bad] == [True] * 30
    said = [warning for answer in bad for warning in answer.warnings]
    assert len(said) == 1 and said[0].endswith(".") and "\n" not in said[0]


def test_a_warning_is_repeated_only_after_a_while(world, room):
    estimator = ScaleEstimator(ScaleSettings(ranges=True))
    said = [a.warnings for a in run(world, estimator, room, 300, ranges=np.full((9, 3), np.nan))]
    assert sum(map(len, said)) == 2 and said[0] and said[150]


def test_a_scan_in_a_wrong_frame_changes_nothing(world, room):
    estimator = ScaleEstimator(ScaleSettings(ranges=True))
    turn = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], np.float32)
    answers = run(world, estimator, room, 60, ranges=lambda i: points(world, room)(i) @ turn.T)
    assert {answer.value for answer in answers} == {1.0}
    assert "check the pose of the range sensor" in answers[0].warnings[0]


def test_freeze_holds_the_factor_until_it_is_off(world, room):
    depth = (room * 1.5).astype(np.float32)
    estimator = ScaleEstimator(ScaleSettings(ranges=True, freeze=True))
    assert {a.value for a in run(world, estimator, depth, 30, ranges=points(world, room))} == {1.0}
    estimator.settings = dataclasses.replace(estimator.settings, freeze=False)
    answers = run(world, estimator, depth, 60, start=2.0, ranges=points(world, room))
    world.assert_no_jump([1.0] + [answer.value for answer in answers])
    assert answers[-1].value == pytest.approx(1 / 1.5, rel=0.01)


def test_a_changed_height_takes_effect_while_running(world, room):
    estimator = ScaleEstimator(ScaleSettings(height=0.6, pitch=0.1))
    first = run(world, estimator, room, 30)
    estimator.settings = dataclasses.replace(estimator.settings, height=0.9)
    second = run(world, estimator, room, 60, start=2.0)
    world.assert_no_jump([answer.value for answer in first + second])
    assert first[-1].value == pytest.approx(1.0, rel=0.02)
    assert second[-1].value == pytest.approx(1.5, rel=0.02)


def test_reset_drops_the_evidence(world, room):
    estimator = ScaleEstimator(ScaleSettings(height=0.6, pitch=0.1, initial=1.7))
    run(world, estimator, room, 30)
    estimator.reset()
    empty = np.full_like(room, np.nan)
    answer = run(world, estimator, empty, 1, start=3.0)[0]
    assert (answer.value, answer.source, answer.floor) == (1.7, "", None) and math.isnan(answer.deviation)


def test_time_that_runs_back_keeps_the_factor(world, room):
    estimator = ScaleEstimator(ScaleSettings(height=0.9, pitch=0.1, odometry=True))
    first = run(world, estimator, room, 60, start=50.0, odometry=np.eye(4), visual_odometry=np.eye(4))
    second = run(world, estimator, room, 60, start=0.0, odometry=np.eye(4), visual_odometry=np.eye(4))
    world.assert_no_jump([answer.value for answer in first + second])
    assert second[0].value == pytest.approx(1.5, rel=0.02)


def test_without_a_camera_the_factor_is_held_with_a_warning(world, room):
    estimator = ScaleEstimator(ScaleSettings(height=0.6))
    answer = estimator.update(room, None, 0)
    assert (answer.value, answer.floor) == (1.0, None) and "needs a camera" in answer.warnings[0]
    assert ScaleEstimator(ScaleSettings()).update(room, None, 0).warnings == ()


def test_a_camera_of_another_size_is_rejected(room):
    with pytest.raises(Clip2DepthError, match="scale needs the camera of the depth"):
        ScaleEstimator(ScaleSettings()).update(room, Camera.from_fov(320, 240, 1.2), 0)


def test_a_restart_begins_at_the_stored_factor(world, room, tmp_path):
    settings = ScaleSettings(height=0.9, pitch=0.1, memory=str(tmp_path / "scale.json"), name="mini/left")
    first = ScaleEstimator(settings)
    run(world, first, room, 60)
    first.close()
    first.close()
    empty = np.full_like(room, np.nan)
    answer = run(world, ScaleEstimator(settings), empty, 1)[0]
    assert answer.value == pytest.approx(1.5, rel=0.02) and answer.source == "memory"
    assert answer.deviation == pytest.approx(0.1, rel=0.01) and answer.warnings == ()
    other = ScaleEstimator(dataclasses.replace(settings, name="mini/right"))
    assert run(world, other, empty, 1)[0].value == 1.0
    # A factor without evidence is not written.
    other.close()
    assert len(json.loads((tmp_path / "scale.json").read_text())["cameras"]) == 1


def test_names_and_cameras_keep_their_own_factors(world, room, tmp_path):
    path = tmp_path / "scale.json"
    settings = ScaleSettings(height=0.9, pitch=0.1, memory=str(path), name="left")
    estimator = ScaleEstimator(settings)
    run(world, estimator, room, 60)
    estimator.settings = dataclasses.replace(settings, name="right", height=0.6)
    right = run(world, estimator, room, 60, start=5.0)
    assert right[0].value == pytest.approx(1.0, rel=0.02)
    # A camera that is not in the file does not start with another camera's factor.
    half = Camera.from_fov(56, 42, 1.2)
    small = np.full((42, 56), np.nan, np.float32)
    answer = estimator.update(small, half, 10_000_000_000)
    assert (answer.value, answer.source) == (1.0, "")
    estimator.settings = settings
    again = run(world, estimator, np.full_like(room, np.nan), 1, start=12.0)[0]
    assert again.value == pytest.approx(1.5, rel=0.02) and again.source == "memory"
    cameras = json.loads(path.read_text())["cameras"]
    assert {key.split()[0]: round(entry["scale"], 1) for key, entry in cameras.items()} == {
        "left": 1.5,
        "right": 1.0,
    }


def test_the_file_is_written_periodically(world, room, tmp_path):
    path = tmp_path / "scale.json"
    estimator = ScaleEstimator(ScaleSettings(height=0.9, pitch=0.1, memory=str(path)))
    run(world, estimator, room, 59, rate=1.0)
    assert not path.exists()
    run(world, estimator, room, 3, start=59.0, rate=1.0)
    written = path.stat().st_mtime_ns
    run(world, estimator, room, 200, start=62.0, rate=1.0)
    assert path.stat().st_mtime_ns == written  # the factor did not change


def test_a_damaged_file_is_one_warning(world, room, tmp_path):
    path = tmp_path / "scale.json"
    path.write_text("{")
    estimator = ScaleEstimator(ScaleSettings(height=0.6, pitch=0.1, memory=str(path)))
    said = [warning for answer in run(world, estimator, room, 30) for warning in answer.warnings]
    assert len(said) == 1 and "damaged" in said[0]


def test_another_camera_has_another_factor(world, room):
    estimator = ScaleEstimator(ScaleSettings(height=0.9, pitch=0.1))
    run(world, estimator, room, 30)
    half = Camera.from_fov(80, 60, 1.2)
    small = np.full((60, 80), np.nan, np.float32)
    assert estimator.update(small, half, 3_000_000_000).value == 1.0


def test_it_takes_about_a_millisecond(world, room):
    import time

    estimator = ScaleEstimator(ScaleSettings(height=0.6, pitch=0.1, odometry=True, ranges=True))
    hints = {
        "visual_odometry": np.eye(4),
        "odometry": np.eye(4),
        "ranges": sample_ranges(room, world.CAMERA, 360, 0),
    }
    fastest = math.inf
    for index in range(50):
        started = time.perf_counter()
        estimator.update(room, world.CAMERA, index * 66_000_000, **hints)
        fastest = min(fastest, time.perf_counter() - started)
    assert fastest < 0.006  # 1 ms on a machine with nothing else to do


class Insistent(ScaleSource):
    """Gives the same evidence for every frame."""

    name, memory, override_time = "insistent", 1.0, 2.0

    def __init__(self, factor: float, deviation: float, shared_std_dev: float = 0.0) -> None:
        super().__init__()
        self._evidence = Evidence(math.log(factor), deviation, shared_std_dev)

    def evidence(self, view):
        return self._evidence


@pytest.mark.parametrize(
    ("factor", "deviation", "shared_std_dev", "low", "high"),
    [
        (1.2, 0.1, 0.2, 1.0, 1.03),  # the network's metric prior explains it
        (1.2, 0.01, 0.0, 1.18, 1.2),
        (2.5, 0.1, 0.1, 2.45, 2.5),
        (0.4, 0.03, 0.05, 0.4, 0.405),
    ],
)
def test_evidence_is_combined_with_the_networks_metric_prior(
    world, room, factor, deviation, shared_std_dev, low, high
):
    estimator = ScaleEstimator(ScaleSettings())
    estimator._sources = [Insistent(factor, deviation, shared_std_dev)]
    last = run(world, estimator, room, 60)[-1]
    assert low <= last.value <= high + 1e-6
    # Frames of one source share an error: more frames do not reduce the standard deviation below it.
    assert last.deviation >= 0.9 * min(0.035, math.hypot(deviation, shared_std_dev))
