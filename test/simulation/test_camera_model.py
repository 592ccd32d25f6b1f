# SPDX-License-Identifier: Apache-2.0
"""The camera model distorts image and depth alike, exposes to its target, and adds realistic noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clip2depth_ros.simulation.photography.sensor import SensorLook, bent_grid, expose

HEIGHT, WIDTH = 96, 128


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def gray(value: float) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), value, np.float32)


def flat_depth(meters: float = 2.0) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), meters, np.float32)


def gradient_scene() -> np.ndarray:
    """Light with dark and bright parts, (H, W, 3) 0..255."""
    ramp = np.linspace(20, 200, WIDTH, dtype=np.float32)
    return np.broadcast_to(ramp[None, :, None], (HEIGHT, WIDTH, 3)).copy()


def test_no_look_changes_nothing(rng):
    light = np.round(rng.random((HEIGHT, WIDTH, 3)) * 255).astype(np.float32)
    depth = rng.random((HEIGHT, WIDTH)).astype(np.float32)
    depth[3, 4] = np.nan
    image, moved = expose(light, depth, SensorLook(), rng)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, light.astype(np.uint8))
    np.testing.assert_array_equal(moved, depth)


@pytest.mark.parametrize("distortion", [-0.08, 0.0, 0.08])
@pytest.mark.parametrize("shear", [-6.0, 0.0, 6.0])
def test_lens_and_shutter_distort_image_and_depth_alike(rng, distortion, shear):
    """White things are 4 m away and black ones 2 m: this is still true after the distortion."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    far = (columns > 12) ^ (columns > 100) ^ (rows > 60)
    light = np.where(far[..., None], 255.0, 0.0).astype(np.float32) * np.ones(3, np.float32)
    depth = np.where(far, 4.0, 2.0).astype(np.float32)
    image, moved = expose(light, depth, SensorLook(distortion=distortion, shear=shear), rng)
    assert set(np.unique(moved)) == {2.0, 4.0}
    # Where the nearest pixel changes, the interpolated one is halfway.
    whole = (image[..., 0] < 100) | (image[..., 0] > 155)
    assert whole.mean() > 0.9
    np.testing.assert_array_equal(moved[whole] == 4.0, image[..., 0][whole] > 127)
    assert (distortion == 0 and shear == 0) == bool((moved == depth).all())


@pytest.mark.parametrize(("distortion", "shear"), [(0.05, 0.0), (-0.05, 0.0), (0.02, 9.0), (-0.02, -9.0)])
def test_a_distorted_image_has_no_border(distortion, shear):
    x, y = bent_grid(HEIGHT, WIDTH, distortion, shear)
    assert x.min() >= -1e-3 and x.max() <= WIDTH - 1 + 1e-3
    assert y.min() >= -1e-3 and y.max() <= HEIGHT - 1 + 1e-3


def test_positive_distortion_is_barrel():
    """A barrel's middle is larger than its edge: neighbors in the middle are closer in the source."""
    x, _ = bent_grid(HEIGHT, WIDTH, 0.05, 0.0)
    steps = np.diff(x[HEIGHT // 2])
    assert steps[WIDTH // 2] < steps[0]


@pytest.mark.parametrize("target", [0.2, 0.4, 0.6])
def test_exposure_meets_its_target(rng, target):
    image, _ = expose(gradient_scene() * 0.5, flat_depth(), SensorLook(target=target, max_gain=64.0), rng)
    assert image.mean() / 255.0 == pytest.approx(target, abs=0.02)


def test_exposure_is_limited_by_the_camera(rng):
    image, _ = expose(gray(40), flat_depth(), SensorLook(target=0.9, max_gain=4.0), rng)
    # Four times the light is twice the display value at gamma 2.
    assert image.mean() == pytest.approx(80.0, abs=1.5)


def test_noise_rises_with_gain(rng):
    look = SensorLook(shot_noise=0.01, read_noise=0.002, max_gain=64.0)
    darker = [
        expose(gray(value), flat_depth(), replace(look, target=0.4), rng)[0].std() for value in (100, 50, 25)
    ]
    assert darker[0] > 0.3
    assert darker[1] > 1.5 * darker[0]
    assert darker[2] > 1.5 * darker[1]


def test_noise_needs_a_sensor_and_is_never_the_same():
    look = SensorLook(shot_noise=0.01, read_noise=0.001)
    clean = expose(gray(90), flat_depth(), SensorLook(), np.random.default_rng(1))[0]
    assert clean.std() == 0
    first = expose(gray(90), flat_depth(), look, np.random.default_rng(1))[0]
    again = expose(gray(90), flat_depth(), look, np.random.default_rng(1))[0]
    other = expose(gray(90), flat_depth(), look, np.random.default_rng(2))[0]
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.2


def test_motion_blurs_along_its_path_only(rng):
    light = gray(0)
    light[:, WIDTH // 2 :] = 255
    look = SensorLook(motion=(12.0, 0.0))
    soft, depth = expose(light, flat_depth(), look, rng)
    # 12 pixels of an image 256 wide are 6 of this one.
    between = ((soft[HEIGHT // 2, :, 0] > 5) & (soft[HEIGHT // 2, :, 0] < 250)).sum()
    assert 4 <= between <= 8
    sharp, _ = expose(light, flat_depth(), SensorLook(motion=(0.0, 12.0)), rng)
    np.testing.assert_array_equal(sharp, light.astype(np.uint8))
    np.testing.assert_array_equal(depth, flat_depth())


def test_blur_mixes_light_and_not_display_values(rng):
    """Half of full light is 180 of 255 at gamma 2, as at the edge of a lamp."""
    light = gray(0)
    light[:, WIDTH // 2 :] = 255
    image, _ = expose(light, flat_depth(), SensorLook(blur=3.0), rng)
    edge = image[HEIGHT // 2, WIDTH // 2 - 1 : WIDTH // 2 + 1, 0].astype(float)
    assert edge.mean() == pytest.approx(180.0, abs=4.0)


def test_vignette_darkens_corners_and_not_the_middle(rng):
    image, _ = expose(gray(200), flat_depth(), SensorLook(vignette=0.4), rng)
    assert image[HEIGHT // 2, WIDTH // 2, 0] >= 198
    assert image[0, 0, 0] < 170


def test_white_balance_and_saturation_keep_the_brightness_of_gray_light(rng):
    look = SensorLook(white_balance=(1.2, 1.0, 0.8), saturation=0.5)
    red, green, blue = expose(gray(120), flat_depth(), look, rng)[0].mean((0, 1))
    assert red > green > blue
    colored = gray(120) * np.array([1.0, 0.5, 0.5], np.float32)
    pale = expose(colored, flat_depth(), SensorLook(saturation=0.4), rng)[0].mean((0, 1))
    assert 0 < pale[0] - pale[1] < 60


def test_haze_brightens_black_and_bloom_spreads(rng):
    light = gray(0)
    light[:, WIDTH // 2 :] = 255
    black = (HEIGHT // 2, 4, 0)
    assert expose(light, flat_depth(), SensorLook(), rng)[0][black] == 0
    assert expose(light, flat_depth(), SensorLook(haze=0.05), rng)[0][black] > 20
    bloom = expose(light, flat_depth(), SensorLook(bloom=0.1), rng)[0][HEIGHT // 2, :, 0]
    assert bloom[WIDTH // 2 - 3] > bloom[4] + 20


def test_levels_stretch_a_dull_image_to_white(rng):
    dull = 90 + 0.2 * gradient_scene()
    plain = expose(dull, flat_depth(), SensorLook(), rng)[0].astype(float)
    spread = expose(dull, flat_depth(), SensorLook(levels=1.0), rng)[0].astype(float)
    assert spread.std() > 1.3 * plain.std()
    assert spread.max() > plain.max() + 10


def test_contrast_and_sharpening_steepen_edges(rng):
    light = np.full((192, 256, 3), 70, np.float32)
    light[:, 128:] = 180
    depth = np.ones((192, 256), np.float32)
    plain = expose(light, depth, SensorLook(), rng)[0]
    steep = expose(light, depth, SensorLook(contrast=0.8), rng)[0]
    assert steep.std() > 1.1 * plain.std()
    sharp = expose(light, depth, SensorLook(sharpening=0.8), rng)[0]
    assert sharp.max() > 185 and sharp.min() < 65


def test_jpeg_changes_the_image_little(rng):
    light = gradient_scene()
    image, _ = expose(light, flat_depth(), SensorLook(jpeg=60), rng)
    assert 0 < np.abs(image - light).mean() < 4


def test_random_looks_are_reproducible():
    first, again, other = (SensorLook.random(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_random_looks_spread_brightness_as_recordings_do():
    """Lit scenes range from dim to overexposed; dark places are darker and noisier."""
    means, darker, noise, dark_noise = [], [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        look = SensorLook.random(rng)
        means.append(expose(gradient_scene(), flat_depth(), look, rng)[0].mean())
        noise.append(look.shot_noise)
        dark = SensorLook.random(rng, dark=True)
        darker.append(expose(gradient_scene(), flat_depth(), dark, rng)[0].mean())
        dark_noise.append(dark.shot_noise)
    low, middle, high = np.percentile(means, (5, 50, 95))
    assert low < 105 < middle < 140 < 150 < high
    assert np.median(darker) < 0.7 * np.median(means)
    assert np.median(dark_noise) > np.median(noise)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (65, 49), (224, 168), (320, 240)])
def test_every_size_and_unknown_depth(width, height):
    depth = np.full((height, width), np.nan, np.float32)
    depth[height // 2 :] = 3.0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        light = (rng.random((height, width, 3)) * 255).astype(np.float32)
        image, moved = expose(light, depth, SensorLook.random(rng), rng)
        assert image.shape == (height, width, 3) and image.dtype == np.uint8
        assert moved.shape == (height, width) and moved.dtype == np.float32
        assert np.isnan(moved[0]).all() and (moved[-1] == 3.0).all()
