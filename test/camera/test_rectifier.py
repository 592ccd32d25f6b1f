# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera, Rectifier
from clip2depth_ros.errors import Clip2DepthError

MODELS = [
    ("plumb_bob", (-0.25, 0.06, 0.001, -0.0005, 0.0)),
    ("rational_polynomial", (0.2, -0.1, 0.0005, 0.0004, 0.01, 0.4, -0.1, 0.02)),
    ("equidistant", (-0.02, 0.004, -0.001, 0.0002)),
]


def distorted_pixel(camera: Camera, point: np.ndarray) -> np.ndarray:
    """Where OpenCV's own projection puts a point, independent of the maps."""
    points = point.reshape(1, 1, 3)
    zero = np.zeros(3)
    distortion = np.array(camera.distortion)
    if camera.distortion_model == "equidistant":
        pixels, _ = cv2.fisheye.projectPoints(points, zero, zero, camera.matrix, distortion)
    else:
        pixels, _ = cv2.projectPoints(points, zero, zero, camera.matrix, distortion)
    return pixels.reshape(2)


@pytest.mark.parametrize(("model", "coefficients"), MODELS)
def test_distorted_lines_become_straight(model, coefficients):
    """A dot drawn where the lens would put it lands, rectified, where the pinhole camera puts it."""
    camera = Camera(320, 240, 250, 252, 158, 122, coefficients, model)
    rectifier = Rectifier(camera)
    assert rectifier.camera == Camera(320, 240, 250, 252, 158, 122)
    for point in (np.array([0.4, 0.3, 1.0]), np.array([-0.5, 0.1, 1.0]), np.array([0.1, -0.4, 1.0])):
        image = np.zeros((240, 320, 3), np.uint8)
        u, v = distorted_pixel(camera, point)
        cv2.circle(image, (round(u * 16), round(v * 16)), 5 * 16, (255, 255, 255), -1, cv2.LINE_AA, shift=4)
        rectified = rectifier.rectify(image, np.empty_like(image))[..., 0].astype(float)
        rows, columns = np.indices(rectified.shape)
        centre = np.array([(columns * rectified).sum(), (rows * rectified).sum()]) / rectified.sum()
        expected = [250 * point[0] + 158, 252 * point[1] + 122]
        np.testing.assert_allclose(centre, expected, atol=0.35)


def test_the_projection_determines_the_rectified_image():
    """A calibration may ask for a rectified image of other intrinsics, so that more of the view fits in."""
    camera = Camera(320, 240, 250, 250, 160, 120, (-0.2, 0, 0, 0, 0), projection=(180, 190, 150, 110))
    rectifier = Rectifier(camera)
    assert rectifier.camera == Camera(320, 240, 180, 190, 150, 110)
    point = np.array([0.4, 0.3, 1.0])
    image = np.zeros((240, 320, 3), np.uint8)
    u, v = distorted_pixel(camera, point)
    cv2.circle(image, (round(u), round(v)), 6, (255, 255, 255), -1)
    rectified = rectifier.rectify(image, np.empty_like(image))[..., 0].astype(float)
    rows, columns = np.indices(rectified.shape)
    centre = np.array([(columns * rectified).sum(), (rows * rectified).sum()]) / rectified.sum()
    np.testing.assert_allclose(centre, [180 * 0.4 + 150, 190 * 0.3 + 110], atol=0.7)


def test_pixels_without_a_source_are_marked():
    # Pincushion: the rectified image's border looks beyond the source image's.
    rectifier = Rectifier(Camera(320, 240, 250, 250, 160, 120, (0.6, 0, 0, 0, 0)))
    assert rectifier.outside is not None
    assert rectifier.outside[0, 0] == 255 and rectifier.outside[120, 160] == 0
    assert Rectifier(Camera(320, 240, 250, 250, 160, 120, (-0.3, 0, 0, 0, 0))).outside is None


def test_rectification_turns_the_view():
    """A rotation by R about y moves the point straight ahead sideways, as R says."""
    angle = 0.1
    turn = (np.cos(angle), 0, np.sin(angle), 0, 1, 0, -np.sin(angle), 0, np.cos(angle))
    camera = Camera(320, 240, 250, 250, 160, 120, rectification=turn)
    image = np.zeros((240, 320, 3), np.uint8)
    cv2.circle(image, (160, 120), 5, (255, 255, 255), -1)
    rectified = Rectifier(camera).rectify(image, np.empty_like(image))[..., 0].astype(float)
    centre = (np.arange(320) * rectified).sum() / rectified.sum()
    assert centre == pytest.approx(160 + 250 * np.tan(angle), abs=0.5)


def test_image_and_camera_of_different_sizes():
    rectifier = Rectifier(Camera(320, 240, 250, 250, 160, 120, (0.1, 0, 0, 0, 0)))
    with pytest.raises(Clip2DepthError, match="does not match"):
        rectifier.rectify(np.zeros((100, 100, 3), np.uint8), np.empty((240, 320, 3), np.uint8))


@pytest.mark.parametrize(("model", "coefficients"), MODELS)
def test_depth_moves_with_the_image_and_is_not_interpolated(model, coefficients):
    """An image and a depth image of the same two-valued pattern stay the same pattern with two values."""
    camera = Camera(320, 240, 250, 252, 158, 122, coefficients, model)
    rectifier = Rectifier(camera)
    depth = np.full((240, 320), 2.0, np.float32)
    cv2.circle(depth, (200, 90), 40, 4.0, -1)
    image = np.repeat((depth * 50).astype(np.uint8)[..., None], 3, 2)
    rectified = rectifier.rectify_depth(depth, np.empty_like(depth))
    looks = rectifier.rectify(image, np.empty_like(image))[..., 0]
    known = np.isfinite(rectified)
    assert set(np.unique(rectified[known])) == {2.0, 4.0}
    inside = known & (rectifier.outside == 0 if rectifier.outside is not None else True)
    assert np.mean((rectified > 3) != (looks > 150), where=inside) < 0.002, "not even by half a pixel"


def test_depth_is_along_the_rectified_axis():
    """A wall ahead of a camera that rectification turns by 5 degrees is slanted in the turned frame."""
    angle = np.radians(5)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    camera = Camera(320, 240, 250, 250, 159.5, 119.5, rectification=tuple(turn.ravel()))
    rectifier = Rectifier(camera)
    wall = np.full((240, 320), 3.0, np.float32)
    depth = rectifier.rectify_depth(wall, np.empty_like(wall))
    back = (rectifier.camera.rays() * depth[..., None]) @ turn  # turn's inverse, applied to rows
    np.testing.assert_allclose(back[..., 2][np.isfinite(depth)], 3.0, rtol=1e-5)
    assert np.isfinite(depth).mean() > 0.85 and np.nanstd(depth) > 0.05
