# SPDX-License-Identifier: Apache-2.0
"""TAE, OPW and rTC: small cases by hand, a second implementation in plain loops, and invariances."""

import itertools
import math

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io import open_source
from clip2depth_ros.metrics.temporal import (
    Match,
    Matcher,
    TemporalErrors,
    opw,
    pairs,
    reproject,
    rtc,
    sequence_tae,
    tae,
)

CAMERA = Camera(5, 3, 10.0, 10.0, 2.0, 1.0)
STILL = np.eye(4)


def moved(x=0.0, y=0.0, z=0.0, turn=0.0):
    """A camera pose, optical frame to world: shifted, turned about its y axis (radians)."""
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(np.array([0.0, turn, 0.0]))[0]
    pose[:3, 3] = x, y, z
    return pose


def in_plain_loops(depth_a, depth_b, camera, pose_a, pose_b):
    """TAE written as its definition reads, one pixel after the other."""

    def one_way(depth, other, motion):
        height, width = depth.shape
        seen = [[None] * width for _ in range(height)]
        for v in range(height):
            for u in range(width):
                z = float(depth[v, u])
                if not (math.isfinite(z) and z > 0):
                    continue
                point = ((u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z)
                x, y, z = (sum(motion[r][c] * point[c] for c in range(3)) + motion[r][3] for r in range(3))
                if z <= 1e-3:
                    continue
                column, row = round(x / z * camera.fx + camera.cx), round(y / z * camera.fy + camera.cy)
                if 0 <= column < width and 0 <= row < height:
                    before = seen[row][column]
                    seen[row][column] = z if before is None else min(before, z)
        errors = []
        for v in range(height):
            for u in range(width):
                truth = float(other[v, u])
                if seen[v][u] is not None and math.isfinite(truth) and truth > 0:
                    errors.append(abs(seen[v][u] - truth) / truth)
        return sum(errors) / len(errors) if errors else math.nan

    there = np.linalg.inv(pose_b) @ pose_a
    return (one_way(depth_a, depth_b, there) + one_way(depth_b, depth_a, np.linalg.inv(there))) / 2


def blobs(height, width, seed=0):
    """(height, width, 3) uint8 with structure for the flow to hold on to."""
    noise = np.random.default_rng(seed).random((height // 4, width // 4, 3), np.float32)
    return np.clip(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * 255, 0, 255).astype(
        np.uint8
    )


def exact_match(height, width):
    """Every pixel is found where it was."""
    place = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    return Match(place, np.ones((height, width), bool))


def test_tae_of_a_still_camera_by_hand():
    """2 m against 2.5 m: 0.5 / 2.5 one way, 0.5 / 2 the other; the unknown pixels take no part."""
    a, b = np.full((3, 5), 2.0), np.full((3, 5), 2.5)
    a[0, 0], b[0, 1], a[2, 4], b[1, 1] = np.nan, 0.0, -1.0, np.inf
    assert tae(a, b, CAMERA, STILL, STILL) == pytest.approx((0.2 + 0.25) / 2)


def test_tae_of_an_advance_by_hand():
    """A wall at 2 m, the camera half a meter nearer: the right depth is 1.5 m, and depth that stays at 2 m is
    wrong by 0.5 / 2 against the moved 1.5 m, and by 0.5 / 2 on the way back, where 2 m becomes 2.5 m."""
    wall, nearer = np.full((3, 5), 2.0), np.full((3, 5), 1.5)
    assert tae(wall, nearer, CAMERA, STILL, moved(z=0.5)) == pytest.approx(0.0, abs=1e-12)
    assert tae(wall, wall, CAMERA, STILL, moved(z=0.5)) == pytest.approx((0.5 / 2 + 0.5 / 2) / 2)


def test_the_nearest_point_occludes_others():
    """The camera moves right by 0.2 m: at 1 m that is two pixels to the left, at 2 m one."""
    depth = np.full((3, 5), np.nan)
    depth[1, 2], depth[1, 3] = 2.0, 1.0  # both fall on column 1
    there = np.linalg.inv(moved(x=0.2))
    assert np.nansum(reproject(depth, CAMERA, there)) == pytest.approx(1.0)
    assert reproject(depth, CAMERA, there)[1, 1] == pytest.approx(1.0)
    swapped = np.full((3, 5), np.nan)
    swapped[1, 2], swapped[1, 0] = 1.0, 2.0  # both on column 1 again, seen from the left, in the other order
    assert reproject(swapped, CAMERA, np.linalg.inv(moved(x=0.1)))[1, 1] == pytest.approx(1.0)


def test_points_outside_and_behind_the_camera_are_left_out():
    depth = np.full((3, 5), 1.0)
    assert np.isnan(reproject(depth, CAMERA, np.linalg.inv(moved(z=1.0)))).all()
    assert np.isnan(reproject(depth, CAMERA, np.linalg.inv(moved(turn=math.pi)))).all()
    assert np.isnan(reproject(depth, CAMERA, np.linalg.inv(moved(x=1e30)))).all()
    assert math.isnan(tae(depth, depth, CAMERA, STILL, moved(turn=math.pi))), "no pixel in common is no zero"


def test_tae_equals_plain_loops():
    rng = np.random.default_rng(5)
    camera = Camera(31, 23, 28.0, 26.0, 14.7, 11.2)
    for _ in range(6):
        a, b = rng.uniform(1.0, 3.0, (2, 23, 31)).astype(np.float32)
        a[rng.random(a.shape) < 0.2], b[rng.random(b.shape) < 0.2] = np.nan, 0.0
        pose_a, pose_b = (moved(*rng.normal(0, 0.2, 3), rng.normal(0, 0.1)) for _ in range(2))
        ours = tae(a, b, camera, pose_a, pose_b)
        assert ours == pytest.approx(in_plain_loops(a, b, camera, pose_a, pose_b), rel=1e-6)
        assert ours > 0.05


def test_invariances_of_tae():
    """The order of the two frames, the world's own frame, and the unit of length."""
    rng = np.random.default_rng(6)
    camera = Camera.from_fov(32, 24, 1.2)
    a, b = rng.uniform(1.0, 3.0, (2, 24, 32))
    pose_a, pose_b = moved(0.1, 0, 0.2, 0.05), moved(0, 0.1, 0, -0.05)
    error = tae(a, b, camera, pose_a, pose_b)
    assert tae(b, a, camera, pose_b, pose_a) == pytest.approx(error, rel=1e-9)
    world = moved(3.0, -2.0, 5.0, 0.8)
    assert tae(a, b, camera, world @ pose_a, world @ pose_b) == pytest.approx(error, rel=1e-6)
    for pose in (pose_a, pose_b):
        pose[:3, 3] *= 7.0
    assert tae(7 * a, 7 * b, camera, pose_a, pose_b) == pytest.approx(error, rel=1e-6)


def test_opw_and_rtc_by_hand():
    a = np.array([[1.0, 2.0, 4.0], [1.0, 1.0, np.nan]])
    b = np.array([[1.005, 2.0, 3.0], [1.02, np.nan, 1.0]])
    match = exact_match(2, 3)
    assert opw(a, b, match) == pytest.approx((0.005 + 0 + 1 + 0.02) / 4, abs=1e-6)
    assert rtc(a, b, match) == pytest.approx(2 / 4)
    assert rtc(a, b, match, ratio=1.05) == pytest.approx(3 / 4)
    match.trusted[:] = False
    match.trusted[0, 2] = True
    assert opw(a, b, match) == pytest.approx(1.0) and rtc(a, b, match, ratio=1.3) == 0.0
    match.trusted[:] = False
    assert math.isnan(opw(a, b, match)) and math.isnan(rtc(a, b, match))


def test_opw_looks_up_along_the_flow_between_pixels():
    """Half a pixel to the right on a ramp is half a step; beside an unknown pixel there is nothing."""
    a = np.array([[5.0, 5.0, 5.0, 5.0]])
    b = np.array([[2.0, 4.0, np.nan, 8.0]])
    match = exact_match(1, 4)
    match.place[..., 0] += 0.5
    match.trusted[0, 3] = False  # beyond the border
    assert opw(a, b, match) == pytest.approx(abs(3.0 - 5.0))
    assert rtc(a, b, match, ratio=5.001 / 3.0) == 1.0 and rtc(a, b, match, ratio=4.999 / 3.0) == 0.0


def test_matches_of_a_shifted_image():
    """Three pixels to the right: found there, and what left the image is not trusted."""
    image = blobs(60, 80)
    match = Matcher().match(image[:, 8:72], image[:, 5:69])
    found = match.place[..., 0] - np.arange(64)
    assert match.trusted[10:50, 10:50].mean() > 0.95
    np.testing.assert_allclose(found[match.trusted], 3.0, atol=0.8)
    assert not match.trusted[:, -2:].any()
    ramp = np.tile(np.linspace(1.0, 2.0, 80), (60, 1))
    carried, stuck = ramp[:, 5:69], ramp[:, 8:72]
    assert opw(ramp[:, 8:72], carried, match) < 0.003 < 0.03 < opw(ramp[:, 8:72], stuck, match)


def test_another_image_gives_no_match():
    match = Matcher().match(blobs(60, 80, 1), blobs(60, 80, 2))
    assert match.trusted.mean() < 0.1


def test_pairs_of_a_sequence():
    assert pairs(4, 1) == [(0, 1), (1, 2), (2, 3)]
    assert pairs(20, 8) == [(0, 8), (8, 16)]
    assert pairs(8, 8) == [] and pairs(0, 1) == [] and pairs(9, 8) == [(0, 8)]
    assert math.isnan(sequence_tae([np.ones((3, 5))], CAMERA, [STILL]))


def test_incremental_and_batch_results_are_equal():
    rng = np.random.default_rng(7)
    camera = Camera.from_fov(32, 24, 1.2)
    depths = list(rng.uniform(1.0, 3.0, (20, 24, 32)).astype(np.float32))
    poses = [moved(x=0.02 * i) for i in range(20)]
    images = [blobs(24, 32, seed) for seed in range(20)]
    errors, reused = TemporalErrors(), np.empty((24, 32), np.float32)
    for depth, image, pose in zip(depths, images, poses, strict=True):
        reused[:] = depth  # as a pipeline does that keeps its arrays
        errors.add(reused, image, camera, pose)
    mean = errors.mean()
    assert mean["tae"] == pytest.approx(sequence_tae(depths, camera, poses))
    assert mean["tae_8"] == pytest.approx(sequence_tae(depths, camera, poses, 8))
    matcher = Matcher()
    expected = [
        opw(depths[i], depths[i + 1], matcher.match(images[i], images[i + 1])) for i in range(len(depths) - 1)
    ]
    assert mean["opw"] == pytest.approx(np.nanmean(expected))


def test_frames_without_pose_image_or_past_are_left_out():
    depth, image = np.ones((24, 32)), blobs(24, 32)
    camera = Camera.from_fov(32, 24, 1.2)
    errors = TemporalErrors()
    errors.add(depth, image, camera, None)
    errors.add(2 * depth, image, camera, STILL)
    assert math.isnan(errors.mean()["tae"]) and errors.mean()["opw"] == pytest.approx(1.0)
    errors.cut()
    errors.add(5 * depth, None, camera, STILL)
    assert errors.mean()["opw"] == pytest.approx(1.0), "nothing is compared across a cut"
    errors.add(5 * depth, image, camera, STILL)
    errors.add(np.ones((12, 16)), image[::2, ::2], camera.scaled(16, 12), STILL)
    assert errors.mean()["tae"] == 0.0 and errors.mean()["opw"] == pytest.approx(1.0)
    assert set(TemporalErrors((1,), flow=False).mean()) == {"tae"}


def test_inputs_that_do_not_match_are_rejected():
    with pytest.raises(Clip2DepthError, match="one size"):
        tae(np.ones((3, 5)), np.ones((5, 3)), CAMERA, STILL, STILL)
    with pytest.raises(Clip2DepthError, match="its camera 5x3"):
        tae(np.ones((6, 10)), np.ones((6, 10)), CAMERA, STILL, STILL)
    with pytest.raises(Clip2DepthError, match="images were 3x2"):
        opw(np.ones((3, 5)), np.ones((3, 5)), exact_match(2, 3))
    with pytest.raises(Clip2DepthError, match="above 1"):
        rtc(np.ones((2, 3)), np.ones((2, 3)), exact_match(2, 3), ratio=0.99)
    with pytest.raises(Clip2DepthError, match="at least 16x16"):
        Matcher().match(blobs(8, 8), blobs(8, 8))
    with pytest.raises(Clip2DepthError, match="stride"):
        pairs(10, 0)


@pytest.mark.slow
def test_reference_values_of_measured_depth(rgbd):
    """What these frames' own description says of a Kinect's depth: 0.84 % at every eighth frame, 8.7 % with
    poses that say that the camera stood still, and 0.55 % on consecutive frames at 320x240."""
    with open_source(rgbd / "kitchen", every=8) as source:
        depths, poses = zip(*((frame.depth, frame.pose) for frame in source), strict=True)
        camera = source.camera
    assert sequence_tae(depths, camera, poses) == pytest.approx(0.0084, abs=0.0002)
    assert sequence_tae(depths, camera, [STILL] * len(depths)) == pytest.approx(0.087, abs=0.002)
    with open_source(rgbd / "kitchen") as source:
        frames = list(itertools.islice(source, 120))
    small = [cv2.resize(f.depth, (320, 240), interpolation=cv2.INTER_NEAREST_EXACT) for f in frames]
    error = sequence_tae(small, camera.scaled(320, 240), [frame.pose for frame in frames])
    assert error == pytest.approx(0.0055, abs=0.0002)
