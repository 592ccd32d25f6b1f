# SPDX-License-Identifier: Apache-2.0
"""Images of a few pixels: every size gives depth of its size, or is refused with a sentence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from clip2depth_ros.camera import Camera, Letterbox
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Floor, Frame
from clip2depth_ros.outputs import LaserScan, PointCloud, PointsSettings
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings
from clip2depth_ros.stabilizer.landmarks import landmarks

SIZES = [(width, height) for height in range(1, 17) for width in range(1, 17)]
LONG = [(1, 640), (640, 1), (2, 480), (480, 2), (3, 300), (300, 3), (16, 900), (900, 16)]


def frames(width: int, height: int, camera: Camera | None, count: int = 3):
    """Images that move by a pixel a frame."""
    rng = np.random.default_rng(width * 1000 + height)
    wide = rng.integers(0, 256, (height + count, width + count, 3), np.uint8)
    for n in range(count):
        image = np.ascontiguousarray(wide[n : n + height, n : n + width])
        yield Frame(image, n * 33_000_000, "optical", camera)


@pytest.mark.parametrize("net", [(64, 48), (96, 96), (32, 128)])
def test_every_small_size_gives_depth(exact_engine, net):
    width, height = net
    pipeline = Pipeline(exact_engine(input_width=width, input_height=height), scale=ScaleSettings(height=0.4))
    cloud, scan = PointCloud(PointsSettings(1)), LaserScan()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size in SIZES + LONG:
            camera = Camera.from_fov(*size, min(1.0, 1.5 * size[0] / size[1]))
            for frame in frames(*size, camera):
                result = pipeline.process(frame)
                assert result.depth.shape == result.std_dev.shape == size[::-1]
                known = np.isfinite(result.depth)
                assert (result.depth[known] > 0).all() and known.any()
                assert cloud.build(result).shape[:2] == size[::-1]
                assert np.isfinite(scan.build(result, Floor.from_mounting(0.4, 0.1, 0.0))).size >= 2


def test_every_small_size_gives_depth_without_a_camera(exact_engine):
    pipeline = Pipeline(exact_engine())
    for size in SIZES + LONG:
        for frame in frames(*size, None):
            assert pipeline.process(frame).depth.shape == size[::-1]


@pytest.mark.parametrize("depth_size", [None, (1, 1), (2, 3), (40, 1)])
def test_small_distorted_images_and_small_depths(exact_engine, depth_size):
    pipeline = Pipeline(exact_engine(), depth_size=depth_size, scale=ScaleSettings(height=0.4))
    for width, height in SIZES[::7]:
        camera = Camera(width, height, 10, 10, width / 2, height / 2, (0.1, -0.2, 0.0, 0.0, 0.0))
        for frame in frames(width, height, camera):
            assert pipeline.process(frame).depth.shape == (depth_size or (width, height))[::-1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 40), (4, 1), (5, 5)])
def test_corners_have_depth_in_a_depth_of_a_few_pixels(shape):
    camera = Camera.from_fov(32, 32, 1.0)
    corners = np.random.default_rng(3).uniform(0, 31, (50, 2)).astype(np.float32)
    depth, variance = np.full(shape, 2.0, np.float32), np.ones(shape, np.float32)
    points, seen = landmarks(corners, corners, camera, depth, variance)
    assert points.shape == (50, 3) and (points[:, 2] == 2.0).all()
    np.testing.assert_allclose(points[:, :2] / points[:, 2:], seen, rtol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_a_flat_wall_stays_flat(size):
    """Through the letterbox and back, one depth everywhere is that depth everywhere."""
    for net in ((64, 48), (16, 16)):
        box = Letterbox(size, *net)
        depth = np.full(net[::-1], 2.5, np.float32)
        np.testing.assert_allclose(box.restore(depth, np.empty(size[::-1], np.float32)), 2.5, rtol=1e-6)


@pytest.mark.parametrize("net", [(1, 1), (2, 2), (1, 8), (8, 1), (2, 9)])
def test_an_unknown_pixel_of_a_narrow_network_stays_unknown(net):
    width, height = net
    box = Letterbox((8 * width, 8 * height), width, height)
    depth = np.full((height, width), 2.5, np.float32)
    depth[0, 0] = np.nan
    out = box.restore(depth, np.empty((8 * height, 8 * width), np.float32))
    np.testing.assert_array_equal(np.isnan(out), np.isnan(depth).repeat(8, 0).repeat(8, 1))


def test_a_camera_of_a_few_pixels_is_refused_where_it_sees_sideways():
    with pytest.raises(Clip2DepthError, match="87 degrees"):
        Camera.from_fov(1, 640, 1.0)
