# SPDX-License-Identifier: Apache-2.0
"""Messages of other sensors to arrays: what they measured, and nothing that they did not."""

from __future__ import annotations

import array
import math

import numpy as np
import pytest

from clip2depth_ros.errors import Clip2DepthError

pytest.importorskip("rclpy")
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan, PointCloud2, PointField, Range

from clip2depth_ros.io.messages.sensors import (
    MAX_POINTS,
    cloud_points,
    odometry_pose,
    range_points,
    scan_points,
)

pytestmark = pytest.mark.ros
NAN, INF = math.nan, math.inf


def test_a_pose_has_its_quaternion_made_a_unit_one():
    message = Odometry()
    message.pose.pose.position.x = 2.0
    message.pose.pose.orientation.z = 2.0
    message.pose.pose.orientation.w = 0.0
    position, turn = odometry_pose(message)
    np.testing.assert_array_equal(position, [2, 0, 0])
    np.testing.assert_array_equal(turn, [0, 0, 1, 0])


@pytest.mark.parametrize(
    ("where", "name", "value", "words"),
    [
        ("position", "x", NAN, "position is not finite"),
        ("position", "y", -INF, "position is not finite"),
        ("position", "z", 1e300, r"more than 1e\+09 m away"),
        ("orientation", "w", NAN, "is not a rotation"),
        ("orientation", "w", 0.0, "is not a rotation"),
        ("orientation", "z", 1e300, "is not a rotation"),
    ],
)
def test_a_pose_that_is_none_is_refused(where, name, value, words):
    message = Odometry()
    setattr(getattr(message.pose.pose, where), name, value)
    with pytest.raises(Clip2DepthError, match=words):
        odometry_pose(message)


def laser(ranges, **changes):
    message = LaserScan(angle_min=-0.5, angle_increment=0.5, range_min=0.2, range_max=8.0, ranges=ranges)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_a_scans_returns_lie_where_its_angles_say():
    points = scan_points(laser([1.0, 2.0, 3.0]))
    expected = [[math.cos(-0.5), math.sin(-0.5), 0], [2, 0, 0], [3 * math.cos(0.5), 3 * math.sin(0.5), 0]]
    np.testing.assert_allclose(points, expected, atol=1e-6)
    assert points.dtype == np.float32


def test_what_a_scan_did_not_measure_is_left_out():
    points = scan_points(laser([NAN, INF, -INF, 0.1, 9.0, 0.0, 5.0]))
    assert points.shape == (1, 3)
    assert np.linalg.norm(points[0]) == pytest.approx(5.0)
    assert scan_points(laser([])).shape == (0, 3)
    assert len(scan_points(laser([0.1, 100.0], range_min=0.0, range_max=0.0))) == 2, "no limits were given"


def test_a_scan_without_angles_is_refused():
    with pytest.raises(Clip2DepthError, match="angles are not finite"):
        scan_points(laser([1.0], angle_min=NAN))


def test_a_range_is_a_point_straight_ahead():
    np.testing.assert_allclose(range_points(Range(min_range=0.1, max_range=4.0, range=1.5)), [[1.5, 0, 0]])
    for nothing in (NAN, INF, -INF, 0.05, 4.5):
        assert range_points(Range(min_range=0.1, max_range=4.0, range=nothing)).shape == (0, 3)


def cloud(points, kind="<f4", order=("x", "y", "z"), extra=4, **changes):
    """A PointCloud2 of rows of points, with unused bytes before each point's and at each row's end."""
    points = np.asarray(points, kind)
    rows, columns = points.shape[:2]
    size = points.dtype.itemsize
    step = extra + 3 * size
    raw = np.full((rows, columns * step + 5), 0xAB, np.uint8)
    cells = raw[:, : columns * step].reshape(rows, columns, step)
    for place, axis in enumerate(order):
        values = np.ascontiguousarray(points[..., "xyz".index(axis)])
        at = extra + place * size
        cells[..., at : at + size] = values[..., None].view(np.uint8)
    datatype = PointField.FLOAT32 if size == 4 else PointField.FLOAT64
    message = PointCloud2(height=rows, width=columns, point_step=step, row_step=raw.shape[1])
    message.is_bigendian = kind[0] == ">"
    message.fields = [
        PointField(name=axis, offset=extra + place * size, datatype=datatype, count=1)
        for place, axis in enumerate(order)
    ]
    message.data = array.array("B", raw.tobytes())
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["xyz", "zxy"])
def test_a_cloud_in_any_layout(kind, order):
    points = np.random.default_rng(3).normal(size=(4, 7, 3))
    points[1, 2, 1] = NAN
    read = cloud_points(cloud(points, kind, order))
    expected = points.reshape(-1, 3)[np.isfinite(points).all(axis=2).ravel()]
    np.testing.assert_allclose(read, expected, rtol=1e-6)
    assert read.dtype == np.float32


def test_of_a_dense_cloud_every_nth_point():
    points = np.random.default_rng(3).normal(size=(64, 2000, 3))
    read = cloud_points(cloud(points))
    assert MAX_POINTS / 2 < len(read) <= MAX_POINTS
    np.testing.assert_allclose(read, points.reshape(-1, 3)[::7], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fields": []}, "fields are none"),
        ({"data": array.array("B", bytes(10))}, "holds 10 bytes, too few for 2 rows of 3 points"),
        ({"row_step": 5}, "too few"),
        ({"point_step": 8}, "too short for its fields"),
    ],
)
def test_a_cloud_that_is_none_is_refused(changes, words):
    with pytest.raises(Clip2DepthError, match=words):
        cloud_points(cloud(np.ones((2, 3, 3)), **changes))


def test_an_empty_cloud_has_no_points():
    assert cloud_points(cloud(np.ones((1, 0, 3)))).shape == (0, 3)
    assert cloud_points(cloud(np.full((1, 2, 3), NAN))).shape == (0, 3)
