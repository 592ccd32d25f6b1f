# SPDX-License-Identifier: Apache-2.0
"""Any numbers in a camera_info: refused with a sentence, or depth, cloud and scan without a fault."""

from __future__ import annotations

import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Floor, Frame
from clip2depth_ros.io.messages.camera_info import camera_from_info
from clip2depth_ros.outputs import LaserScan, PointCloud, PointsSettings
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings

WIDTH, HEIGHT = 64, 48
NUMBERS = (0.0, 1.0, -1.0, 1e-3, 60.0, 1e3, 1e9, 1e300, -1e300, np.nan, np.inf, 31.5, 1e-300)
COEFFICIENTS = (0.0, 0.1, -0.3, 50.0, 1e5, 1e300, -1e300, 1e-300)


def camera_info(rng: np.random.Generator) -> SimpleNamespace:
    """A calibration of which some numbers are anything."""
    roi = SimpleNamespace(
        x_offset=int(rng.choice([0, 10, 2**32 - 1])),
        y_offset=0,
        width=int(rng.choice([0, WIDTH, 2**32 - 1])),
        height=int(rng.choice([0, HEIGHT])),
    )
    info = SimpleNamespace(width=WIDTH, height=HEIGHT, roi=roi, distortion_model="plumb_bob")
    info.binning_x, info.binning_y = int(rng.choice([0, 1, 2, 2**32 - 1])), 0
    info.k, info.r = [60.0, 0, 31.5, 0, 60.0, 23.5, 0, 0, 1.0], [1.0, 0, 0, 0, 1, 0, 0, 0, 1]
    info.p, info.d = [60.0, 0, 31.5, 0, 0, 60.0, 23.5, 0, 0, 0, 1, 0], [0.0] * 5
    if rng.random() < 0.7:
        info.distortion_model, length = (("plumb_bob", 5), ("rational_polynomial", 8), ("equidistant", 4))[
            rng.integers(3)
        ]
        info.d = [float(c) for c in rng.choice(COEFFICIENTS, length)]
    for name in "kprd":
        if rng.random() < 0.25:
            numbers = getattr(info, name)
            numbers[rng.integers(len(numbers))] = float(rng.choice(NUMBERS))
    return info


def test_any_camera_info_is_refused_or_gives_depth(exact_engine):
    rng = np.random.default_rng(1)
    pipeline = Pipeline(exact_engine(canonical_focal_px=100.0), scale=ScaleSettings(height=0.4))
    cloud, scan, floor = PointCloud(PointsSettings(2)), LaserScan(), Floor.from_mounting(0.4, 0.1, 0.0)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    used = 0
    for number in range(1500):
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                camera = camera_from_info(camera_info(rng), WIDTH, HEIGHT, rectified=bool(number % 3 == 0))
                result = pipeline.process(Frame(image, number * 33_000_000, "camera", camera))
                cloud.build(result)
                scan.build(result, floor)
        except Clip2DepthError as error:
            assert str(error).isprintable() and len(str(error)) < 400
        else:
            used += 1
            known = result.depth[~np.isnan(result.depth)]
            assert np.isfinite(known).all() and (known > 0).all()
        assert time.monotonic() - start < 2
    assert 300 < used < 1400


@pytest.mark.parametrize("fx", [4.0, 60.0, 7000.0])
@pytest.mark.parametrize("side", [-19.0, -1.0, 0.0, 1.0, 19.0])
def test_a_scan_of_a_camera_that_looks_to_the_side(fx, side):
    """The principal point lies far outside the image: fx times the slope of its ray."""
    camera = Camera(WIDTH, HEIGHT, fx, fx, WIDTH / 2 + side * fx * 0.5, HEIGHT / 2)
    scan = LaserScan()
    readings = scan.prepare(camera)
    assert 2 <= readings < 1000 and scan.angle_increment > 0
    assert scan.angle_max - scan.angle_min == pytest.approx((readings - 1) * scan.angle_increment)
