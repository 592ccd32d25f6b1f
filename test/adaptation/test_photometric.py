# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network needs PyTorch")

from clip2depth_ros.adaptation.photometric import (  # noqa: E402
    difference,
    log_disagreement,
    match_brightness,
    roughness,
    shape_change,
    warped,
)
from clip2depth_ros.adaptation.views import motion_between  # noqa: E402

DISTANCE = 2.0  # of the wall, metres


@pytest.fixture(scope="module")
def two(wall_frames):
    """Images (1, 3, H, W) of two places 20 cm apart, the motion between them and the intrinsics."""
    first, second = wall_frames(2, 0.2)
    images = [torch.tensor(f.image).permute(2, 0, 1)[None].float() / 255 for f in (first, second)]
    motion = torch.tensor(motion_between(first.odometry, second.odometry), dtype=torch.float32)[None]
    return *images, motion, torch.tensor(first.camera.matrix, dtype=torch.float32)[None]


def loss_at(two, distance):
    first, second, motion, intrinsics = two
    depth = torch.full((1, 160, 224), distance, requires_grad=True)
    image, within, _, _ = warped(second, depth, motion, intrinsics)
    loss = (difference(first, image) * within).sum() / within.sum()
    loss.backward()
    return float(loss.detach()), float(depth.grad.sum())


def test_the_true_depth_explains_the_other_view(two):
    right, _ = loss_at(two, DISTANCE)
    assert right < 0.01
    for wrong in (1.7, 2.4):
        assert loss_at(two, wrong)[0] > 5 * right


def test_the_gradient_leads_to_the_true_depth(two):
    assert loss_at(two, DISTANCE * 0.97)[1] < 0
    assert loss_at(two, DISTANCE * 1.03)[1] > 0


def test_what_the_other_view_does_not_show_is_outside(two):
    _, second, motion, intrinsics = two
    _, within, _, _ = warped(second, torch.full((1, 160, 224), DISTANCE), motion, intrinsics)
    lost = round(float(intrinsics[0, 0, 0]) * 0.2 / DISTANCE)
    assert abs(int((~within).all(1).sum()) - lost) <= 1


def test_brightness_and_contrast_are_fitted(two):
    first = two[0]
    changed = first * 0.7 + 0.1
    everywhere = torch.ones(1, 160, 224, dtype=torch.bool)
    assert difference(first, changed).mean() > 0.02
    assert difference(first, match_brightness(changed, first, everywhere)).mean() < 0.005


def test_disagreement_is_the_log_ratio_of_the_depths(two):
    _, second, motion, intrinsics = two
    depth = torch.full((1, 160, 224), DISTANCE)
    _, within, place, there = warped(second, depth, motion, intrinsics)
    for factor in (1.0, 1.1):
        apart = log_disagreement(place, there, depth * factor, within)
        assert torch.allclose(apart[within], torch.tensor(float(np.log(factor))), atol=1e-4)
        assert (apart[~within] == 0).all()


def test_roughness_lets_depth_step_where_the_image_does():
    depth = torch.full((1, 32, 32), 2.0)
    depth[..., 16:] = 3.0
    flat, edge = torch.full((1, 1, 32, 32), 0.5), torch.full((1, 1, 32, 32), 0.1)
    edge[..., 16:] = 0.9
    assert roughness(depth, edge) < 0.01 * roughness(depth, flat)
    assert roughness(torch.full((1, 32, 32), 2.0), flat) == 0


def test_shape_change_does_not_see_a_factor():
    old = torch.rand(2, 8, 8) + 1
    assert shape_change(old * 1.3, old) < 1e-6
    assert shape_change(old**2, old) > 0.01
