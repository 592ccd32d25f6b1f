# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.outputs import EdgeFinder

CAMERA = Camera.from_fov(160, 120, 1.2)


def plane(slope_x: float, slope_y: float, inverse: float) -> np.ndarray:
    x, y = CAMERA.axes()
    with np.errstate(divide="ignore"):
        return (1 / (inverse + slope_x * x + slope_y * y[:, None])).astype(np.float32)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 2), st.integers(1, 4))
@settings(max_examples=50)
def test_a_slanted_plane_has_no_edge(slope_x, slope_y, inverse, reach):
    depth = plane(slope_x, slope_y, inverse)
    assume(depth.min() > 0.1 and depth.max() < 100)
    assert not EdgeFinder(0.08, reach).find(depth).any()


def test_a_floor_up_to_the_horizon_has_no_edge():
    """The first difference between its rows is far beyond the threshold, and still it is one plane."""
    _, y = CAMERA.axes()
    depth = np.full((120, 160), np.nan, np.float32)
    depth[63:] = (0.3 / y[63:])[:, None]
    assert depth[63, 0] / depth[64, 0] > 1.2
    assert not EdgeFinder(0.08).find(depth).any()


@given(st.floats(0.3, 5), st.floats(1.1, 10), st.integers(1, 3))
@settings(max_examples=30)
def test_only_both_sides_of_a_jump_are_edges(near, factor, reach):
    depth = np.full((40, 60), near, np.float32)
    depth[:, 30:] = near * factor
    mask = EdgeFinder(0.08, reach).find(depth)
    assert mask[:, 29:31].all()
    assert not mask[:, : 30 - reach].any() and not mask[:, 30 + reach :].any()
    # And across the other axis.
    np.testing.assert_array_equal(EdgeFinder(0.08, reach).find(np.ascontiguousarray(depth.T)), mask.T)


def test_a_jump_below_the_threshold_is_not_an_edge():
    depth = np.full((40, 60), 2.0, np.float32)
    depth[:, 30:] = 2.1
    assert not EdgeFinder(0.08).find(depth).any()
    assert EdgeFinder(0.03).find(depth).any()


@pytest.mark.parametrize("width", [2, 4, 6])
def test_what_is_smeared_between_two_surfaces_is_cut(width):
    """A network blurs a jump; with a reach of half the blur nothing between the surfaces is left."""
    sharp = np.full((40, 80), 1.0, np.float32)
    sharp[:, 40:] = 3.0
    blurred = cv2.blur(sharp, (width + 1, 1))
    mask = EdgeFinder(0.08, reach=max(1, width // 2)).find(blurred)
    between = (blurred > 1.1) & (blurred < 2.7)
    assert between.any() and mask[between].all()


def test_smooth_waves_are_not_edges():
    """Waves of 6 %, crest to trough, as decoders leave them, bend by twice that and still are one surface."""
    wave = 1 + 0.03 * np.sin(np.arange(160) * 2 * np.pi / 6)
    depth = (plane(0.3, 0.2, 0.6) * wave).astype(np.float32)
    assert not EdgeFinder(0.1, reach=3).find(depth).any()
    depth[:, 80:] *= 1.5
    mask = EdgeFinder(0.1, reach=3).find(depth)
    assert mask[:, 79:81].all() and not mask[:, :70].any() and not mask[:, 90:].any()


def test_unknown_depth_gives_no_edges():
    depth = np.full((40, 60), 2.0, np.float32)
    depth[10:20, 10:20] = np.nan
    assert not EdgeFinder(0.08, 2).find(depth).any()


def test_results_do_not_depend_on_the_previous_frame():
    finder = EdgeFinder(0.08)
    jump = np.full((40, 60), 1.0, np.float32)
    jump[:, 30:] = 3.0
    expected = finder.find(jump).copy()
    assert not finder.find(np.full((40, 60), 1.0, np.float32)).any()
    assert not finder.find(np.full((3, 2), 1.0, np.float32)).any()
    np.testing.assert_array_equal(finder.find(jump), expected)


@pytest.mark.parametrize(("threshold", "reach"), [(0.0, 1), (1.0, 1), (0.1, 0)])
def test_invalid_settings_are_rejected(threshold, reach):
    with pytest.raises(Clip2DepthError, match="edge"):
        EdgeFinder(threshold, reach)


@given(st.floats(0.3, 5), st.floats(1.3, 10), st.integers(2, 4), st.integers(1, 12))
@settings(max_examples=40)
def test_only_pixels_between_two_surfaces_are_smeared(near, factor, reach, width):
    """A sharp jump smears nothing, however thin the near thing is; a ramp's middle is smeared."""
    depth = np.full((60, 80), near * factor, np.float32)
    depth[20:50, 40 : 40 + width] = near
    finder = EdgeFinder(0.1, reach)
    assert finder.find(depth).any()
    assert not finder.find_smeared(depth).any()
    depth[20:50, 40 + width] = 2 * near * factor / (1 + factor)  # half way in inverse depth
    smeared = finder.find_smeared(depth)
    assert smeared[25:45, 40 + width].all()
    smeared[:, 40 + width] = False
    assert not smeared.any()


def test_smeared_depth_may_be_unknown_around():
    depth = np.full((60, 80), 4.0, np.float32)
    depth[:, :40] = np.nan
    depth[20:50, 50:] = 1.5
    assert not EdgeFinder(0.1, 2).find_smeared(depth).any()
