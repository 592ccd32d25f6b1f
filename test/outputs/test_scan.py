# SPDX-License-Identifier: Apache-2.0
import math
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import DepthFrame, Floor
from clip2depth_ros.outputs import LaserScan, ScanSettings

CAMERA = Camera.from_fov(160, 120, 1.2)
HEIGHT = 0.5

# Boxes of the analytic room, (from, to) in meters: x forward, y left, z up, the camera above the origin.
POST = ((2.0, 0.4, 0.0), (2.05, 0.45, 1.5))
CHEST = ((1.5, -0.9, 0.0), (2.5, -0.5, 0.4))
RUG = ((0.8, -0.3, 0.0), (1.6, 0.3, 0.04))
LAMP = ((1.0, -0.1, 1.3), (1.4, 0.3, 2.4))


def depth_of(boxes, pitch: float, roll: float, camera: Camera = CAMERA, walls: float = 4.0) -> np.ndarray:
    """Depth (H, W) of a room with walls so far to all sides, a floor and a ceiling, by the slab method."""
    directions = camera.rays().astype(np.float64) @ body_from_optical(pitch, roll).T
    origin = np.array([0.0, 0.0, HEIGHT])
    with np.errstate(divide="ignore"):
        inverse = 1 / directions
    depth = np.full(directions.shape[:2], np.inf)
    for low, high in [((-walls, -walls, 0.0), (walls, walls, 2.4)), *boxes]:
        first, second = (np.array(low) - origin) * inverse, (np.array(high) - origin) * inverse
        enters = np.minimum(first, second).max(axis=-1)
        leaves = np.maximum(first, second).min(axis=-1)
        inside = all(lo < o < hi for lo, o, hi in zip(low, origin, high, strict=True))
        hit = leaves if inside else np.where((enters < leaves) & (enters > 0), enters, np.inf)
        depth = np.minimum(depth, hit)
    return depth.astype(np.float32)


def body_from_optical(pitch: float, roll: float) -> np.ndarray:
    """Rotation from the optical frame to the level one, from REP 103's roll about x, then pitch about y."""
    cp, sp, cr, sr = math.cos(pitch), math.sin(pitch), math.cos(roll), math.sin(roll)
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    return about_y @ about_x @ np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def frame_of(depth: np.ndarray, camera: Camera | None = CAMERA, **more) -> DepthFrame:
    return DepthFrame(depth, np.zeros((*depth.shape, 3), np.uint8), camera, 0, "camera", **more)


def angles_of(scan: LaserScan, ranges: np.ndarray) -> np.ndarray:
    return scan.angle_min + scan.angle_increment * np.arange(len(ranges))


def to_wall(angles: np.ndarray, walls: float = 4.0) -> np.ndarray:
    return walls / np.maximum(np.abs(np.cos(angles)), np.abs(np.sin(angles)))


@pytest.mark.parametrize("pitch", np.radians([-10, -4, 0, 7, 20]))
@pytest.mark.parametrize("roll", np.radians([-6, 0, 6]))
def test_a_furnished_room_at_any_tilt(pitch, roll):
    """Walls, chest and post stand where they are; floor, rug and hanging lamp are no obstacles."""
    depth = depth_of([POST, CHEST, RUG, LAMP], pitch, roll)
    scan = LaserScan()
    ranges = scan.build(frame_of(depth), Floor.from_mounting(HEIGHT, pitch, roll)).astype(float)
    angles = angles_of(scan, ranges)
    expected = to_wall(angles)
    chest = (np.tan(angles) > -0.9 / 1.5) & (np.tan(angles) < -0.5 / 1.5)
    expected[chest] = 1.5 / np.cos(angles[chest])
    side = (np.tan(angles) > -0.5 / 1.5) & (np.tan(angles) < -0.5 / 2.5)
    expected[side] = -0.5 / np.sin(angles[side])
    post = np.abs(np.tan(angles) - 0.425 / 2.0) < 0.01
    expected[post] = 2.0 / np.cos(angles[post])
    # The readings at the corners of chest and post see either side; of a wall seen at a flat angle
    # the last pixels before a jump are cut.
    corner = np.zeros(len(angles), bool)
    for y, x in ((-0.9, 1.5), (-0.5, 1.5), (-0.5, 2.5), (0.4, 2.0), (0.45, 2.0), (0.45, 2.05)):
        corner |= np.abs(angles - math.atan2(y, x)) < 2.6 * scan.angle_increment
    corner &= ~post
    known = ~np.isnan(ranges)
    assert known[2:-2].mean() > 0.97 and known[post].all()
    sure = known & ~corner
    np.testing.assert_allclose(ranges[sure], expected[sure], rtol=0.05)
    assert (ranges[known] > 1.4).all()  # the rug begins at 0.8 m, the lamp at 1 m


@given(st.floats(-0.35, 0.2), st.floats(-0.2, 0.2), st.floats(0.05, 3.0))
@settings(max_examples=40)
def test_the_floor_from_the_mounting_is_correct(pitch, roll, height):
    floor = Floor.from_mounting(height, pitch, roll)
    assert (floor.pitch, floor.roll) == pytest.approx((pitch, roll), abs=1e-9)
    up = body_from_optical(pitch, roll).T @ (0, 0, 1)
    np.testing.assert_allclose(floor.normal, up, atol=1e-12)
    scan = LaserScan()
    scan.build(frame_of(np.full((120, 160), 2.0, np.float32)), floor)
    np.testing.assert_allclose(scan.rotation, level_of(pitch, roll), atol=1e-9)
    np.testing.assert_allclose(scan.rotation @ scan.rotation.T, np.eye(3), atol=1e-12)


def level_of(pitch: float, roll: float) -> np.ndarray:
    """The optical frame in the level one, turned about the vertical until the view is along x."""
    rotation = body_from_optical(pitch, roll)
    forward = rotation @ (0, 0, 1)
    yaw = -math.atan2(forward[1], forward[0])
    turn = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
    return turn @ rotation


def test_the_number_of_readings_depends_on_the_camera_only():
    scan = LaserScan()
    count = scan.prepare(CAMERA)
    for pitch, roll in ((0.0, 0.0), (0.3, 0.1), (-0.2, -0.1)):
        depth = depth_of([], pitch, roll)
        assert len(scan.build(frame_of(depth), Floor.from_mounting(HEIGHT, pitch, roll))) == count
    assert count * scan.angle_increment == pytest.approx(CAMERA.horizontal_fov)
    assert scan.angle_max - scan.angle_min == pytest.approx((count - 1) * scan.angle_increment)
    # A principal point off the middle moves the field of view with it; right is negative.
    aside = Camera(160, 120, 120.0, 120.0, 40.0, 60.0)
    scan.prepare(aside)
    assert scan.angle_min < -0.7 and scan.angle_max < 0.4


def test_left_is_positive():
    depth = depth_of([((1.0, 0.2, 0.0), (1.5, 0.5, 1.0))], 0.0, 0.0)
    scan = LaserScan()
    ranges = scan.build(frame_of(depth), Floor.from_mounting(HEIGHT))
    near = angles_of(scan, ranges)[ranges < 1.5]
    assert near.size and (near > 0.15).all() and (near < 0.5).all()


def test_free_unknown_and_too_far():
    """+inf only where the band is visibly free up to the range; NaN where it is unknown."""
    floor = Floor.from_mounting(HEIGHT)
    depth = depth_of([], 0.0, 0.0)
    near_sighted = LaserScan(ScanSettings(max_range=3.0))
    assert np.isposinf(near_sighted.build(frame_of(depth), floor)).mean() > 0.97
    unknown = depth.copy()
    unknown[:, :80] = np.nan
    ranges = near_sighted.build(frame_of(unknown), floor)
    angles = angles_of(near_sighted, ranges)
    assert np.isnan(ranges[angles > 0.02]).all() and np.isposinf(ranges[angles < -0.02][2:]).all()
    assert np.isnan(LaserScan().build(frame_of(np.full_like(depth, np.nan)), floor)).all()


def test_readings_beyond_the_visible_floor_are_unknown():
    pitch = 0.9
    depth = depth_of([], pitch, 0.0)
    ranges = LaserScan().build(frame_of(depth), Floor.from_mounting(HEIGHT, pitch))
    assert np.isnan(ranges).all()
    # With a range at which the band is in view, it is free.
    ranges = LaserScan(ScanSettings(max_range=0.6)).build(frame_of(depth), Floor.from_mounting(HEIGHT, pitch))
    assert np.isposinf(ranges).mean() > 0.9


def test_nearer_than_min_range_is_the_robot_itself():
    depth = depth_of([((0.2, -0.1, 0.0), (0.3, 0.1, 0.45))], 0.3, 0.0)
    floor = Floor.from_mounting(HEIGHT, 0.3)
    assert np.nanmin(LaserScan().build(frame_of(depth), floor)) < 0.3
    assert np.nanmin(LaserScan(ScanSettings(min_range=0.5)).build(frame_of(depth), floor)) > 1.0


@pytest.mark.parametrize("error", [-0.02, 0.02])
def test_a_small_error_of_the_floor_gives_no_obstacle(error):
    """Its tilt by what floor_tolerance allows; its points by what the depth's own deviation says."""
    depth = depth_of([], 0.2, 0.0)
    scan = LaserScan(ScanSettings(max_range=20.0))
    tilted = Floor.from_mounting(HEIGHT, 0.2 + error)
    assert np.nanmin(scan.build(frame_of(depth), tilted)) > 3.5
    strict = LaserScan(ScanSettings(max_range=20.0, floor_tolerance=0.0, min_height=0.01))
    if error < 0:
        assert np.nanmin(strict.build(frame_of(depth), tilted)) < 3.0
    # Depth that is too short by a quarter lifts the floor by as much of the camera's height.
    short = (0.75 * depth).astype(np.float32)
    floor = Floor.from_mounting(HEIGHT, 0.2)
    assert np.nanmin(scan.build(frame_of(short), floor)) < 2.0
    doubtful = np.full_like(depth, 0.15)
    assert np.nanmin(scan.build(frame_of(short, std_dev=doubtful), floor)) > 2.5


def test_noise_and_smeared_edges_give_no_obstacles():
    """A lone speckle, and a network's ramp from a post to the wall behind it."""
    depth = depth_of([], 0.0, 0.0)
    depth[50, 40] = 1.0
    depth[30:120, 100:106] = 1.5
    depth[30:120, 106:110] = np.linspace(1.5, 4.0, 6)[1:-1]
    scan = LaserScan(ScanSettings(edge_reach=0.04))
    floor = Floor.from_mounting(HEIGHT)
    ranges = scan.build(frame_of(depth), floor)
    # On a bearing between the two: neither post nor wall.
    between = (ranges > 1.5 * 1.3) & (ranges < 3.5)
    assert not between.any() and (ranges < 1.9).any() and (ranges[angles_of(scan, ranges) > 0.1] > 3.5).all()
    uncut = LaserScan(ScanSettings(edge_threshold=0.0)).build(frame_of(depth), floor)
    assert ((uncut > 1.5 * 1.3) & (uncut < 3.5)).any()


def test_a_thin_post_is_kept():
    """Thinner than the reach within which edges are cut."""
    depth = depth_of([((2.0, 0.0, 0.0), (2.03, 0.03, 1.5))], 0.0, 0.0)
    assert 1 <= (depth[60] < 3).sum() <= 2
    ranges = LaserScan(ScanSettings(edge_reach=0.05)).build(frame_of(depth), Floor.from_mounting(HEIGHT))
    assert np.nanmin(ranges) == pytest.approx(2.0, rel=0.02)


def test_fills_the_buffer_and_follows_its_settings():
    depth, floor = depth_of([], 0.0, 0.0), Floor.from_mounting(HEIGHT)
    scan = LaserScan()
    out = np.empty(scan.prepare(CAMERA), np.float32)
    assert scan.build(frame_of(depth), floor, out) is out
    first = out.copy()
    scan.build(frame_of(depth), floor, out)
    np.testing.assert_array_equal(out, first)
    scan.settings = ScanSettings(resolution=math.radians(2))
    assert len(scan.build(frame_of(depth), floor)) < len(out) / 3
    with pytest.raises(Clip2DepthError, match="buffer must be float32"):
        scan.build(frame_of(depth), floor, out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_height": -0.1}, "min_height' is -0.1 m, but must lie in 0 to 100"),
        ({"max_range": math.inf}, "max_range' is inf m, but must lie in 0 to 1000"),
        ({"min_height": 1.0}, "min_height' .* must be less than 'scan.max_height"),
        ({"max_range": 0.05}, "min_range' .* must be less than 'scan.max_range"),
        ({"resolution": 0.0}, "resolution' is 0.0 rad, but must lie in 0.001 to 0.5"),
        ({"floor_tolerance": 1.5}, "floor_tolerance' is 1.5, but must lie in 0 to 1"),
        ({"edge_threshold": 1.0}, "edge_threshold' is 1.0, but must lie in 0 to 0.99"),
    ],
)
def test_invalid_settings_are_rejected(changes, message):
    with pytest.raises(Clip2DepthError, match=message):
        ScanSettings(**changes)


def test_wrong_arguments_are_rejected():
    depth = depth_of([], 0.0, 0.0)
    with pytest.raises(Clip2DepthError, match="camera_info, a camera file or horizontal_fov"):
        LaserScan().build(frame_of(depth, None), Floor.from_mounting(HEIGHT))
    with pytest.raises(Clip2DepthError, match="looks straight down"):
        LaserScan().build(frame_of(depth), Floor.from_mounting(HEIGHT, math.pi / 2))
    for height, pitch in ((0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (1.0, math.inf)):
        with pytest.raises(Clip2DepthError, match="positive height and finite angles"):
            Floor.from_mounting(height, pitch)


@pytest.mark.skipif(find_spec("mujoco") is None, reason="MuJoCo is not installed (the sim extra)")
@pytest.mark.parametrize("pitch", [-20, -8, 10])
def test_simulated_drives(pitch):
    """With true depth and floor: every reading is a true obstacle within 5 %, and few obstacles are missed.

    What is true is counted in the world's own frame from the true poses, pixel by pixel.
    """
    from clip2depth_ros.simulation import Drive

    wanted = ScanSettings()
    readings = missed = obstacles = 0
    for seed in (1, 2):
        drive = Drive(seed, 160, 120, fps=1, seconds=4)
        drive._pitch = math.radians(pitch)  # upwards, as the simulator has it
        scan = LaserScan(wanted)
        for frame in drive:
            floor = Floor(frame.pose[:3, :3].T @ (0, 0, 1), frame.pose[2, 3], 1.0)
            ranges = scan.build(frame_of(frame.depth, frame.camera), floor)
            points = (frame.camera.rays() * frame.depth[..., None]).reshape(-1, 3).astype(np.float64)
            world = points[np.isfinite(points).all(axis=1)] @ frame.pose[:3, :3].T
            height = world[:, 2] + frame.pose[2, 3]
            distance = np.hypot(world[:, 0], world[:, 1])
            ahead = math.atan2(frame.pose[1, 2], frame.pose[0, 2])
            angle = (np.arctan2(world[:, 1], world[:, 0]) - ahead + math.pi) % (2 * math.pi) - math.pi
            reading = np.rint((angle - scan.angle_min) / scan.angle_increment)
            obstacle = (height > wanted.min_height) & (height < wanted.max_height)
            # What must be found: clear of the band's edges and of the floor's tolerance.
            sure = height > wanted.min_height + wanted.floor_tolerance * distance + 0.02
            sure &= (height < wanted.max_height - 0.02) & (distance < wanted.max_range)
            for i, value in enumerate(ranges):
                if np.isfinite(value):
                    beside = distance[obstacle & (np.abs(reading - i) <= 1)]
                    assert np.abs(beside / value - 1).min(initial=np.inf) < 0.05, (seed, frame.name, i, value)
                    readings += 1
                nearest = np.sort(distance[sure & (reading == i)])[2:3]
                if nearest.size:
                    obstacles += 1
                    around = ranges[max(0, i - 1) : i + 2]
                    missed += not (around <= 1.05 * nearest).any()
    assert readings > 500 and missed <= 0.01 * obstacles
