# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
"""The warp and the temporal loss on cases whose answer is known by hand."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the losses need PyTorch")

from clip2depth_ros.training.loss.losses import temporal_difference
from clip2depth_ros.training.loss.warp import carry, in_front, look_up, pixel_grid
from clip2depth_ros.training.views.batches import checked_flow

pytestmark = pytest.mark.torch

NAN = float("nan")
FOCAL = 8.0
H, W = 6, 9


def intrinsics(batch=1):
    k = torch.tensor([[FOCAL, 0.0, (W - 1) / 2], [0.0, FOCAL, (H - 1) / 2], [0.0, 0.0, 1.0]])
    return k.expand(batch, 3, 3)


def motion(x=0.0, y=0.0, z=0.0):
    """Points move by this in the camera's frame."""
    m = torch.eye(4)[None].clone()
    m[0, :3, 3] = torch.tensor([x, y, z])
    return m


def wall(distance):
    return torch.full((1, H, W), float(distance))


def test_standing_still_leaves_every_pixel_where_it_is():
    depth = torch.rand(2, H, W) + 1
    place, z = carry(depth, torch.eye(4).expand(2, 4, 4), intrinsics(2))
    torch.testing.assert_close(place, pixel_grid(depth).expand(2, H, W, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(z, depth)
    torch.testing.assert_close(look_up(depth, place), depth)


def test_a_shift_sideways_moves_by_focal_length_over_depth():
    place, z = carry(wall(4.0), motion(x=1.0), intrinsics())
    torch.testing.assert_close(place[..., 0], pixel_grid(z)[..., 0][None] + FOCAL * 1.0 / 4.0)
    torch.testing.assert_close(place[..., 1], pixel_grid(z)[..., 1][None])
    torch.testing.assert_close(z, wall(4.0))


def test_driving_ahead_spreads_the_pixels_and_shortens_the_depth():
    place, z = carry(wall(4.0), motion(z=-2.0), intrinsics())
    torch.testing.assert_close(z, wall(2.0))
    centre = torch.tensor([(W - 1) / 2, (H - 1) / 2])
    torch.testing.assert_close(place[0], centre + 2 * (pixel_grid(z) - centre))


def test_a_turn_of_the_camera_is_exact():
    angle = 0.3
    turn = torch.eye(4)[None].clone()
    turn[0, :3, :3] = torch.tensor(
        [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
    )
    place, z = carry(wall(2.0), turn, intrinsics())
    row, column = 4, 6
    ray = np.array([(column - (W - 1) / 2) / FOCAL, (row - (H - 1) / 2) / FOCAL, 1.0]) * 2.0
    x, y, depth = turn[0, :3, :3].numpy() @ ray
    assert z[0, row, column].item() == pytest.approx(depth, rel=1e-5)
    expected = [FOCAL * x / depth + (W - 1) / 2, FOCAL * y / depth + (H - 1) / 2]
    assert place[0, row, column].tolist() == pytest.approx(expected, rel=1e-5)


def test_points_behind_the_camera_have_no_place():
    place, z = carry(wall(1.0), motion(z=-2.0), intrinsics())
    assert torch.isnan(place).all() and torch.isnan(z).all()


def test_look_up_between_pixels_and_outside():
    values = pixel_grid(wall(1))[..., 0][None].contiguous()
    place = torch.tensor([[2.25, 3.0], [W - 0.5, 0.0], [W - 1.0, H - 1.0]]).expand(1, H, 3, 2)
    padded = torch.zeros(1, H, W, 2)
    padded[:, :, :3] = place
    found = look_up(values, padded)[0, 0, :3]
    assert found[0].item() == pytest.approx(2.25) and torch.isnan(found[1])
    assert found[2].item() == pytest.approx(W - 1)


def test_the_warp_is_differentiable():
    depth = (torch.rand(1, H, W, dtype=torch.float64) + 2).requires_grad_()
    other = (torch.rand(1, H, W, dtype=torch.float64) + 2).requires_grad_()

    def disagreement(depth, other):
        place, z = carry(depth, motion(x=0.1, y=0.05, z=-0.2).double(), intrinsics().double())
        return torch.nan_to_num(z.log() - look_up(other.log(), place))

    assert torch.autograd.gradcheck(disagreement, (depth, other), eps=1e-6, atol=1e-4)


def test_what_is_hidden_is_not_in_front():
    """A post at 1 m in column 4 before a wall at 4 m: two pixels' worth of motion puts it over column 6."""
    depth = wall(4.0)
    depth[..., 4] = 1.0
    place, z = carry(depth, motion(x=0.25), intrinsics())
    seen = in_front(place, z, 0.05)
    # the wall moves by half a pixel and rounds to even columns: 5.5 and 6.5 to 6, where the post is now
    assert seen[0, :, 4].all()
    assert not seen[0, :, 5].any() and not seen[0, :, 6].any()
    assert seen[0, :, 0].all() and not seen[0, :, 8].any()


def test_two_true_predictions_do_not_disagree():
    first, second, move = wall(4.0), wall(3.5), motion(x=0.3, z=-0.5)
    loss = temporal_difference(first, second, first, second, move, intrinsics())
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("known", [True, False])
def test_a_scale_jump_costs_its_logarithm(known):
    truth = (wall(4.0), wall(4.0)) if known else (wall(NAN), wall(NAN))
    loss = temporal_difference(wall(4.0), wall(5.0), *truth, motion(), intrinsics())
    assert loss.item() == pytest.approx(math.log(5 / 4), rel=1e-5)


def test_what_cannot_be_seen_costs_nothing():
    """The second prediction is wrong exactly where the post hides the wall or the wall has left the image."""
    first, second = wall(4.0), wall(4.0)
    first[..., 4] = 1.0
    truth = second.clone()
    truth[..., 6] = 1.0
    second[..., 6] = 1.0
    loss = temporal_difference(first, second, first, truth, motion(x=0.25), intrinsics())
    # carried exactly, the post agrees with the post; half a pixel beside it the prediction mixes post and
    # wall, and there the truth, looked up at the nearest pixel, tells them apart
    assert loss.item() < 0.5
    blind = temporal_difference(first, second, wall(NAN), wall(NAN), torch.full((1, 4, 4), NAN), intrinsics())
    assert blind.item() == 0.0


def test_what_moved_by_itself_costs_nothing():
    """A box comes nearer while the camera stands still: the truths say so."""
    first, second = wall(4.0), wall(4.0)
    second[:, 2:4, 3:6] = 2.0
    loss = temporal_difference(first, second, first, second, motion(), intrinsics())
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_flow_stands_in_for_an_unknown_motion():
    unknown, still = torch.full((1, 4, 4), NAN), torch.zeros(1, H, W, 2)
    # the truth says that everything came 10 % nearer; the predictions say 20 %
    args = (wall(4.0), wall(4.0 * 0.8), wall(2.0), wall(2.0 * 0.9), unknown, intrinsics())
    assert temporal_difference(*args, still).item() == pytest.approx(math.log(0.9 / 0.8), rel=1e-5)
    assert temporal_difference(*args).item() == 0.0
    assert temporal_difference(*args, torch.full_like(still, NAN)).item() == 0.0


def test_the_gradient_is_finite_whatever_is_unknown():
    torch.manual_seed(3)
    first = (torch.rand(2, H, W) + 1).requires_grad_()
    second = (torch.rand(2, H, W) + 1).requires_grad_()
    truth = torch.rand(2, H, W) + 1
    truth[:, ::2] = NAN
    truth[:, :, ::3] = 0.0
    moves = torch.cat([motion(z=-1.4), torch.full((1, 4, 4), NAN)])
    flow = torch.full((2, H, W, 2), 0.4)
    flow[:, :2] = NAN
    loss = temporal_difference(first, second, truth, truth * 1.01, moves, intrinsics(2), flow)
    loss.backward()
    assert loss > 0
    assert torch.isfinite(first.grad).all() and torch.isfinite(second.grad).all()
    assert first.grad.abs().sum() > 0 and second.grad.abs().sum() > 0


def test_the_flow_of_a_shifted_picture_is_its_shift():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
    picture = np.kron(small, np.ones((4, 4, 1), np.uint8))
    shifted = np.roll(picture, 3, axis=1)
    flow = checked_flow(picture[None], shifted[None])[0]
    trusted = np.isfinite(flow).all(-1)
    assert flow.dtype == np.float32 and 0.5 < trusted.mean() < 1
    assert np.median(flow[trusted], 0) == pytest.approx([3.0, 0.0], abs=0.2)
    other = np.kron(rng.integers(0, 255, small.shape, dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    assert np.isfinite(checked_flow(picture[None], other[None])).all(-1).mean() < 0.5
