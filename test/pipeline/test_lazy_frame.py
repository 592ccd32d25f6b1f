# SPDX-License-Identifier: Apache-2.0
"""What is made of a frame when it is asked for is what would have been made of all of it."""

import cv2
import numpy as np
import pytest

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.camera import Camera
from clip2depth_ros.engines import open_engine
from clip2depth_ros.images.frame import DepthFrame, Floor, Frame
from clip2depth_ros.outputs import LaserScan, PointCloud, PointsSettings
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings

PINCUSHION = Camera(641, 479, 500, 502, 318, 242, (0.6, 0.0, 0.0, 0.0, 0.0))
IDEAL = Camera.from_fov(641, 479, 1.1)


def scene(seed: int = 0) -> np.ndarray:
    """(48, 64) float32, metres: waves, a box in front, a hole of unknown depth."""
    depth = cv2.resize(np.random.default_rng(seed).random((5, 7), np.float32), (64, 48)) + 2
    depth[20:35, 10:25] = 1.2
    depth[5:12, 40:50] = np.nan
    return depth


def frames(exact_engine, camera: Camera, **options) -> tuple[DepthFrame, DepthFrame]:
    """A frame of the pipeline, nothing of which was asked for, and one whose arrays are all made."""
    image = np.random.default_rng(5).integers(0, 256, (camera.height, camera.width, 3), np.uint8)
    results = []
    for _ in range(2):
        pipeline = Pipeline(exact_engine(scene()), **options)
        results.append(pipeline.process(Frame(image, 0, "camera", camera)))
    whole = results[1]
    return results[0], DepthFrame(
        whole.depth, whole.image, whole.camera, 0, "camera", whole.facts, whole.std_dev
    )


@pytest.mark.parametrize("options", [{}, {"depth_size": (320, 250)}])
@pytest.mark.parametrize("camera", [PINCUSHION, IDEAL])
@pytest.mark.parametrize("steps", [(2, 2), (4, 3), (1, 5), (7, 1)])
def test_a_part_is_a_part_of_the_whole(exact_engine, camera, steps, options):
    lazy, whole = frames(exact_engine, camera, **options)
    assert lazy.shape == whole.shape
    depth, std_dev = lazy.depth_at(*steps), lazy.std_dev_at(*steps)
    np.testing.assert_allclose(depth, whole.depth_at(*steps), rtol=1e-6)
    np.testing.assert_array_equal(std_dev, whole.std_dev_at(*steps))
    colors = lazy.image_at(steps[0])
    assert colors.shape == whole.image_at(steps[0]).shape
    if options or steps[0] == 1:  # else it is a mean
        np.testing.assert_array_equal(colors, whole.image_at(steps[0]))
    assert 0.3 < np.isfinite(depth).mean() < 0.99
    assert lazy.facts.valid_fraction == pytest.approx(np.isfinite(whole.depth).mean(), abs=1e-9)
    known = np.isfinite(whole.std_dev)
    np.testing.assert_array_equal(known, np.isfinite(whole.depth))
    # And once all of it is made, parts are taken from that.
    np.testing.assert_array_equal(lazy.depth, whole.depth)
    assert np.shares_memory(lazy.depth_at(*steps), lazy.depth)


@pytest.mark.parametrize("camera", [PINCUSHION, IDEAL])
def test_a_points_color_is_the_mean_around_it(exact_engine, camera):
    """What was averaged for the network has the colors of a coarse cloud."""
    image = cv2.resize(np.random.default_rng(5).integers(0, 256, (6, 8, 3), np.uint8), camera.size)
    result = Pipeline(exact_engine(scene())).process(Frame(image, 0, "camera", camera))
    colors = result.image_at(4).astype(np.int16)
    expected = result._geometry.depth_image(image, 1)[::4, ::4]
    seen = (colors.sum(-1) > 0) & (expected.sum(-1) > 0)  # black: outside the view
    assert colors.shape == expected.shape and seen.mean() > 0.5
    assert np.abs(colors - expected)[seen].mean() < 4

    again = Pipeline(exact_engine(scene())).process(Frame(image.copy(), 0, "camera", camera))
    _ = again.image
    np.testing.assert_array_equal(again.image_at(4), expected)


def test_depth_is_made_where_it_is_wanted(exact_engine):
    lazy, whole = frames(exact_engine, PINCUSHION)
    message = np.empty(lazy.shape, np.float32)
    assert lazy.fill_depth(message) is message and lazy.depth is message
    np.testing.assert_array_equal(message, whole.depth)
    other = np.empty_like(message)
    np.testing.assert_array_equal(lazy.fill_depth(other), whole.depth)


def test_what_nobody_asks_for_is_not_made(exact_engine, monkeypatch):
    """Cloud and scan of a large image never touch as many pixels as it has."""
    lazy, _ = frames(exact_engine, PINCUSHION)
    for name in ("enlarge", "rectify", "enlarge_nearest", "depth_image"):
        monkeypatch.setattr(type(lazy._geometry), name, None)
    assert np.isfinite(PointCloud(PointsSettings(4)).build(lazy)[..., 2]).mean() > 0.3
    LaserScan().build(lazy, Floor.from_mounting(0.6, 0.1))
    assert lazy.median_std_dev() > 0


def test_the_time_is_told_whoever_asks(exact_engine):
    lazy, _ = frames(exact_engine, IDEAL)
    before = lazy.facts.times["unfit"]
    _ = lazy.depth
    assert lazy.facts.times["unfit"] > before


@pytest.mark.parametrize("stride", [2, 4])
def test_the_cloud_is_nearly_that_of_the_whole(exact_engine, stride):
    """Edges are found in the network's pixels, where these are fewer; nearly the same is cut."""
    lazy, whole = frames(exact_engine, IDEAL)
    got, expected = (PointCloud(PointsSettings(stride)).build(frame) for frame in (lazy, whole))
    both = np.isfinite(got[..., 2]) & np.isfinite(expected[..., 2])
    np.testing.assert_allclose(got[both], expected[both], rtol=1e-5, atol=1e-6)
    either = np.isfinite(got[..., 2]) | np.isfinite(expected[..., 2])
    assert both.sum() > 0.97 * either.sum()


@pytest.fixture(scope="module")
def engine():
    with open_engine(open_bundle("mini"), "opencv") as engine:
        yield engine


def photograph(width: int, height: int, distortion: tuple) -> tuple[np.ndarray, Camera]:
    """The bundle's sample, a picture that it knows, enlarged, with grain of the camera's own pixels on it."""
    image, _ = open_bundle("mini").check()
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    image += np.random.default_rng(0).integers(-20, 21, image.shape, np.int16)
    ideal = Camera.from_fov(width, height, 1.1)
    camera = Camera(width, height, ideal.fx, ideal.fy, ideal.cx, ideal.cy, distortion)
    return np.clip(image, 0, 255).astype(np.uint8), camera


@pytest.mark.parametrize("distortion", [(), (-0.1, 0.02, 0.0, 0.0, 0.0)])
@pytest.mark.parametrize("size", [(640, 480), (1920, 1080)])
def test_depth_is_that_of_the_two_steps(engine, size, distortion):
    image, camera = photograph(*size, distortion)
    pipeline = Pipeline(engine, stabilizer=None)
    depth = pipeline.process(Frame(image, 0, "camera", camera)).depth.copy()
    geometry = pipeline._geometry
    seen = np.empty((engine.manifest.input_height, engine.manifest.input_width, 3), np.uint8)
    geometry.letterbox.letterbox(geometry.rectify(image), seen)
    metres = engine.infer(seen) * np.float32(geometry.focal_scale)
    expected = geometry.restore(metres, np.empty_like(depth))
    off = np.abs(np.log(depth / expected))
    assert np.nanmedian(off) < 0.005 and np.nanpercentile(off, 99) < 0.02


def test_depth_of_an_image_that_was_decoded_smaller(engine):
    image, camera = photograph(1920, 1080, (-0.1, 0.02, 0.0, 0.0, 0.0))
    pipeline = Pipeline(engine, stabilizer=None, scale=ScaleSettings(height=0.6))
    assert pipeline.shrink_for((1920, 1080)) == 1, "nothing is known of the camera yet"
    depth = pipeline.process(Frame(image, 0, "camera", camera)).depth.copy()
    shrink = pipeline.shrink_for((1920, 1080))
    assert shrink == 4 and pipeline.shrink_for((640, 480)) == 1
    small = cv2.resize(image, (480, 270), interpolation=cv2.INTER_AREA)
    result = pipeline.process(Frame(small, 1, "camera", camera, shrink=shrink))
    assert not result.facts.reset and result.depth.shape == (1080, 1920)
    off = np.abs(np.log(result.depth / depth))
    assert np.nanmedian(off) < 0.005 and np.nanpercentile(off, 99) < 0.02
    whole = pipeline._geometry.depth_image(image, 1).astype(np.int16)
    assert result.image.shape == image.shape
    assert abs((result.image - whole).mean()) < 1 and np.abs(result.image - whole).mean() < 12
    colors = result.image_at(4)
    assert colors.shape == (270, 480, 3) and np.abs(colors - whole[::4, ::4]).mean() < 12
