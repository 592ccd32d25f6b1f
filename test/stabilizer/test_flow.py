# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from walls import view

from clip2depth_ros.camera import Camera
from clip2depth_ros.stabilizer.flow import Flow


def flow_between(first: np.ndarray, second: np.ndarray, pixels: int = 100_000) -> Flow:
    flow = Flow(first.shape[1], first.shape[0], pixels)
    flow.look(first)
    flow.look(second)
    flow.step()
    return flow


def test_finds_a_shift_densely_and_at_corners():
    big = view(camera=Camera.from_fov(260, 200, 1.5))[0]
    first, second = big[20:140, 30:190], big[22:142, 25:185]
    flow = flow_between(first, second)
    # What is at x now was at x - 5, and 2 lower.
    middle = flow.shift[20:-20, 20:-20].reshape(-1, 2)
    np.testing.assert_allclose(np.median(middle, 0), (-5, 2), atol=0.3)
    assert flow.known[20:-20, 20:-20].mean() > 0.9
    before, now = flow.corners()
    assert len(before) > 50
    np.testing.assert_allclose(np.median(now - before, 0), (5, -2), atol=0.05)


def test_reduces_large_images_only():
    assert (Flow(640, 480, 76_800).width, Flow(640, 480, 76_800).height) == (320, 240)
    assert (Flow(160, 120, 76_800).width, Flow(160, 120, 76_800).height) == (160, 120)


@pytest.mark.parametrize("advance", [0.1, -0.1])
def test_growth_is_the_factor_on_depth(advance):
    before, depth, _ = view()
    after, closer, _ = view((0, 0, advance))
    assert flow_between(before, after).growth() == pytest.approx(np.median(closer / depth), abs=0.01)


def test_a_cut_is_not_taken_for_motion():
    image = view()[0]
    other = np.ascontiguousarray(view((4.0, 3.0, 0.0), (0.0, 0.0, 1.0))[0])
    assert flow_between(image, other).is_cut()
    for second in (image, view((0.05, 0, 0.05), (0, 0.02, 0))[0], np.zeros_like(image)):
        assert not flow_between(image, second).is_cut()
    black = np.random.default_rng(0).integers(0, 6, image.shape, np.uint8)
    assert not flow_between(black, black[::-1].copy()).is_cut(), "noise in the dark"


def test_a_blank_image_has_no_corners():
    blank = np.full((120, 160, 3), 90, np.uint8)
    before, now = flow_between(blank, blank).corners()
    assert before.shape == now.shape == (0, 2)
