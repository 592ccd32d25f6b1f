# SPDX-License-Identifier: Apache-2.0
"""Messages out: what stands in them, and that they are filled in place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clip2depth_ros.camera import Camera

pytest.importorskip("rclpy")
from clip2depth_ros.images.frame import DepthFrame
from clip2depth_ros.io.messages.images import ImageCodec
from clip2depth_ros.outputs import PointCloud, PointsSettings
from clip2depth_ros.ros.outputs.outgoing import (
    CameraInfoMessage,
    CompressedMessage,
    DepthMessage,
    PointsMessage,
    RgbMessage,
)

pytestmark = pytest.mark.ros
STAMP = 1_700_000_000_123_456_789


def depth_of(message, dtype: str) -> np.ndarray:
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width)


def test_float_depth_is_kept_bit_by_bit():
    depth = np.array([[0.5, np.nan, 3.25], [70.0, 1e-3, np.inf]], np.float32)
    message = DepthMessage().fill(depth, "32FC1", STAMP, "optical")
    np.testing.assert_array_equal(depth_of(message, "<f4"), depth)
    assert (message.encoding, message.step, message.is_bigendian) == ("32FC1", 12, 0)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1_700_000_000, 123_456_789)
    assert message.header.frame_id == "optical"


@settings(deadline=None)
@given(
    arrays.arrays(
        np.float32,
        (3, 5),
        elements=st.one_of(st.floats(0, 1000, width=32), st.sampled_from([np.nan, np.inf, 65.535, 65.536])),
    )
)
def test_millimetres_are_rounded_and_unknown_is_zero(depth):
    message = DepthMessage().fill(depth, "16UC1", STAMP, "optical")
    metres = depth.astype(np.float64)
    known = np.isfinite(metres) & (metres < 65.5349)
    written = depth_of(message, "<u2").astype(np.float64)
    assert np.all(np.abs(written - metres * 1000)[known] <= 0.51)
    assert np.all(written[~np.isfinite(metres) | (metres > 65.536)] == 0)
    assert message.step == 10


def test_messages_are_filled_in_place():
    message = DepthMessage()
    first = message.fill(np.ones((4, 6), np.float32), "32FC1", STAMP, "optical").data
    assert message.fill(np.zeros((4, 6), np.float32), "32FC1", STAMP, "optical").data is first
    assert message.fill(np.zeros((4, 7), np.float32), "32FC1", STAMP, "optical").data is not first
    np.testing.assert_array_equal(depth_of(message.message, "<f4"), np.zeros((4, 7)))


def test_the_encoding_may_change_between_frames():
    message = DepthMessage()
    depth = np.full((4, 6), 1.5, np.float32)
    for encoding, dtype, value in (("32FC1", "<f4", 1.5), ("16UC1", "<u2", 1500), ("32FC1", "<f4", 1.5)):
        written = depth_of(message.fill(depth, encoding, STAMP, "optical"), dtype)
        np.testing.assert_array_equal(written, np.full((4, 6), value))


def test_colour_survives_message_and_codec():
    rgb = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)
    np.testing.assert_array_equal(ImageCodec().decode(RgbMessage().fill(rgb, STAMP, "optical")), rgb)
    smooth = np.add.outer(np.arange(48), np.arange(64))[..., None] + np.array([0, 40, 90])
    smooth = smooth.astype(np.uint8)
    decoded = ImageCodec().decode(CompressedMessage().fill(smooth, 95, STAMP, "optical"))
    assert np.abs(decoded.astype(int) - smooth).mean() < 3


def test_the_camera_of_the_depth_is_written_whole():
    camera = Camera(320, 240, 250.0, 251.0, 160.0, 119.0)
    info = CameraInfoMessage().fill(camera, STAMP, "optical")
    assert list(info.k) == [250.0, 0.0, 160.0, 0.0, 251.0, 119.0, 0.0, 0.0, 1.0]
    assert list(info.p) == [250.0, 0.0, 160.0, 0.0, 0.0, 251.0, 119.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert list(info.r) == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    assert not any(info.d)
    assert (info.width, info.height) == (320, 240)


def test_points_are_laid_out_as_their_fields_say():
    camera = Camera(8, 6, 10.0, 10.0, 3.5, 2.5)
    image = np.zeros((6, 8, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 0x12, 0x34, 0x56
    frame = DepthFrame(np.full((6, 8), 2.0, np.float32), image, camera, STAMP, "optical")
    cloud, kept = PointCloud(PointsSettings(stride=1)), PointsMessage()
    cloud.build(frame, kept.buffer(6, 8).view(np.float32).reshape(6, 8, 4))
    message = kept.finish(STAMP, "optical")
    assert [(f.name, f.offset, f.datatype) for f in message.fields] == [
        ("x", 0, 7),
        ("y", 4, 7),
        ("z", 8, 7),
        ("rgb", 12, 7),
    ]
    assert (message.height, message.width, message.point_step, message.row_step) == (6, 8, 16, 128)
    assert not message.is_dense
    points = np.frombuffer(
        message.data, np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
    ).reshape(6, 8)
    assert np.all(points["z"] == 2.0)
    np.testing.assert_allclose(points["x"][0], (np.arange(8) - 3.5) / 10 * 2, rtol=1e-6)
    assert np.all(points["rgb"] == 0x123456)
