# SPDX-License-Identifier: Apache-2.0
# nothing of ours is imported where PyTorch is missing
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs PyTorch")

from clip2depth_ros.training.augmentation import Augmentation

pytestmark = pytest.mark.torch

FX, CANONICAL = 90.0, 100.0


def board(distance=2.0, height=96, width=128, square=0.25):
    """A wall at `distance`, chequered in metres, as a camera of focal length FX sees it."""
    v, u = np.mgrid[:height, :width].astype(np.float32)
    x, y = (u - (width - 1) / 2) * distance / FX, (v - (height - 1) / 2) * distance / FX
    light = 40 + 170 * ((np.floor(x / square) + np.floor(y / square)) % 2)
    return np.repeat(light[..., None], 3, 2).astype(np.uint8), np.full((height, width), distance, np.float32)


def square_width(image):
    """Width of the chequers in pixels, from the middle row's light changes."""
    row = image[image.shape[0] // 2, :, 0].astype(int) > 125
    edges = np.flatnonzero(np.diff(row))
    return np.diff(edges).mean()


def apply(augmentation, image, depth, seed=0, size=(48, 64), canonical=CANONICAL, caption="a wall"):
    return augmentation(
        image, depth, FX, caption, size=size, canonical_focal_px=canonical,
        border_colour=(1, 2, 3), rng=np.random.default_rng(seed),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_scaled_crops_keep_the_canonical_camera_right(seed):
    """A square at canonical depth z is canonical_focal * size / z pixels wide, whatever the crop."""
    image, depth = board()
    crop, canonical, _ = apply(Augmentation(min_crop=0.4), image, depth, seed, size=(96, 128))
    z = np.unique(canonical)
    assert z.size == 1
    assert square_width(crop) == pytest.approx(CANONICAL * 0.25 / z[0], rel=0.06)


def test_without_a_canonical_camera_depth_is_as_it_is():
    assert np.unique(apply(Augmentation(min_crop=0.4), *board(), canonical=None)[1]) == [2.0]


def test_off_is_the_largest_centred_crop():
    image, depth = board(width=160)
    image[:, 80:] = 0
    out, target, _ = apply(Augmentation(), image, depth)
    assert out.shape == (48, 64, 3) and target.shape == (48, 64)
    assert target[0, 0] == pytest.approx(2.0 * CANONICAL / (FX * 64 / 128))
    assert out[:, 33:].max() == 0 and out[:, :31].min() > 0


def test_flip_turns_image_depth_and_words():
    image, depth = board()
    depth[:, :64] = 1.0
    plain = apply(Augmentation(), image, depth)
    out, target, caption = apply(
        Augmentation(flip=1.0), image, depth, caption="a chair left of a door, right here"
    )
    assert np.array_equal(out, plain[0][:, ::-1]) and np.array_equal(target, plain[1][:, ::-1])
    assert caption == "a chair right of a door, left here"


def test_light_changes_the_image_and_never_the_depth():
    image, depth = board()
    bright = Augmentation(brightness=0.3, contrast=0.2, gamma=0.3, colour=0.1, noise=5.0)
    plain, lit = apply(Augmentation(), image, depth), apply(bright, image, depth)
    assert not np.array_equal(plain[0], lit[0]) and lit[0].dtype == np.uint8
    assert np.array_equal(plain[1], lit[1])


def test_borders_are_blank_and_unknown():
    for seed in range(20):
        image, target, _ = apply(Augmentation(border=1.0), *board(), seed=seed)
        unknown = np.isnan(target)
        assert (image[unknown] == (1, 2, 3)).all()
        assert unknown.mean() <= 1 / 3
        assert np.array_equal(unknown, unknown[::-1, ::-1])


def test_unknown_depth_becomes_nan():
    image, depth = board()
    depth[:10], depth[10:20], depth[20:30] = 0, np.inf, np.nan
    target = apply(Augmentation(), image, depth)[1]
    assert np.isnan(target[:14]).all() and np.isfinite(target[16:]).all()


def test_the_same_seed_gives_the_same_view():
    strong = Augmentation(min_crop=0.5, flip=0.5, brightness=0.3, noise=5.0, border=0.5)
    first, second, other = (apply(strong, *board(), seed=s) for s in (4, 4, 5))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1], equal_nan=True)
    assert not np.array_equal(first[0], other[0])
