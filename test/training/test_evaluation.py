# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402  # nothing of ours is imported where PyTorch is missing
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.training.loss import objectives
from clip2depth_ros.training.validation import unseen_rooms
from clip2depth_ros.training.views.batches import Batch

pytestmark = pytest.mark.torch

SIZE = (8, 12)


class Constant(torch.nn.Module):
    """Says `metres` everywhere."""

    size, depth_range, canonical_focal_px = SIZE, (0.5, 10.0), 100.0

    def __init__(self, metres):
        super().__init__()
        self.metres = metres

    def forward(self, image):
        assert not self.training and not torch.is_grad_enabled()
        return torch.full(image.shape[:3], self.metres)


def views_at(*distances):
    depth = np.stack([np.full(SIZE, d, np.float32) for d in distances])
    return Batch(np.zeros((len(distances), *SIZE, 3), np.uint8), depth, [""] * len(distances))


def test_errors_are_means_over_views_within_the_range(monkeypatch):
    monkeypatch.setattr(unseen_rooms, "held_out_views", lambda *_: views_at(2.0, 4.0, 0.1, np.nan))
    errors = unseen_rooms.evaluate_rooms(Constant(2.0), 4)
    assert errors["views"] == 2
    assert errors["abs_rel"] == pytest.approx((0.0 + 0.5) / 2)
    assert errors["delta1"] == pytest.approx(0.5)
    assert errors["abs_rel_scaled"] == pytest.approx(0.0, abs=1e-9)
    # the best constant is the median of 2, 4 and 0.1
    assert errors["abs_rel_constant"] == pytest.approx((0.0 + 0.5) / 2)


def test_validation_of_views_without_depth_is_an_error():
    with pytest.raises(Clip2DepthError, match="no validation view has known depth"):
        objectives.validation_errors(Constant(1.0), views_at(np.nan), (0.5, 10.0))


@pytest.mark.slow
def test_held_out_views_are_of_the_canonical_camera():
    pytest.importorskip("mujoco", reason="rooms need MuJoCo")
    sizes = dict(size=(48, 64), first_room=7)
    metric = unseen_rooms.held_out_views(3, canonical_focal_px=None, **sizes)
    canonical = unseen_rooms.held_out_views(3, canonical_focal_px=100.0, **sizes)
    assert np.array_equal(metric.image, canonical.image) and metric.image.shape == (3, 48, 64, 3)
    factor = canonical.depth / metric.depth
    for (
        each
    ) in factor:  # one factor an image: canonical focal length over that view's own, 50 to 100 degrees wide
        assert np.nanmax(each) == pytest.approx(np.nanmin(each), rel=1e-3)
        assert 100.0 / 69 < np.nanmean(each) < 100.0 / 26
    other = unseen_rooms.held_out_views(3, (48, 64), 100.0, first_room=8)
    assert not np.array_equal(other.image, canonical.image)
