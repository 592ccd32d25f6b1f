# SPDX-License-Identifier: Apache-2.0
"""Image, depth, camera and motion agree, however a view is cropped, scaled and flipped."""

import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.training.views.augmentation import Augmentation, rolled

CANONICAL = 100.0
CAMERA = Camera(160, 120, 110.0, 110.0, 75.0, 62.0)
LEVEL = np.eye(4)


def light_of(point: np.ndarray) -> np.ndarray:
    """Grey level of world points (..., 3): smooth, without symmetry."""
    x, y = point[..., 0], point[..., 1]
    return 128 + 50 * np.sin(2.1 * x + 0.4) + 45 * np.cos(1.7 * y + 0.9 * x)


def photograph(pose=LEVEL, camera=CAMERA, slope=0.0, distance=2.0, **facts) -> Frame:
    """A painted wall z = distance + slope * x of the world, as a camera at `pose` sees it."""
    rays = camera.rays().astype(float) @ pose[:3, :3].T
    normal = np.array([-slope, 0.0, 1.0])
    depth = (distance - normal @ pose[:3, 3]) / (rays @ normal)
    grey = light_of(pose[:3, 3] + depth[..., None] * rays)
    image = np.repeat(np.clip(grey + 0.5, 0, 255).astype(np.uint8)[..., None], 3, 2)
    return Frame(image, 0, "camera", camera, "wall", depth.astype(np.float32), pose, **facts)


def pose_at(x, y, z, yaw, pitch):
    pose = np.eye(4)
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    pose[:3, :3] = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ [[1, 0, 0], [0, cp, -sp], [0, sp, cp]]
    pose[:3, 3] = x, y, z
    return pose


def apply(augmentation, sample, following=None, seed=0, size=(48, 64), canonical=CANONICAL, **others):
    return augmentation.apply(
        sample, following, size=size, canonical_focal_px=canonical, rng=np.random.default_rng(seed), **others
    )


GEOMETRIES = {
    "crop": Augmentation(min_crop=0.4),
    "flipped crop": Augmentation(min_crop=0.4, flip=1.0),
    "letterbox": Augmentation(letterbox=1.0),
    "flipped letterbox": Augmentation(letterbox=1.0, flip=1.0),
}
ROLLED = {
    "rolled crop": Augmentation(min_crop=0.4, roll=6.0),
    "rolled, flipped letterbox": Augmentation(letterbox=1.0, flip=1.0, roll=6.0),
}


@pytest.mark.parametrize("size", [(48, 64), (64, 64), (40, 90), (150, 200)], ids=str)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_pixels_show_what_camera_and_depth_say(name, size):
    """Each pixel, taken into the room by the view's camera and true depth, has the wall's colour there."""
    for seed in range(4):
        view = apply((GEOMETRIES | ROLLED)[name], photograph(slope=0.2), seed=seed, size=size)
        assert view.image.shape == (*size, 3) and view.depth.shape == size and view.camera.size == size[::-1]
        points = view.camera.rays() * (view.depth / view.scale)[..., None]
        if "flipped" in name:
            points[..., 0] *= -1
        wrong = np.abs(light_of(points) - view.image[..., 0])
        assert np.isfinite(view.depth).mean() > 0.5
        assert np.nanpercentile(wrong, 95) < 3.0


@pytest.mark.parametrize("angle", [-170.0, -7.0, 3.0, 30.0])
def test_a_rolled_camera_sees_the_same_wall(angle):
    """The turned pose takes every pixel to where the wall has its colour, and what was outside is unknown."""
    sample = rolled(photograph(pose_at(0.1, -0.2, 0.1, 0.1, -0.1), slope=0.2), angle)
    points = sample.camera.rays() * sample.depth[..., None] @ sample.pose[:3, :3].T + sample.pose[:3, 3]
    wrong = np.abs(light_of(points) - sample.image[..., 0])
    known = np.isfinite(sample.depth)
    assert 0.5 < known.mean() < 1.0
    assert np.percentile(wrong[known], 95) < 3.0
    upright = photograph()
    assert rolled(upright, 0.1) is upright


@pytest.mark.parametrize("name", GEOMETRIES | ROLLED)
def test_depth_is_canonical_exactly(name):
    """With known depth and focal length: their product is what the canonical camera would have."""
    for seed in range(8):
        view = apply((GEOMETRIES | ROLLED)[name], photograph(), seed=seed)
        known = view.depth[np.isfinite(view.depth)]
        np.testing.assert_allclose(known * view.camera.fx, 2.0 * CANONICAL, rtol=1e-6)
        np.testing.assert_allclose(known / view.scale, 2.0, rtol=1e-6)


def test_a_crop_scales_the_focal_length_by_its_own_size():
    """Half the width at the same output size is twice the focal length."""
    views = [apply(Augmentation(min_crop=0.4), photograph(), seed=s) for s in range(20)]
    focal = [view.camera.fx for view in views]
    assert min(focal) >= 110 * 64 / 160 * 0.99 and max(focal) > 1.8 * min(focal)
    assert max(focal) <= 110 * 64 / (0.4 * 160) * 1.02


def test_without_a_canonical_camera_depth_is_as_it_is():
    view = apply(Augmentation(min_crop=0.4), photograph(), canonical=None)
    assert np.unique(view.depth) == [2.0] and view.scale == 1.0


@pytest.mark.parametrize("name", GEOMETRIES | ROLLED)
def test_warping_the_first_frame_into_the_second_matches(name):
    first, second = photograph(slope=0.2), photograph(pose_at(0.12, -0.05, 0.2, 0.05, -0.03), slope=0.2)
    for seed in range(4):
        view = apply((GEOMETRIES | ROLLED)[name], first, second, seed=seed, size=(90, 120))
        k = view.camera.matrix
        points = (view.camera.rays() * view.depth[..., None]) @ view.motion[:3, :3].T + view.motion[:3, 3]
        places = (points / points[..., 2:]) @ k.T
        with np.errstate(invalid="ignore"):
            u, v = np.rint(np.nan_to_num(places[..., :2], nan=-9)).astype(int).transpose(2, 0, 1)
        seen = (u >= 0) & (v >= 0) & (u < view.camera.width) & (v < view.camera.height)
        assert seen.mean() > 0.4
        u, v = u[seen], v[seen]
        depth_there, known = view.next_depth[v, u], np.isfinite(view.next_depth[v, u])
        assert known.mean() > 0.9
        expected = points[..., 2][seen]
        assert np.median(np.abs(depth_there / expected - 1)[known]) < 0.004
        light = np.abs(view.next_image[v, u, 0].astype(int) - view.image[..., 0][seen])[known]
        assert np.median(light) <= 2 and np.percentile(light, 95) < 8
        # The same motion with its sideways part turned over, or unscaled, does not match.
        assert np.median(np.abs(depth_there / (expected - 0.1 * view.scale) - 1)[known]) > 0.02


def test_motion_is_unknown_without_poses():
    first, second = photograph(), photograph()
    second.pose = None
    view = apply(Augmentation(), first, second)
    assert view.motion is None and view.next_image is not None


def test_a_pair_of_two_cameras_is_refused():
    with pytest.raises(Clip2DepthError, match="different cameras"):
        apply(Augmentation(), photograph(), photograph(camera=Camera(160, 120, 90, 90, 80, 60)))


def test_a_sample_whose_camera_is_of_another_size_is_refused():
    sample = photograph()
    sample.depth = sample.depth[:-1]
    with pytest.raises(Clip2DepthError, match=r"wall: image .* not of one size"):
        apply(Augmentation(), sample)


def test_exposure_steps_between_the_frames_of_a_pair_and_nothing_else_does():
    still = photograph()
    ratios = []
    for seed in range(12):
        view = apply(Augmentation(exposure=0.3, brightness=0.2, gamma=0.2), still, still, seed=seed)
        np.testing.assert_array_equal(view.depth, view.next_depth)
        middle = view.image < 180
        ratios.append(np.median(view.next_image[middle].astype(float) / np.maximum(1, view.image[middle])))
    assert np.std(ratios) > 0.05 and min(ratios) > 0.7 and max(ratios) < 1.4
    quiet = apply(Augmentation(brightness=0.2, gamma=0.2, blur=1.0), still, still)
    np.testing.assert_array_equal(quiet.image, quiet.next_image)


def test_off_is_the_largest_centred_crop():
    camera = Camera(200, 120, 110, 110, 99.5, 59.5)
    view = apply(Augmentation(), photograph(camera=camera))
    assert view.camera.fx == pytest.approx(110 * 64 / 160) and view.camera.cx == pytest.approx(31.5)


def test_enlarging_is_smooth():
    view = apply(Augmentation(), photograph(), size=(480, 640))
    steps = np.abs(np.diff(view.image[..., 0].astype(int), axis=1))
    assert steps.max() <= 4, "blocks of equal pixels would step by their whole difference"


def test_flip_turns_the_words():
    sample = photograph(caption="a chair left of a door, right here")
    assert apply(Augmentation(flip=1.0), sample).caption == "a chair right of a door, left here"
    assert apply(Augmentation(flip=0.0), sample).caption == sample.caption
    assert apply(Augmentation(flip=1.0), photograph()).caption == ""


@pytest.mark.parametrize(
    "light",
    [
        {"brightness": 0.3}, {"contrast": 0.3}, {"gamma": 0.4}, {"colour": 0.3}, {"noise": 9.0},
        {"jpeg": 1.0}, {"blur": 2.0}, {"motion_blur": 9.0},
    ],
    ids=lambda light: next(iter(light)),
)  # fmt: skip
def test_light_changes_the_image_a_little_and_never_the_depth(light):
    plain = apply(Augmentation(), photograph())
    changed = [apply(Augmentation(**light), photograph(), seed=seed) for seed in range(5)]
    differences = [np.abs(view.image.astype(int) - plain.image).mean() for view in changed]
    assert max(differences) > 0.1 and max(differences) < 60
    for view in changed:
        assert view.image.dtype == np.uint8
        np.testing.assert_array_equal(view.depth, plain.depth)


def test_another_hue_keeps_brightness_and_depth_and_is_not_for_named_colors():
    red = photograph()
    red.image[:] = (150, 90, 90)
    red.image[::2] += 20
    plain = apply(Augmentation(), red)
    views = [apply(Augmentation(hue=1.0), red, seed=seed) for seed in range(30)]
    strongest = {int(view.image.mean((0, 1)).argmax()) for view in views}
    assert strongest == {0, 1, 2}  # what was red is green or blue as often
    for view in views:
        difference = view.image.astype(float).mean(2) - plain.image.mean(2)
        assert np.abs(difference).max() < 1.5
        np.testing.assert_array_equal(view.depth, plain.depth)
    red.caption = "a red box"
    np.testing.assert_array_equal(apply(Augmentation(hue=1.0), red).image, plain.image)


def test_noise_is_as_strong_as_asked_in_every_channel_and_new_in_every_frame():
    sample = photograph()
    sample.image = np.full_like(sample.image, 128)
    view = apply(Augmentation(noise=12.0), sample, sample, seed=1)
    deviations = view.image.std((0, 1))
    assert deviations.min() > 3 and deviations.max() < 12.5 and np.ptp(deviations) < 1
    assert abs(np.corrcoef(view.image.ravel(), view.next_image.ravel())[0, 1]) < 0.05


def test_motion_blur_blurs_along_one_direction_and_keeps_the_light():
    sample = photograph()
    sample.image = np.zeros_like(sample.image)
    sample.image[60, 80] = 255
    view = apply(Augmentation(motion_blur=40.0), sample, seed=3, size=(120, 160))
    ys, xs = np.nonzero(view.image[..., 0])
    spread = np.linalg.eigvalsh(np.cov(np.stack([xs, ys]), aweights=view.image[ys, xs, 0]))
    assert len(xs) > 5 and spread[1] > 10 * spread[0]
    assert (xs.mean(), ys.mean()) == (pytest.approx(80, abs=0.6), pytest.approx(60, abs=0.6))


def test_borders_are_blank_and_unknown():
    for seed in range(20):
        view = apply(Augmentation(border=1.0), photograph(), seed=seed, border_color=(1, 2, 3))
        unknown = np.isnan(view.depth)
        assert (view.image[unknown] == (1, 2, 3)).all()
        assert unknown.mean() <= 1 / 3
        assert np.array_equal(unknown, unknown[::-1, ::-1])


def test_a_letterboxed_view_has_the_whole_image_between_borders():
    view = apply(Augmentation(letterbox=1.0, noise=20.0), photograph(), size=(64, 64), border_color=(1, 2, 3))
    unknown = np.isnan(view.depth)
    assert unknown.sum() == 64 * 16 and unknown[:8].all() and unknown[-8:].all()
    assert (view.image[unknown] == (1, 2, 3)).all(), "no noise on the border"


def test_unknown_depth_becomes_nan():
    sample = photograph()
    sample.depth[:10], sample.depth[10:20], sample.depth[20:30] = 0, np.inf, np.nan
    target = apply(Augmentation(), sample).depth
    assert np.isnan(target[:11]).all() and np.isfinite(target[13:]).all()


def test_the_same_seed_gives_the_same_view():
    strong = Augmentation(
        min_crop=0.5, letterbox=0.3, flip=0.5, brightness=0.3, noise=5.0, jpeg=0.5, blur=1.0
    )
    pair = photograph(), photograph(pose_at(0.1, 0, 0, 0, 0))
    first, second, other = (apply(strong, *pair, seed=s) for s in (4, 4, 5))
    for name in ("image", "depth", "next_image", "next_depth", "motion"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.image, other.image)
