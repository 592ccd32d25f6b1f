# SPDX-License-Identifier: Apache-2.0
"""CameraInfo to Camera: by the standard, and for drivers that deviate from it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError

pytest.importorskip("rclpy")
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from clip2depth_ros.io.messages.camera_info import camera_from_info, fill_camera_info
from clip2depth_ros.ros.inputs import camera_input
from clip2depth_ros.ros.outputs.throttled_log import Notices
from clip2depth_ros.ros.parameters.declaration import settings_from
from clip2depth_ros.ros.parameters.depth_settings import DepthSettings

from .log_stand_in import Log

pytestmark = pytest.mark.ros


def info_of(camera: Camera, **changes) -> CameraInfo:
    info = CameraInfo()
    fill_camera_info(info, camera)
    for name, value in changes.items():
        setattr(info, name, value)
    return info


PINHOLE = Camera(640, 480, 500.0, 510.0, 320.5, 239.0)
DISTORTED = Camera(640, 480, 500.0, 510.0, 320.5, 239.0, distortion=(-0.3, 0.1, 0.001, -0.001, 0.0))


@settings(deadline=None)
@given(
    width=st.integers(100, 4000),
    height=st.integers(100, 4000),
    fx=st.floats(2000, 1e4),
    fy=st.floats(2000, 1e4),
    cx=st.floats(-100, 5000),
    cy=st.floats(-100, 5000),
    model=st.sampled_from(
        [("plumb_bob", 5), ("rational_polynomial", 8), ("equidistant", 4), ("plumb_bob", 0)]
    ),
)
def test_there_and_back(width, height, fx, fy, cx, cy, model):
    name, count = model
    distortion = tuple(0.01 * (i + 1) for i in range(count))
    camera = Camera(width, height, fx, fy, cx, cy, distortion=distortion, distortion_model=name)
    back = camera_from_info(info_of(camera), width, height)
    assert (back.fx, back.fy, back.cx, back.cy) == (fx, fy, cx, cy)
    assert back.distortion == camera.distortion
    assert back.undistorted() == camera.undistorted()


def test_rectified_images_are_described_by_p():
    info = info_of(DISTORTED)
    info.p = [450.0, 0.0, 310.0, -50.0, 0.0, 455.0, 235.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    rectified = camera_from_info(info, 640, 480, rectified=True)
    assert rectified == Camera(640, 480, 450.0, 455.0, 310.0, 235.0)
    raw = camera_from_info(info, 640, 480)
    assert raw.distortion == DISTORTED.distortion
    assert raw.undistorted() == rectified


def test_the_rotation_of_a_stereo_pair_is_kept():
    c, s = 0.8, 0.6
    rotation = (c, 0.0, s, 0.0, 1.0, 0.0, -s, 0.0, c)
    info = info_of(PINHOLE, r=list(rotation))
    assert camera_from_info(info, 640, 480).rectification == rotation
    assert camera_from_info(info, 640, 480, rectified=True).is_rectified


def test_binning():
    camera = camera_from_info(info_of(PINHOLE, binning_x=2, binning_y=2), 320, 240)
    assert camera.size == (320, 240)
    assert (camera.fx, camera.fy) == (250.0, 255.0)
    assert camera.cx == pytest.approx((320.5 + 0.5) / 2 - 0.5)


def test_binning_of_an_odd_size_keeps_the_scale_exact():
    odd = Camera(641, 481, 500.0, 500.0, 320.0, 240.0)
    camera = camera_from_info(info_of(odd, binning_x=2, binning_y=2), 320, 240)
    assert (camera.fx, camera.fy) == (250.0, 250.0)


def test_region_of_interest_then_binning():
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=400, height=300)
    camera = camera_from_info(info_of(PINHOLE, roi=roi), 400, 300)
    assert (camera.cx, camera.cy, camera.fx) == (220.5, 199.0, 500.0)
    camera = camera_from_info(info_of(PINHOLE, roi=roi, binning_x=4, binning_y=4), 100, 75)
    assert camera.fx == 125.0
    assert camera.cx == pytest.approx((220.5 + 0.5) / 4 - 0.5)


def test_drivers_that_fill_binning_for_an_image_already_binned():
    assert camera_from_info(info_of(PINHOLE, binning_x=2, binning_y=2), 640, 480).undistorted() == PINHOLE
    roi = RegionOfInterest(width=640, height=480)
    assert camera_from_info(info_of(PINHOLE, roi=roi), 640, 480).undistorted() == PINHOLE


def test_a_camera_info_without_size_holds_for_the_image():
    assert camera_from_info(info_of(PINHOLE, width=0, height=0), 640, 480).size == (640, 480)


def test_fisheye_is_what_some_drivers_call_equidistant():
    info = info_of(PINHOLE, d=[0.1, 0.01, 0.0, 0.0], distortion_model="fisheye")
    assert camera_from_info(info, 640, 480).distortion_model == "equidistant"


@pytest.mark.parametrize(
    ("info", "size", "words"),
    [
        (CameraInfo(width=640, height=480), (640, 480), "not calibrated"),
        (info_of(PINHOLE), (320, 240), "320x240 pixels, but camera_info is for 640x480"),
        (info_of(PINHOLE, binning_x=2, binning_y=2), (160, 120), "binning 2x2"),
        (info_of(PINHOLE, k=[float("nan")] + [1.0] * 8), (640, 480), "finite"),
        (info_of(PINHOLE, k=[-1.0, 0.0, 1.0, 0.0, -1.0, 1.0, 0.0, 0.0, 1.0]), (640, 480), "positive"),
        (info_of(PINHOLE, d=[0.1] * 5, distortion_model="made_up"), (640, 480), "made_up"),
        (info_of(PINHOLE, d=[0.1] * 3), (640, 480), "not 3"),
        (info_of(PINHOLE, k=[0.0] * 9), (640, 480), "image.rectified"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(info, size, words):
    with pytest.raises(Clip2DepthError, match=words):
        camera_from_info(info, *size)


def test_the_node_converts_a_camera_info_once_as_long_as_it_stays_the_same(monkeypatch):
    """Every frame has its own message; only the header differs until the camera changes."""
    converted = []

    def counted(info, width, height, **more):
        converted.append((width, height))
        return camera_from_info(info, width, height, **more)

    monkeypatch.setattr(camera_input, "camera_from_info", counted)
    node = SimpleNamespace(resolve_topic_name=lambda name, only_expand=False: f"/{name}")
    settings = settings_from(DepthSettings, {})
    source = camera_input.CameraInput(node, lambda: settings, Notices(Log()))

    def camera_of(info: CameraInfo) -> Camera:
        source.mailbox.put_info(info)
        return source.camera_for(640, 480)

    first = camera_of(info_of(DISTORTED))
    for second in range(1, 10):
        info = info_of(DISTORTED)
        info.header.stamp.sec, info.header.frame_id = second, "optical"
        assert camera_of(info) is first
    assert first.distortion == DISTORTED.distortion and len(converted) == 1

    changed = info_of(DISTORTED)
    changed.k[0] = 505.0
    assert camera_of(changed).fx == 505.0 and len(converted) == 2
    assert camera_of(info_of(DISTORTED, d=[0.0] * 5)).distortion != DISTORTED.distortion
    assert len(converted) == 3
