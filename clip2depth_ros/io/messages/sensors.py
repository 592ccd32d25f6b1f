# SPDX-License-Identifier: Apache-2.0
"""Messages of a robot's other sensors to arrays. They read any object with a message's fields; no ROS."""

from __future__ import annotations

from typing import Any

import numpy as np

from clip2depth_ros.camera.transforms import FARTHEST, unit_quaternion
from clip2depth_ros.errors import Clip2DepthError, printable

# Of a dense cloud every n-th point is as good: a scale needs some hundreds.
MAX_POINTS = 20_000

_FLOATS = {7: "f4", 8: "f8"}  # sensor_msgs/PointField's FLOAT32 and FLOAT64


def odometry_pose(message: Any) -> tuple[np.ndarray, np.ndarray]:
    """Position (3,) in meters and unit quaternion (4,) of a nav_msgs/Odometry: child_frame_id in frame_id.

    Raises Clip2DepthError for a coordinate that is not finite or beyond FARTHEST, and for an orientation that
    is no rotation.
    """
    pose = message.pose.pose
    position = np.array([pose.position.x, pose.position.y, pose.position.z], np.float64)
    if not np.abs(position).max() <= FARTHEST:
        raise Clip2DepthError(f"its position is not finite, or more than {FARTHEST:g} m away")
    turn = pose.orientation
    return position, unit_quaternion(turn.x, turn.y, turn.z, turn.w)


def scan_points(message: Any) -> np.ndarray:
    """(N, 3) float32, meters: the returns of a sensor_msgs/LaserScan in its own frame.

    Without those that are NaN, infinite or outside the scan's own limits (REP 117). Raises Clip2DepthError
    for angles that are not finite.
    """
    distances = np.asarray(message.ranges, np.float32)
    if not np.isfinite([message.angle_min, message.angle_increment]).all():
        raise Clip2DepthError("its angles are not finite")
    angles = message.angle_min + message.angle_increment * np.arange(len(distances), dtype=np.float64)
    known = _within(distances, message.range_min, message.range_max)
    distances, angles = distances[known], angles[known]
    points = np.zeros((len(distances), 3), np.float32)
    points[:, 0] = distances * np.cos(angles)
    points[:, 1] = distances * np.sin(angles)
    return points


def range_points(message: Any) -> np.ndarray:
    """(1, 3) float32, meters: the point on the axis (x) of a sensor_msgs/Range, or (0, 3) for no return."""
    distance = np.array([message.range], np.float32)
    points = np.zeros((1, 3), np.float32)
    points[:, 0] = distance
    return points[_within(distance, message.min_range, message.max_range)]


def cloud_points(message: Any) -> np.ndarray:
    """(N, 3) float32, meters: the known points of a sensor_msgs/PointCloud2, at most about 20,000 of them.

    Raises Clip2DepthError for a cloud without x, y, z as floating point numbers or with too few bytes.
    """
    fields = {field.name: field for field in message.fields}
    if not all(axis in fields and fields[axis].datatype in _FLOATS for axis in "xyz"):
        raise Clip2DepthError(
            f"its fields are {printable(', '.join(fields) or 'none')}, but must hold x, y and z as FLOAT32 "
            "or FLOAT64"
        )
    height, width, step = message.height, message.width, message.point_step
    data = np.frombuffer(message.data, np.uint8)
    row = message.row_step or width * step
    kinds = {axis: np.dtype(_FLOATS[fields[axis].datatype]) for axis in "xyz"}
    if any(fields[axis].offset + kinds[axis].itemsize > step for axis in "xyz"):
        raise Clip2DepthError(f"its points of {step} bytes are too short for its fields")
    if row < width * step or data.size < height * row:
        raise Clip2DepthError(f"it holds {data.size} bytes, too few for {height} rows of {width} points")
    if height * width == 0:
        return np.empty((0, 3), np.float32)
    data = data[: height * row].reshape(height, row)[:, : width * step].reshape(height * width, step)
    data = data[:: -(-len(data) // MAX_POINTS)]
    order = ">" if message.is_bigendian else "<"
    kind = np.dtype(
        {
            "names": list("xyz"),
            "formats": [kinds[axis].newbyteorder(order) for axis in "xyz"],
            "offsets": [fields[axis].offset for axis in "xyz"],
            "itemsize": step,
        }
    )
    packed = np.ascontiguousarray(data).view(kind)[:, 0]
    with np.errstate(over="ignore"):  # a huge FLOAT64 becomes infinite, which is no measurement
        points = np.stack([packed[axis].astype(np.float32) for axis in "xyz"], axis=1)
    return points[np.isfinite(points).all(axis=1)]


def _within(distances: np.ndarray, low: float, high: float) -> np.ndarray:
    """Where a distance is a measurement. Comparisons with NaN are false; a limit of 0 is one never filled."""
    known = np.isfinite(distances) & (distances > 0)
    if low > 0:
        known &= distances >= low
    if high > 0:
        known &= distances <= high
    return known
