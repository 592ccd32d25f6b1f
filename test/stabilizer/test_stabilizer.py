# SPDX-License-Identifier: Apache-2.0
import tracemalloc

import cv2
import numpy as np
import pytest
from walls import CAMERA, flickering, motion, view

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.stabilizer import Stabilizer, StabilizerSettings

FRAME = 33_333_333


def feed(stabilizer, views, *, seed=0, flicker=True, start=0, **options):
    """Updates with the views' depth and scale jitter; copies depth and deviation of the results."""
    rng, results = np.random.default_rng(seed), []
    for index, (image, depth, _) in enumerate(views):
        measured = flickering(depth, rng) if flicker else depth
        stable = stabilizer.update(measured, image, CAMERA, start + index * FRAME, **options)
        stable.depth, stable.deviation = stable.depth.copy(), stable.deviation.copy()
        results.append(stable)
    return results


def drive(count=30, step=0.01):
    return [view((0.3 * step * i, 0.0, step * i), (0.0, 0.002 * i, 0.0)) for i in range(count)]


def error(stable, depth):
    return float(np.nanmedian(np.abs(np.log(stable.depth / depth))))


def test_the_first_frame_is_unchanged():
    image, depth, _ = view()
    stable = Stabilizer().update(depth, image, CAMERA, 0)
    np.testing.assert_array_equal(stable.depth, depth)
    np.testing.assert_allclose(stable.deviation, StabilizerSettings().noise, rtol=1e-5)
    assert (stable.reset, stable.source, stable.motion, stable.visual_odometry) == (
        "first frame",
        "none",
        None,
        None,
    )
    assert np.isnan([stable.scale_jitter, stable.temporal_error, stable.visual_odometry_std_dev]).all()


def test_scale_jitter_is_removed_and_the_motion_is_found():
    views = drive()
    results = feed(Stabilizer(), views)
    rng = np.random.default_rng(0)
    raw = [np.median(np.abs(np.log(flickering(depth, rng) / depth))) for _, depth, _ in views]
    assert np.mean([error(s, v[1]) for s, v in zip(results[10:], views[10:], strict=True)]) < 0.4 * np.mean(
        raw
    )
    assert {s.source for s in results[1:]} == {"vision"}
    assert np.mean([s.temporal_error for s in results[10:]]) < 0.01
    assert np.nanmedian(results[-1].deviation) < 0.4 * np.nanmedian(results[1].deviation)
    # Meters of the depth, whose scale it got from the first frames.
    driven = motion(views[5][2], views[-1][2])
    seen = np.linalg.multi_dot([s.visual_odometry for s in results[:5:-1]])
    scale = np.median(results[-1].depth / views[-1][1])
    assert np.linalg.norm(seen[:3, 3]) == pytest.approx(scale * np.linalg.norm(driven[:3, 3]), rel=0.05)
    np.testing.assert_allclose(seen[:3, :3], driven[:3, :3], atol=0.01)


@pytest.mark.parametrize("factor", [0.02, 1.0, 40.0])
def test_depth_can_have_any_scale(factor):
    """A drone's hundred meters or a desk's tenth: only ratios matter."""
    views = [(image, depth * np.float32(factor), pose) for image, depth, pose in drive(12)]
    results = feed(Stabilizer(), views)
    assert {s.source for s in results[1:]} == {"vision"}
    assert error(results[-1], views[-1][1]) < 0.05


def test_the_std_dev_matches_the_error():
    views = drive(40)
    results = feed(Stabilizer(), views)
    for index in (5, 15, 39):
        off = np.log(results[index].depth / views[index][1]) / results[index].deviation
        assert 0.3 < np.sqrt(np.mean(np.square(off))) < 2.0


def test_an_external_motion_is_used_unless_it_is_wrong():
    views = drive(8)
    stabilizer, rng = Stabilizer(), np.random.default_rng(0)
    for index, (image, depth, pose) in enumerate(views):
        outside = None if index == 0 else motion(views[index - 1][2], pose)
        if index == 4:
            outside[3] = 0  # singular
        if index == 5:
            outside[:3, 3] += 2.0  # odometry that jumps
        if index == 6:
            outside[0, 0] = np.nan
        stable = stabilizer.update(flickering(depth, rng), image, CAMERA, index * FRAME, motion=outside)
        assert stable.source == ("none" if index == 0 else "vision" if index in (4, 5, 6) else "odometry")
        if stable.source == "odometry":
            np.testing.assert_array_equal(stable.motion, outside)
            assert stable.visual_odometry is not None, "visual odometry is given too"
    assert error(stable, depth) < 0.1


@pytest.mark.parametrize("why", ["asked", "size", "camera", "time ran back", "gap", "cut"])
def test_the_past_is_dropped(why):
    views = drive(6)
    stabilizer = Stabilizer()
    feed(stabilizer, views)
    image, depth, _ = views[-1]
    depth = depth * np.float32(1.5)
    camera, stamp = CAMERA, 6 * FRAME
    if why == "asked":
        stabilizer.reset()
    elif why == "size":
        image, depth, _ = view(camera=CAMERA.scaled(320, 240))
        camera = CAMERA.scaled(320, 240)
    elif why == "camera":
        camera = Camera.from_fov(160, 120, 1.0)
    elif why == "time ran back":
        stamp = FRAME
    elif why == "gap":
        stamp += 2_000_000_000
    elif why == "cut":
        image = view((4.0, 3.0, 0.0), (0.0, 0.0, 1.0))[0]
    stable = stabilizer.update(depth, image, camera, stamp)
    assert stable.reset == why
    np.testing.assert_array_equal(stable.depth, depth)
    assert np.isnan(stable.temporal_error) and stable.motion is None
    assert stabilizer.update(depth, image, camera, stamp + FRAME).reset == ""


def test_settings_take_effect_with_the_next_frame():
    views = [view()] * 40
    calm, nervous = Stabilizer(), Stabilizer()
    feed(calm, views[:20])
    feed(nervous, views[:20])
    nervous.settings = StabilizerSettings(memory=0.0, scale_memory=0.0)
    rng = np.random.default_rng(9)
    measured = flickering(views[0][1], rng)
    image = views[0][0]
    steady = calm.update(measured, image, CAMERA, 20 * FRAME).depth
    prompt = nervous.update(measured, image, CAMERA, 20 * FRAME).depth
    assert np.median(np.abs(np.log(prompt / measured))) < 0.01 < np.median(np.abs(np.log(steady / measured)))
    nervous.settings = StabilizerSettings(flow_pixels=5_000)
    assert nervous.update(measured, image, CAMERA, 21 * FRAME).reset == "flow_pixels"


def test_a_still_camera_converges_and_a_lasting_change_is_accepted():
    image, depth, _ = view()
    stabilizer = Stabilizer()
    results = feed(stabilizer, [(image, depth, None)] * 90)
    deviation = [float(np.median(s.deviation)) for s in results]
    assert deviation[60] < 0.35 * deviation[0] and max(deviation[60:]) < 1.2 * deviation[60]
    assert np.mean([s.temporal_error for s in results[60:]]) < 0.01
    # From now on the network's depth is shorter by a quarter: detected at once, accepted within a second.
    changed = feed(stabilizer, [(image, depth * np.float32(0.75), None)] * 40, seed=1, start=90 * FRAME)
    assert max(float(np.median(s.deviation)) for s in changed[3:10]) > 1.5 * deviation[-1]
    assert error(changed[-1], depth * 0.75) < 0.05


def test_an_object_that_appears_is_visible_at_once():
    image, depth, _ = view()
    stabilizer, rng = Stabilizer(), np.random.default_rng(3)
    feed(stabilizer, [(image, depth, None)] * 20)
    image, nearer = image.copy(), depth.copy()
    image[40:90, 60:100] = 255 - image[40:90, 60:100]
    nearer[40:90, 60:100] = 1.0
    for index in range(3):
        stable = stabilizer.update(flickering(nearer, rng), image, CAMERA, (20 + index) * FRAME)
        assert np.median(np.abs(np.log(stable.depth[45:85, 65:95]))) < 0.12
    assert np.median(np.abs(np.log(stable.depth[:, :40] / depth[:, :40]))) < 0.05, "the rest stays"


def test_unknown_depth_does_not_spread():
    views = [(image, depth.copy(), pose) for image, depth, pose in drive(20)]
    rng = np.random.default_rng(4)
    holes = []
    for index, (_, depth, _) in enumerate(views):
        hole = np.zeros(depth.shape, bool)
        hole[20 + index : 40 + index, 30:60] = True
        hole[rng.random(depth.shape) < 0.02] = True
        depth[hole] = rng.choice([np.nan, np.inf, -1.0, 0.0], hole.sum())
        holes.append(hole)
    results = feed(Stabilizer(), views)
    for stable, hole in zip(results, holes, strict=True):
        np.testing.assert_array_equal(np.isnan(stable.depth), hole)
        np.testing.assert_array_equal(np.isnan(stable.deviation), hole)
    known = ~holes[-1]
    truth = view((0.3 * 0.19, 0.0, 0.19), (0.0, 0.002 * 19, 0.0))[1]
    assert np.median(np.abs(np.log(results[-1].depth / truth))[known]) < 0.05


def black(count):
    return [(np.zeros((120, 160, 3), np.uint8), view()[1], None)] * count


def grey(count):
    return [(np.full((120, 160, 3), 128, np.uint8), view()[1], None)] * count


def noise(count):
    rng = np.random.default_rng(8)
    return [(rng.integers(0, 256, (120, 160, 3), np.uint8), view()[1], None) for _ in range(count)]


def nothing_known(count):
    return [(view()[0], np.full((120, 160), np.nan, np.float32), None)] * count


def half_turn(count):
    return [view((0, 0, 0), (0.0, np.pi * i / count, 0.0)) for i in range(count)]


@pytest.mark.parametrize("views", [black, grey, noise, nothing_known, half_turn])
@pytest.mark.filterwarnings("error")
def test_odd_frames_do_not_crash_and_give_no_false_motion(views):
    stabilizer = Stabilizer()
    feed(stabilizer, drive(5), flicker=True)
    results = feed(stabilizer, views(8), start=5 * FRAME)
    for stable in results:
        known = np.isfinite(stable.depth)
        assert (stable.deviation[known] > 0).all() and np.isfinite(stable.deviation[known]).all()
    if views is black or views is grey:
        assert {s.source for s in results} == {"none"}
        assert np.nanmedian(results[-1].deviation) > 0.01
    if views is nothing_known:
        assert not np.isfinite(results[-1].depth).any()
    after = feed(stabilizer, drive(5), start=20 * FRAME)
    assert error(after[-1], drive(5)[-1][1]) < 0.15, "and all is well afterwards"


def test_blank_walls_without_corners_are_stabilized():
    views = grey(40)
    results = feed(Stabilizer(), views)
    assert error(results[-1], views[0][1]) < 0.04
    assert np.mean([s.temporal_error for s in results[20:]]) < 0.02


def test_without_a_camera_depth_is_stabilized_without_ego_motion():
    stabilizer, rng = Stabilizer(), np.random.default_rng(0)
    for index, (image, depth, _) in enumerate(drive(20)):
        stable = stabilizer.update(flickering(depth, rng), image, None, index * FRAME, motion=np.eye(4))
        assert (stable.source, stable.motion, stable.visual_odometry) == ("none", None, None)
    assert stable.temporal_error < 0.03 and error(stable, depth) < 0.06


def test_views_of_larger_arrays_and_read_only_images_work():
    image, depth, _ = view()
    large_image, large_depth = np.zeros((140, 180, 3), np.uint8), np.full((140, 180), np.nan, np.float32)
    large_image[10:130, 10:170], large_depth[10:130, 10:170] = image, depth
    large_image.setflags(write=False)
    stabilizer, other = Stabilizer(), Stabilizer()
    for index in range(3):
        stamp = index * FRAME
        inner = stabilizer.update(large_depth[10:130, 10:170], large_image[10:130, 10:170], CAMERA, stamp)
        whole = other.update(depth, image, CAMERA, stamp)
        np.testing.assert_array_equal(inner.depth, whole.depth)


def test_inputs_that_do_not_match_are_rejected():
    image, depth, _ = view()
    with pytest.raises(Clip2DepthError, match="float32"):
        Stabilizer().update(depth.astype(np.float64), image, CAMERA, 0)
    with pytest.raises(Clip2DepthError, match=r"160, 3\)"):
        Stabilizer().update(depth, image[:-1], CAMERA, 0)
    with pytest.raises(Clip2DepthError, match="scale the camera"):
        Stabilizer().update(depth, image, CAMERA.scaled(320, 240), 0)
    with pytest.raises(Clip2DepthError, match="rectify"):
        distorted = Camera(160, 120, 100, 100, 80, 60, distortion=(-0.1, 0.0, 0.0, 0.0))
        Stabilizer().update(depth, image, distorted, 0)


def test_no_large_allocation_per_frame_and_constant_memory():
    camera = CAMERA.scaled(640, 480)
    image, depth, _ = view(camera=camera)
    stabilizer = Stabilizer()
    for index in range(5):
        stabilizer.update(depth, image, camera, index * FRAME)
    tracemalloc.start()
    try:
        kept, peaks = [], []
        for index in range(5, 25):
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            stabilizer.update(depth, image, camera, index * FRAME)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # The depth itself has 1.2 MB; small arrays of samples and corners come and go.
    assert max(peaks) < 1_200_000
    assert kept[-1] - kept[5] < 20_000


def test_results_are_reproducible():
    views = drive(6)
    one, two = feed(Stabilizer(), views), feed(Stabilizer(), views)
    cv2.setRNGSeed(3)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.depth, b.depth)
