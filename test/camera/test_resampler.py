# SPDX-License-Identifier: Apache-2.0
import functools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip2depth_ros.camera import Camera, Letterbox, Rectifier, Resampler
from clip2depth_ros.camera.resampler import shrunk_size
from clip2depth_ros.errors import Clip2DepthError

NET = (224, 160)
SIZES = ((640, 480), (1242, 375), (1280, 720), (1919, 1079), (1920, 1080))
BENT = (-0.25, 0.06, 0.001, -0.0005, 0.0)


@functools.cache
def textured(width: int, height: int, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: detail of every size as photographs have it, noise, and fine stripes."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, np.float32)
    for cells in (6, 12, 25, 50, 100, 200, 400, 800):
        grain = rng.random((max(2, cells * height // width), cells, 3), np.float32) - 0.5
        image += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC) * (150 / np.sqrt(cells))
    image += rng.normal(0, 6, image.shape)
    image[height // 4 : height // 3] += 60 * np.sign(np.sin(np.arange(width) * 2.1))[:, None]
    return np.clip(image, 0, 255).astype(np.uint8)


def camera_of(width: int, height: int, distortion: tuple = BENT) -> Camera:
    ideal = Camera.from_fov(width, height, 1.1)
    return Camera(width, height, ideal.fx, ideal.fy, ideal.cx, ideal.cy, distortion)


def in_two_steps(image: np.ndarray, rectifier: Rectifier | None) -> np.ndarray:
    """Rectified at full size, then averaged by areas into the network's input, without its border."""
    if rectifier is not None:
        image = rectifier.rectify(image, np.empty_like(image))
    box = Letterbox(image.shape[1::-1], *NET)
    return box.inner(box.letterbox(image, np.empty((NET[1], NET[0], 3), np.uint8))).astype(np.int16)


def in_one(image: np.ndarray, rectifier: Rectifier | None, shrink: int = 1, size=None) -> np.ndarray:
    size = size or image.shape[1::-1]
    box = Letterbox(size, *NET)
    target = box.inner_width, box.inner_height
    out = np.empty((target[1], target[0], 3), np.uint8)
    return Resampler(size, target, rectifier).resample(image, out, shrink).astype(np.int16)


@pytest.mark.parametrize(
    ("size", "lens"),
    [
        ((160, 120), False),
        *(((width, height), lens) for width, height in SIZES for lens in (True, False)),
        ((3840, 2160), True),
    ],
)
def test_one_resampling_equals_the_two_steps(size, lens):
    image = textured(*size)
    rectifier = Rectifier(camera_of(*size)) if lens else None
    expected, got = in_two_steps(image, rectifier), in_one(image, rectifier)
    difference = np.abs(got - expected)
    assert difference.mean() < 1.2 and np.percentile(difference, 99) <= 10
    # The image is not darker or brighter either: halving rounds up by an eighth of a level each time.
    assert abs((got - expected).mean()) < 0.5
    if size[0] > 1000:
        # What does not average is an order of magnitude away.
        if rectifier is not None:
            image = rectifier.rectify(image, np.empty_like(image))
        naive = cv2.resize(image, got.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        assert np.abs(naive - expected).mean() > 4 * difference.mean()


def test_other_lenses():
    for model, coefficients, rotation in (
        ("equidistant", (-0.02, 0.004, -0.001, 0.0002), None),
        ("plumb_bob", (), (np.cos(0.1), 0, np.sin(0.1), 0, 1, 0, -np.sin(0.1), 0, np.cos(0.1))),
        ("plumb_bob", (0.6, 0.0, 0.0, 0.0, 0.0), None),  # its border lies outside the image: black
    ):
        camera = Camera(1280, 720, 1000, 1004, 645, 352, coefficients, model, rotation)
        rectifier, image = Rectifier(camera), textured(1280, 720)
        difference = np.abs(in_one(image, rectifier) - in_two_steps(image, rectifier))
        assert difference.mean() < 1.2 and np.percentile(difference, 99) <= 12, (model, coefficients)


@pytest.mark.parametrize("size", [(1920, 1080), (3840, 2160), (1286, 722)])
@pytest.mark.parametrize("period", [2, 3, 5])
def test_stripes_too_fine_for_the_network_become_gray(size, period):
    """Aliasing would make broad stripes of them."""
    columns = np.where(np.arange(size[0]) % period < period / 2, 255, 0).astype(np.uint8)
    image = np.repeat(np.tile(columns, (size[1], 1))[..., None], 3, 2)
    for rectifier in (None, Rectifier(camera_of(*size))):
        got = in_one(image, rectifier)[4:-4, 4:-4]
        expected = in_two_steps(image, rectifier)[4:-4, 4:-4]
        assert got.std() < expected.std() + 12, "of 127 that the stripes have"


@given(st.integers(900, 2000), st.integers(900, 2000))
@settings(max_examples=10)
def test_an_image_that_was_shrunk_by_the_decoder_gives_the_same_result(width, height):
    """Sizes that are not divisible by the factor do not shift the image."""
    smooth = cv2.resize(textured(48, 48), (width, height), interpolation=cv2.INTER_CUBIC)
    size, shrink = (width, height), 2
    columns, rows = shrunk_size(size, shrink)
    padded = cv2.copyMakeBorder(
        smooth, 0, rows * shrink - height, 0, columns * shrink - width, cv2.BORDER_REPLICATE
    )
    small = padded.reshape(rows, shrink, columns, shrink, 3).mean((1, 3)).round().astype(np.uint8)
    for rectifier in (None, Rectifier(camera_of(width, height))):
        got, expected = in_one(small, rectifier, shrink, size), in_one(smooth, rectifier)
        assert np.abs(got - expected).mean() < 0.6


def test_a_dot_is_where_the_camera_projects_it():
    camera = camera_of(1919, 1079)
    rectifier = Rectifier(camera)
    box = Letterbox(camera.size, *NET)
    net = rectifier.camera.scaled(box.inner_width, box.inner_height)
    for point in ((0.3, 0.1, 1.0), (-0.4, -0.2, 1.0)):
        image = np.zeros((1079, 1919, 3), np.uint8)
        pixel, _ = cv2.projectPoints(
            np.array([[point]]), np.zeros(3), np.zeros(3), camera.matrix, np.array(camera.distortion)
        )
        u, v = pixel.ravel()
        cv2.circle(image, (round(u * 16), round(v * 16)), 20 * 16, (255,) * 3, -1, cv2.LINE_AA, shift=4)
        seen = in_one(image, rectifier)[..., 0].astype(float)
        rows, columns = np.indices(seen.shape)
        center = np.array([(columns * seen).sum(), (rows * seen).sum()]) / seen.sum()
        expected = [net.fx * point[0] + net.cx, net.fy * point[1] + net.cy]
        np.testing.assert_allclose(center, expected, atol=0.1)


def test_an_image_of_another_size_is_rejected():
    resampler = Resampler((640, 480), (213, 160))
    out = np.empty((160, 213, 3), np.uint8)
    with pytest.raises(Clip2DepthError, match="is 640x400, expected 640x480"):
        resampler.resample(np.zeros((400, 640, 3), np.uint8), out)
    with pytest.raises(Clip2DepthError, match="is 640x480, expected 640x480 shrunk by 2"):
        resampler.resample(np.zeros((480, 640, 3), np.uint8), out, 2)
