# SPDX-License-Identifier: Apache-2.0
import json
import math
import time

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
    # Symmetric about the image's middle, where pixels are counted by their centers.
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
        ({"width": 0}, "whole numbers from 1"),
        ({"fx": 0.0}, "calibrated"),
        ({"fy": -3.0}, "positive"),
        ({"cx": math.nan}, "cx must be finite"),
        ({"fx": "wide"}, "fx must be a number"),
        (
            {"distortion": (0.1,) * 5, "distortion_model": "magic"},
            "'magic' is not supported; supported are plumb_bob",
        ),
        ({"distortion": (0.1,) * 5, "distortion_model": "equidistant"}, "takes 4 distortion coefficients"),
        ({"rectification": (1.0,) * 9}, "not a rotation"),
        ({"rectification": (1.0,) * 8}, "takes 9 numbers"),
        ({"projection": (0.0, 1.0, 1.0, 1.0)}, "projection"),
    ],
)
def test_impossible_cameras_are_rejected(changes, message):
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
        ("a.json", '{"width": 3}', "has no field height"),
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


GOOD = {"width": 640, "height": 480, "fx": 500.0, "fy": 500.0, "cx": 319.5, "cy": 239.5}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fx": 1e-3, "fy": 1e-3}, "87 degrees"),
        ({"fx": 4.0, "fy": 4.0}, "87 degrees"),  # millimeters
        ({"fx": 1e9, "fy": 1e9}, "less than half a degree"),
        ({"fx": 1e300, "fy": 1e300}, "less than half a degree"),
        ({"fx": 5e-324, "fy": 5e-324}, "87 degrees"),
        ({"fx": 500.0, "fy": 50.0}, "factor of 5"),
        ({"fx": 500.0, "fy": 5e6}, "factor of 5"),
        ({"cx": 1e9}, "87 degrees"),
        ({"cy": -1e300}, "87 degrees"),
        ({"cx": 20_000.0}, "87 degrees"),
        ({"width": 65_537}, "from 1 to 65536 pixels"),
        ({"height": 2**31}, "from 1 to 65536 pixels"),
        ({"distortion": (0.1, 0, 0, 0, 0), "projection": (1e-3, 1e-3, 320, 240)}, "87 degrees"),
        ({"distortion": (0.1, 0, 0, 0, 0), "projection": (1e9, 1e9, 320, 240)}, "half a degree"),
        ({"distortion": (0.1, 0, 0, 0, 0), "projection": (500, 500, 1e9, 240)}, "87 degrees"),
    ],
)
def test_a_camera_has_limits(changes, words):
    with pytest.raises(Clip2DepthError, match=words) as refusal:
        Camera(**GOOD | changes)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "camera",
    [
        dict(GOOD, fx=190.0, fy=190.0),  # a wide lens, 119 degrees
        dict(GOOD, fx=204.0, fy=204.0, distortion=(0.1,) * 4, distortion_model="equidistant"),  # 180 degrees
        dict(GOOD, fx=20_000.0, fy=20_000.0),  # a telephoto lens, 1.8 degrees
        dict(GOOD, fx=250.0, fy=500.0),  # binned in one direction
        dict(GOOD, width=64, height=64, cx=-1900.0, cy=-1400.0, fx=2000.0, fy=2000.0),  # a corner of a sensor
        dict(GOOD, width=5472, height=3648, fx=4000.0, fy=4000.0, cx=2735.5, cy=1823.5),
    ],
)
def test_real_cameras_are_within_the_limits(camera):
    assert Camera(**camera).fx == camera["fx"]


def test_a_window_where_no_camera_looks_is_refused():
    with pytest.raises(Clip2DepthError, match="87 degrees"):
        Camera(**GOOD).cropped(2**32 - 1, 0, 640, 480)
    distorted = Camera(**GOOD, distortion=(0.1, 0, 0, 0, 0), projection=(480, 480, 320, 240))
    with pytest.raises(Clip2DepthError, match="87 degrees"):
        distorted.cropped(0, -(2**31), 640, 480)


def test_an_image_may_be_stretched_by_any_factor():
    stretched = Camera(**GOOD).scaled(640, 1)
    assert stretched.fy == pytest.approx(500 / 480) and stretched.fx == 500


CALIBRATION = """
image_width: 640
image_height: 480
camera_matrix: {rows: 3, cols: 3, data: [500.0, 0, 320.5, 0, 501.0, 240.5, 0, 0, 1]}
"""
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            (f"{kind}.json", json.dumps(GOOD).replace("640", value))
            for kind, value in {
                "word": '"abc"',
                "number in words": '"640"',
                "nan": "NaN",
                "infinite": "1e400",
                "long": "9" * 4000,
                "longer": "9" * 5000,
                "list": "[640]",
                "folder": "{}",
                "null": "null",
                "fraction": "640.5",
                "negative": "-640",
            }.items()
        ),
        *(
            (f"fx {kind}.json", json.dumps(GOOD).replace("500.0", value, 1))
            for kind, value in {
                "word": '"abc"',
                "nan": "NaN",
                "infinite": "-1e400",
                "long": "9" * 4000,
                "list": "[500]",
                "null": "null",
                "multi-line": json.dumps("a\nb\x1b[31m" * 1000),
            }.items()
        ),
        ("deep.json", "[" * 60_000),
        ("deep field.json", '{"width":' * 10_000),
        ("model list.json", json.dumps(GOOD | {"distortion": [0.1] * 5, "distortion_model": [1]})),
        ("distortion number.json", json.dumps(GOOD | {"distortion": 5})),
        ("distortion word.json", json.dumps(GOOD | {"distortion": "none"})),
        ("rectification.json", json.dumps(GOOD | {"rectification": {"a": 1}})),
        ("projection.json", json.dumps(GOOD | {"distortion": [0.1] * 5, "projection": 3})),
        ("binary.json", "\x00\x01"),
        ("long.json", json.dumps(GOOD) + " " * 70_000),
        ("laughs.yaml", LAUGHS + CALIBRATION.replace("640", "*a11")),
        ("merge.yaml", LAUGHS + "b: {<<: *a11}\n" + CALIBRATION),
        ("deep.yaml", "[" * 60_000),
        ("deeper.yaml", "- " * 30_000),
        ("date.yaml", CALIBRATION.replace("640", "2026-01-01")),
        ("no date.yaml", CALIBRATION.replace("640", "2026-99-99")),
        ("object.yaml", CALIBRATION.replace("640", "!!python/object/apply:os.getcwd []")),
        ("tag.yaml", CALIBRATION.replace("640", "!!binary abc")),
        ("matrix.yaml", CALIBRATION.replace("{rows: 3, cols: 3, data: ", "[").replace("1]}", "1]]")),
        ("matrix number.yaml", CALIBRATION.replace("[500.0, 0, 320.5, 0, 501.0, 240.5, 0, 0, 1]", "5")),
        ("projection list.yaml", CALIBRATION + "projection_matrix: [1, 2]\n"),
        ("projection word.yaml", CALIBRATION + "projection_matrix: {data: abcdefghijkl}\n"),
        ("sexagesimal.yaml", CALIBRATION.replace("640", "190:20:30.15")),
        ("infinite.yaml", CALIBRATION.replace("500.0", ".inf")),
        ("two documents.yaml", CALIBRATION + "---\n" + CALIBRATION),
        ("tabs.yaml", CALIBRATION.replace("image_height", "\timage_height")),
        ("unhashable.yaml", "? [a, b]\n: 1\n" + CALIBRATION.replace("640", "{[a]: 1}")),
        ("empty.yaml", ""),
    ],
)
def test_any_damage_to_a_camera_file_is_one_sentence(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    start = time.monotonic()
    with pytest.raises(Clip2DepthError) as refusal:
        Camera.from_file(tmp_path / name)
    sentence = str(refusal.value)
    assert str(tmp_path / name) in sentence
    assert sentence.isprintable() and len(sentence) < 600 and sentence.endswith(".")
    assert time.monotonic() - start < 5


def test_a_camera_file_that_never_ends_is_refused(tmp_path):
    (tmp_path / "camera.yaml").symlink_to("/dev/zero")
    with pytest.raises(Clip2DepthError, match=r"camera\.yaml is not a regular file"):
        Camera.from_file(tmp_path / "camera.yaml")


def test_numbers_of_numpy_make_a_camera():
    camera = Camera(np.int64(64), np.uint16(48), np.float32(60), np.float64(60), 32, 24)
    assert camera.size == (64, 48) and type(camera.width) is int
