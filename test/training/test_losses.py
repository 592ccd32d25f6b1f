# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
import math

import pytest

torch = pytest.importorskip("torch", reason="the losses need PyTorch")

from clip2depth_ros.training.loss.losses import DepthLoss, gradient_difference, silog

pytestmark = pytest.mark.torch

NAN = float("nan")


def depth(*rows):
    return torch.tensor([rows])


def only(**weights):
    return DepthLoss(**{"silog": 0.0, "gradient": 0.0, "absolute": 0.0, **weights})


def test_silog_by_hand():
    # d = 0, log 2, log 4 in one image: mean log 2, mean square (0 + 1 + 4) / 3 log 2 ^ 2
    loss = only(silog=1.0)(depth([1.0, 2.0, 4.0]), depth([1.0, 1.0, 1.0]))
    assert loss.item() == pytest.approx(10 * math.log(2) * math.sqrt(5 / 3 - 0.85), rel=1e-5)


def test_fully_scale_invariant_silog_ignores_a_common_scale():
    error = torch.randn(2, 4, 5)
    known = torch.ones(2, 4, 5, dtype=torch.bool)
    torch.testing.assert_close(
        silog(error + 0.7, known, 1.0, 10.0), silog(error, known, 1.0, 10.0), rtol=1e-4, atol=1e-4
    )


def test_absolute_by_hand():
    loss = only(absolute=1.0)(depth([1.0, 2.0], [8.0, 5.0]), depth([1.0, 1.0], [2.0, NAN]))
    assert loss.item() == pytest.approx((0 + math.log(2) + math.log(4)) / 3, rel=1e-5)


def test_gradient_by_hand():
    error = depth([0.0, 1.0, 3.0], [0.0, 1.0, 3.0])
    known = torch.ones_like(error, dtype=torch.bool)
    # columns: steps 1 and 2, mean 1.5; rows: none; two directions at one scale
    assert gradient_difference(error, known, 1).item() == pytest.approx((0.0 + 1.5) / 2)


def test_gradient_does_not_cross_unknown_pixels():
    truth = depth([1.0, NAN, 1.0], [1.0, NAN, 1.0])
    assert only(gradient=1.0, scales=1)(depth([1.0, 5.0, 9.0], [1.0, 5.0, 9.0]), truth).item() == 0.0


@pytest.mark.parametrize("unknown", [NAN, float("inf"), 0.0, -1.0])
def test_unknown_truth_counts_for_nothing_in_value_and_gradient(unknown):
    prediction = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]], requires_grad=True)
    loss = DepthLoss()(prediction, depth([1.5, unknown], [2.0, 5.0]))
    other = DepthLoss()(
        prediction.detach() + torch.tensor([[0.0, 9.0], [0.0, 0.0]]), depth([1.5, unknown], [2.0, 5.0])
    )
    assert loss.item() == pytest.approx(other.item())
    loss.backward()
    assert torch.isfinite(prediction.grad).all() and prediction.grad[0, 0, 1] == 0


def test_no_known_pixel_gives_a_finite_loss():
    prediction = torch.ones(1, 4, 4, requires_grad=True)
    DepthLoss()(prediction, torch.full((1, 4, 4), NAN)).backward()
    assert torch.isfinite(prediction.grad).all()


def test_perfect_prediction_has_almost_no_loss():
    truth = torch.rand(2, 8, 8) + 1
    assert DepthLoss()(truth, truth).item() < 0.02
