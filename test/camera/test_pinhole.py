# SPDX-License-Identifier: Apache-2.0
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError

# As different as a camera and its resized images may be: fx and fy within a factor of 5.
sizes = st.integers(500, 1100)
cameras = st.builds(
    Camera,
    width=sizes,
    height=sizes,
    fx=(focals := st.shared(st.floats(200, 3000), key="focal")),
    fy=focals,
    cx=st.floats(-500, 2000),
    cy=st.floats(-500, 2000),
)


def project(camera: Camera, point: np.ndarray) -> np.ndarray:
    x, y, z = point
    return np.array([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy])


@given(cameras, sizes, sizes, st.floats(-1, 1), st.floats(-1, 1))
def test_scaling_moves_projections_as_resizing_moves_pixels(camera, width, height, x, y):
    point = np.array([x, y, 1.5])
    scale = np.array([width / camera.width, height / camera.height])
    expected = (project(camera, point) + 0.5) * scale - 0.5
    np.testing.assert_allclose(project(camera.scaled(width, height), point), expected, rtol=1e-9, atol=1e-6)


@given(cameras, sizes, sizes)
def test_scaling_back_is_the_identity(camera, width, height):
    back = camera.scaled(width, height).scaled(camera.width, camera.height)
    assert back.size == camera.size
    for name in ("fx", "fy", "cx", "cy"):
        assert getattr(back, name) == pytest.approx(getattr(camera, name), abs=1e-6)


@given(cameras, st.integers(-50, 50), st.integers(-50, 50))
def test_cropping_moves_the_principal_point(camera, x, y):
    cropped = camera.cropped(x, y, 100, 80)
    point = np.array([0.3, -0.2, 2.0])
    np.testing.assert_allclose(project(cropped, point) + (x, y), project(camera, point), rtol=1e-9, atol=1e-6)
    assert cropped.size == (100, 80)


@given(st.integers(1000, 3500), st.integers(1000, 3500), st.floats(0.05, 2.5))
def test_field_of_view_comes_back(width, height, fov):
    camera = Camera.from_fov(width, height, fov)
    assert camera.horizontal_fov == pytest.approx(fov)
    assert camera.scaled(640, 480).horizontal_fov == pytest.approx(fov)
    # Symmetric about the image's middle, where pixels are counted by their centres.
    assert camera.cx == pytest.approx((width - 1) / 2)


def test_rays_project_onto_their_own_pixels():
    camera = Camera(64, 48, 60.0, 55.0, 30.2, 25.1)
    rays = camera.rays()
    assert rays.shape == (48, 64, 3) and rays.dtype == np.float32
    np.testing.assert_allclose(project(camera, rays[10, 20] * 3.0), [20, 10], atol=1e-4)
    np.testing.assert_array_equal(rays[..., 2], 1)


def test_rays_of_a_distorted_camera_are_refused():
    camera = Camera(64, 48, 60, 60, 32, 24, distortion=(0.1, 0, 0, 0, 0))
    with pytest.raises(Clip2DepthError, match="rectif"):
        camera.rays()
    assert camera.undistorted().rays().shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "size must be positive"),
        ({"fx": 0.0}, "calibrated"),
        ({"fy": -3.0}, "positive"),
        ({"cx": math.nan}, "cx must be finite"),
        ({"fx": "wide"}, "fx must be a number"),
        (
            {"distortion": (0.1,) * 5, "distortion_model": "magic"},
            "'magic' is not known; known are plumb_bob",
        ),
        ({"distortion": (0.1,) * 5, "distortion_model": "equidistant"}, "takes 4 distortion coefficients"),
        ({"rectification": (1.0,) * 9}, "not a rotation"),
        ({"rectification": (1.0,) * 8}, "takes 9 numbers"),
        ({"projection": (0.0, 1.0, 1.0, 1.0)}, "projection"),
    ],
)
def test_impossible_cameras_are_refused(changes, message):
    fields = {"width": 64, "height": 48, "fx": 60.0, "fy": 60.0, "cx": 32.0, "cy": 24.0} | changes
    with pytest.raises(Clip2DepthError, match=message):
        Camera(**fields)


@pytest.mark.parametrize("fov", [0.0, -1.0, math.pi, 60.0])
def test_impossible_field_of_view_is_refused(fov):
    with pytest.raises(Clip2DepthError, match="radians"):
        Camera.from_fov(640, 480, fov)


def test_zero_distortion_is_none_whatever_its_model_and_length():
    camera = Camera(64, 48, 60, 60, 32, 24, distortion=(0.0,) * 7, distortion_model="anything")
    assert camera.is_rectified and camera.distortion == ()


def test_undistorted_takes_the_projection():
    camera = Camera(64, 48, 60, 60, 32, 24, (0.1, 0, 0, 0, 0), projection=(50, 51, 31, 23))
    assert camera.undistorted() == Camera(64, 48, 50, 51, 31, 23)
    # And the projection follows the image's size.
    assert camera.scaled(32, 24).undistorted() == Camera(64, 48, 50, 51, 31, 23).scaled(32, 24)
    # A camera without distortion has nothing that the projection would hold for.
    assert Camera(64, 48, 60, 60, 32, 24, projection=(50, 51, 31, 23)).undistorted().fx == 60


def test_file_round_trip(tmp_path):
    camera = Camera(
        64,
        48,
        60.5,
        61,
        32,
        24,
        (0.1, -0.2, 0.001, 0, 0),
        "plumb_bob",
        (0, -1, 0, 1, 0, 0, 0, 0, 1),
        (50, 51, 3, 4),
    )
    camera.to_file(tmp_path / "camera.json")
    assert Camera.from_file(tmp_path / "camera.json") == camera


def test_ros_calibration_yaml(tmp_path):
    (tmp_path / "camera.yaml").write_text(
        """
image_width: 640
image_height: 480
camera_name: usb
camera_matrix: {rows: 3, cols: 3, data: [500.0, 0, 320.5, 0, 501.0, 240.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [480.0, 0, 321, 0, 0, 481.0, 241, 0, 0, 0, 1, 0]}
"""
    )
    camera = Camera.from_file(tmp_path / "camera.yaml")
    assert camera == Camera(
        640, 480, 500, 501, 320.5, 240.5, (0.1, -0.2, 0, 0, 0), projection=(480, 481, 321, 241)
    )
    assert camera.undistorted().fx == 480


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "not valid JSON"),
        ("a.yaml", "a: [", "not valid YAML"),
        ("a.json", "[1]", "no named fields"),
        ("a.json", '{"width": 3}', "has no height"),
        (
            "a.json",
            json.dumps(dict(width=8, height=8, fx=0, fy=1, cx=1, cy=1)),
            "a.json: Camera: focal lengths",
        ),
        ("a.yaml", "camera_matrix: 3", "does not describe a camera"),
    ],
)
def test_bad_camera_files_are_one_sentence(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(Clip2DepthError, match=message):
        Camera.from_file(path)


def test_missing_camera_file(tmp_path):
    with pytest.raises(Clip2DepthError, match=r"The camera file .*nothing\.json cannot be read: No such"):
        Camera.from_file(tmp_path / "nothing.json")
