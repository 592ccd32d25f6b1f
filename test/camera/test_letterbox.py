# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clip2depth_ros.camera import Camera, Letterbox
from clip2depth_ros.errors import Clip2DepthError

sizes = st.integers(16, 900)
net_sizes = st.sampled_from([(224, 224), (352, 352), (256, 192), (64, 48)])


def plane(camera: Camera, slope_x: float, slope_y: float, inverse: float) -> np.ndarray:
    """(H, W) float32, meters: 1 / depth is linear over a plane's image."""
    x, y = camera.axes()
    return (1 / (inverse + slope_x * x + slope_y * y[:, None])).astype(np.float32)


@given(sizes, sizes, net_sizes)
def test_keeps_shape_and_field_of_view(width, height, net):
    camera = Camera.from_fov(width, height, 1.1 * min(1, width / height))
    box = Letterbox((width, height), *net)
    fitted = box.camera(camera)
    assert fitted.size == net
    assume(min(box.inner_width, box.inner_height) >= 4)
    # Nothing is stretched, but for the rounding of the shorter side to whole pixels.
    assert fitted.fx / fitted.fy == pytest.approx(1, abs=0.6 / min(box.inner_width, box.inner_height))
    # Nothing is lost: the corners of the image lie inside, and one side fills the input.
    assert box.x >= 0 and box.x + box.inner_width <= net[0]
    assert box.y >= 0 and box.y + box.inner_height <= net[1]
    assert box.inner_width == net[0] or box.inner_height == net[1]


@given(sizes, sizes, net_sizes, st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(0.3, 2))
@settings(max_examples=60)
def test_there_and_back_is_the_identity(width, height, net, slope_x, slope_y, inverse):
    """A plane seen by the letterboxed camera comes back as the same plane seen by the image's own camera."""
    camera = Camera.from_fov(width, height, 1.1 * min(1, width / height))
    box = Letterbox((width, height), *net)
    assume(min(box.inner_width, box.inner_height) >= 8)
    inner = plane(box.camera(camera), slope_x, slope_y, inverse)
    assume(inner.min() > 0 and inner.max() < 20)
    depth = box.restore(inner, np.empty((height, width), np.float32))
    truth = plane(camera, slope_x, slope_y, inverse)
    # The outermost half pixel of the network has no neighbor to interpolate with.
    margin_x = int(np.ceil(0.5 / box.scale[0])) + 1
    margin_y = int(np.ceil(0.5 / box.scale[1])) + 1
    inside = (slice(margin_y, -margin_y), slice(margin_x, -margin_x))
    np.testing.assert_allclose(depth[inside], truth[inside], rtol=2e-3)


def test_image_lands_where_its_camera_says():
    """A bright spot's place in the fitted image is the projection of its ray by the fitted camera."""
    camera = Camera(400, 200, 300, 300, 180, 90)
    image = np.zeros((200, 400, 3), np.uint8)
    image[112:129, 292:309] = 255  # around pixel (300, 120)
    box = Letterbox((400, 200), 100, 100, border=(0, 0, 0))
    bright = box.letterbox(image, np.empty((100, 100, 3), np.uint8))[..., 0].astype(float)
    v, u = np.indices(bright.shape)
    centre = np.array([(u * bright).sum(), (v * bright).sum()]) / bright.sum()
    net = box.camera(camera)
    x, y = (300 - camera.cx) / camera.fx, (120 - camera.cy) / camera.fy
    np.testing.assert_allclose(centre, [net.fx * x + net.cx, net.fy * y + net.cy], atol=0.04)


def test_border_is_written_and_never_comes_back():
    box = Letterbox((60, 20), 30, 30, border=(1, 2, 3))
    fitted = box.letterbox(np.full((20, 60, 3), 200, np.uint8), np.zeros((30, 30, 3), np.uint8))
    np.testing.assert_array_equal(fitted[0, 0], [1, 2, 3])
    np.testing.assert_array_equal(fitted[29, 29], [1, 2, 3])
    np.testing.assert_array_equal(box.inner(fitted), 200)
    depth = np.full((30, 30), 99.0, np.float32)
    box.inner(depth)[:] = 2.0
    assert (box.restore(depth, np.empty((20, 60), np.float32)) == 2.0).all()


def test_a_jump_is_not_smeared():
    box = Letterbox((64, 64), 16, 16)
    inner = np.full((16, 16), 1.0, np.float32)
    inner[:, 8:] = 4.0
    depth = box.restore(inner, np.empty((64, 64), np.float32))
    assert set(np.unique(depth)) == {1.0, 4.0}
    np.testing.assert_array_equal(depth[:, 31], 1.0)
    np.testing.assert_array_equal(depth[:, 32], 4.0)


def test_a_floor_is_no_staircase_up_to_the_horizon():
    """Far away its rows differ by more than the edge threshold, but they are one plane."""
    camera = Camera.from_fov(320, 240, 1.1)
    box = Letterbox((320, 240), 80, 60)
    floor = plane(box.camera(camera), 0.0, 3.0, -0.3)
    floor[floor < 0] = np.nan
    rows = floor[:, 0]
    far = np.flatnonzero(np.isfinite(rows))[0]
    assert rows[far + 2] / rows[far + 3] > 1.15
    depth = box.restore(floor, np.empty((240, 320), np.float32))
    truth = plane(camera, 0.0, 3.0, -0.3)
    # From the third row on, whose neighbors are all floor, to the last, which has none below it.
    inside = slice(4 * (far + 3), -4)
    np.testing.assert_allclose(depth[inside, 4:-4], truth[inside, 4:-4], rtol=2e-3)


def test_unknown_stays_unknown_and_does_not_spread():
    box = Letterbox((64, 64), 16, 16)
    inner = np.full((16, 16), 2.0, np.float32)
    inner[5, 7] = np.nan
    depth = box.restore(inner, np.empty((64, 64), np.float32))
    unknown = np.zeros((64, 64), bool)
    unknown[20:24, 28:32] = True
    np.testing.assert_array_equal(np.isnan(depth), unknown)
    np.testing.assert_array_equal(depth[~unknown], 2.0)


def test_takes_read_only_and_strided_images():
    wide = np.random.default_rng(0).integers(0, 256, (48, 100, 3), np.uint8)
    strided = wide[:, :64]
    strided.flags.writeable = False
    box = Letterbox((64, 48), 32, 32)
    out = box.letterbox(strided, np.empty((32, 32, 3), np.uint8))
    np.testing.assert_array_equal(out, box.letterbox(strided.copy(), np.empty_like(out)))


def test_wrong_sizes_are_refused():
    box = Letterbox((64, 48), 32, 32)
    with pytest.raises(Clip2DepthError, match="the image is 48x64, expected 64x48"):
        box.letterbox(np.zeros((64, 48, 3), np.uint8), np.empty((32, 32, 3), np.uint8))
    with pytest.raises(Clip2DepthError, match="camera is 32x24"):
        box.camera(Camera.from_fov(32, 24, 1.0))
    with pytest.raises(Clip2DepthError, match="cannot fit"):
        Letterbox((64, 0), 32, 32)


def test_two_letterboxes_are_equal_when_they_do_the_same():
    one = Letterbox((640, 480), 224, 160)
    assert one == Letterbox((640, 480), 224, 160) and hash(one) == hash(Letterbox((640, 480), 224, 160))
    others = [((480, 640), 224, 160), ((640, 480), 256, 160), ((640, 480), 224, 160, (0, 0, 0))]
    assert all(one != Letterbox(*other) for other in others)
    assert one != "640x480"
