# SPDX-License-Identifier: Apache-2.0
"""A drive is smooth and free of collisions, has true depth and pose, and is reproducible."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.simulation.drives.drive import START, Drive
from clip2depth_ros.simulation.drives.floor import FloorMap
from clip2depth_ros.simulation.drives.tracks import Gait, plan_track
from clip2depth_ros.simulation.rooms import make_room
from clip2depth_ros.simulation.scene.scene import Paint, Scene


@pytest.fixture(scope="module")
def frames(renderer):
    return list(Drive(4, 96, 72, fps=10, seconds=6))


def test_frames_are_complete(frames):
    assert len(frames) == 60
    assert [frame.stamp for frame in frames] == [START + k * 100_000_000 for k in range(60)]
    assert frames[0].stamp > 0 and frames[7].name == "000007"
    for frame in frames:
        assert frame.image.shape == (72, 96, 3) and frame.image.dtype == np.uint8
        assert frame.depth.shape == (72, 96) and frame.depth.dtype == np.float32
        assert frame.pose.shape == (4, 4) and frame.pose.dtype == np.float64
        assert frame.camera.width == 96
        assert 0.25 < frame.pose[2, 3] < 1.25
        assert np.nanmin(frame.depth) > 0.2


def test_the_same_seed_gives_the_same_bytes(frames):
    drive = Drive(4, 96, 72, fps=10, seconds=6)
    iterator = iter(drive)
    begun = [next(iterator) for _ in range(3)]
    # Another user renders in between, and the drive starts over.
    next(iter(Drive(7, 64, 48, seconds=1)))
    for a, b in zip(frames, drive, strict=True):
        assert a.image.tobytes() == b.image.tobytes() and a.depth.tobytes() == b.depth.tobytes()
        np.testing.assert_array_equal(a.pose, b.pose)
    assert begun[2].image.tobytes() == frames[2].image.tobytes()
    assert next(iterator).image.tobytes() == frames[3].image.tobytes()


def test_the_camera_moves_smoothly(frames):
    poses = np.array([frame.pose for frame in frames])
    step = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    turn = np.arccos(np.clip((poses[:-1, :3, 2] * poses[1:, :3, 2]).sum(axis=1), -1, 1))
    assert step.max() < 0.08 and turn.max() < 0.2
    assert step.sum() > 0.2 or turn.sum() > 0.5, "it goes somewhere"
    acceleration = np.abs(np.diff(step)) * 100
    assert acceleration.max() < 3.0


def test_depth_and_pose_belong_together(renderer):
    """The points of one frame, moved by the poses, are on the surfaces in another frame."""
    frames = list(Drive(6, 96, 72, fps=4, seconds=5, people=False))
    checked = 0
    for a, b in zip(frames[:-2], frames[2:], strict=True):
        points = a.camera.rays() * a.depth[..., None]
        world = points.reshape(-1, 3) @ a.pose[:3, :3].T + a.pose[:3, 3]
        seen = (world - b.pose[:3, 3]) @ b.pose[:3, :3]
        u = b.camera.fx * seen[:, 0] / seen[:, 2] + b.camera.cx
        v = b.camera.fy * seen[:, 1] / seen[:, 2] + b.camera.cy
        inside = (seen[:, 2] > 0.2) & (u > 0) & (v > 0) & (u < 95) & (v < 71)
        if inside.sum() < 500:
            continue
        measured = b.depth[np.round(v[inside]).astype(int), np.round(u[inside]).astype(int)]
        error = np.abs(measured / seen[inside, 2] - 1)
        assert np.nanmedian(error) < 0.01
        checked += 1
    assert checked > 5


def test_people_walk_and_are_seen(renderer):
    drive = Drive(4, 64, 48, fps=3, seconds=10)
    assert drive._walkers
    times = np.arange(0, 10, 0.1)
    for walker in drive._walkers:
        path = walker.track.at(times)[:, :2]
        assert np.hypot(*np.diff(path, axis=0).T).sum() > 1.0
        assert (drive._floor.clearance_at(path) > 0.2).all()
    empty = Drive(4, 64, 48, fps=3, seconds=10, people=False)
    differ = [
        (np.nan_to_num(a.depth) != np.nan_to_num(b.depth)).any() for a, b in zip(drive, empty, strict=True)
    ]
    assert any(differ)


def test_people_and_robot_do_not_collide(renderer):
    """Robot and people keep their distance for the whole drive, and the camera is never inside anything."""
    times = np.arange(0, 20, 0.1)
    walkers = 0
    for seed in (2, 4):
        drive = Drive(seed, 64, 48, seconds=20)
        tracks = [drive._robot] + [walker.track for walker in drive._walkers]
        walkers += len(drive._walkers)
        for i, one in enumerate(tracks):
            for other in tracks[:i]:
                gap = np.hypot(*(one.at(times) - other.at(times))[:, :2].T)
                assert gap.min() > 0.78
    assert walkers >= 3
    drive = Drive(3, 32, 24, fps=4, seconds=12)
    assert min(np.nanmin(frame.depth) for frame in drive) > 0.2


def test_tracks_keep_their_distance():
    gait = Gait(radius=0.3, speed=0.6)
    for seed in range(3):
        floor = FloorMap(make_room(seed, kind="office", people=0))
        track = plan_track(floor, np.random.default_rng(seed), gait, 40.0)
        assert track.times[-1] >= 40 and (np.diff(track.times) >= 0).all()
        states = track.at(np.arange(0, 40, 0.1))
        assert (floor.clearance_at(states[:, :2]) > 0.2).all()
        speed = np.hypot(*np.diff(states[:, :2], axis=0).T) / 0.1
        assert speed.max() < 0.62
        np.testing.assert_allclose(speed, np.diff(states[:, 3]) / 0.1, atol=0.02)
        assert np.abs(np.diff(states[:, 2])).max() < 0.1 * 0.8 * 1.3
        assert states[-1, 3] > 5.0


def test_no_track_without_free_floor():
    floor = FloorMap(make_room(1, kind="office", people=0))
    rng = np.random.default_rng(0)
    assert plan_track(floor, rng, Gait(radius=30.0, speed=0.6), 5.0) is None
    assert plan_track(floor, rng, Gait(0.3, 0.6), 5.0, clear=lambda times, points: False) is None


def test_the_floor_map_knows_the_furniture():
    scene = Scene("office", 4.0, 3.0, 2.5)
    paint = Paint((1, 1, 1))
    scene.thing("box", 2.0, 1.0).box((0, 0, 0.5), (1.0, 0.6, 1.0), paint)
    scene.thing("rug", 1.0, 2.0).box((0, 0, 0.005), (1.0, 1.0, 0.01), paint)
    scene.thing("lamp", 3.0, 2.0).box((0, 0, 2.3), (0.5, 0.5, 0.1), paint)
    floor = FloorMap(scene)
    points = np.array([[2.0, 1.0], [2.0, 1.8], [1.0, 2.0], [3.0, 2.0], [0.3, 1.5]])
    np.testing.assert_allclose(floor.clearance_at(points), [0.0, 0.5, 0.86, 0.86, 0.3], atol=0.06)
    route = floor.route((5, 10), (35, 10), 0.3)
    points = floor.smooth(route, 0.3)
    assert (floor.clearance_at(points) > 0.25).all()
    np.testing.assert_allclose(points[[0, -1]], [[0.55, 1.05], [3.55, 1.05]], atol=0.02)
    assert points[:, 1].max() > 1.5, "it goes round the box"


@pytest.mark.parametrize("wrong", [{"width": 0}, {"fps": 0}, {"seconds": -1}, {"horizontal_fov": 3.2}])
def test_invalid_arguments_are_rejected(wrong):
    with pytest.raises(Clip2DepthError, match="cannot drive"):
        Drive(1, **wrong)


def test_the_drive_knows_its_people(renderer):
    """Where people are visible, the same drive without them has larger depth; elsewhere it is equal."""
    drive = Drive(4, 64, 48, fps=3, seconds=10)
    empty = Drive(4, 64, 48, fps=3, seconds=10, people=False)
    seen = 0
    for index, (frame, without) in enumerate(zip(drive, empty, strict=True)):
        people = drive.people(index)
        assert people.shape == (48, 64) and people.max() < len(drive._walkers)
        nearer = frame.depth < 0.99 * without.depth
        inside = cv2.erode((people >= 0).astype(np.uint8), np.ones((3, 3)), borderValue=1) > 0
        outside = cv2.dilate((people >= 0).astype(np.uint8), np.ones((3, 3))) == 0
        outside[:, [0, -1]] = False  # there, a sliver narrower than half a pixel has depth but no part number
        assert nearer[inside].all() and not nearer[outside].any()
        seen += int(inside.sum())
        assert (empty.people(index) == -1).all()
    assert seen > 500


def test_querying_people_does_not_change_the_images(renderer):
    drive = Drive(4, 64, 48, fps=3, seconds=4)
    before = [frame.image for frame in drive]
    for index, frame in enumerate(drive):
        assert np.array_equal(frame.image, before[index])
        drive.people(len(drive) - 1 - index)


def test_walking_and_standing_people():
    drive = Drive(4, 64, 48, fps=3, seconds=20)
    walking = np.array([drive.walking(index) for index in range(len(drive))])
    assert walking.shape == (60, len(drive._walkers)) and walking.any() and not walking.all()
    for number, walker in enumerate(drive._walkers):
        places = walker.track.at(np.arange(60) / 3)[:, :2]
        step = np.hypot(*np.diff(places, axis=0).T)
        # Standing before and after, so that not even half a second overlaps a walk.
        still = ~walking[:-2, number] & ~walking[1:-1, number] & ~walking[2:, number]
        assert (step[:-1][still] < 0.02).all()


def test_another_route_is_another_drive_through_the_same_room():
    first, second = (Drive(3, 64, 48, 5, seconds=2, route=route) for route in (0, 1))
    assert first.scene.kind == second.scene.kind and first.mount == second.mount
    walls = [[tuple(part.size) for part in drive.scene.parts[:20]] for drive in (first, second)]
    assert walls[0] == walls[1]
    ways = [np.array([f.pose[:3, 3] for f in drive]) for drive in (first, second)]
    assert np.linalg.norm(ways[0] - ways[1], axis=1).max() > 0.3
