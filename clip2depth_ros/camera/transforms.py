# SPDX-License-Identifier: Apache-2.0
"""Rotations and poses in the conventions of ROS (REP 103), as arrays."""

from __future__ import annotations

import math

import numpy as np

from clip2depth_ros.errors import Clip2DepthError

OPTICAL_IN_BODY = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)
"""(4, 4): points of an optical frame (z forward, x right, y down) in a body frame (x forward, z up)."""

# Another length is invalid: drivers that do not fill the field send zeros, and broken ones anything.
SMALLEST_QUATERNION, LARGEST_QUATERNION = 1e-3, 1e3

FARTHEST = 1e9
"""Largest coordinate of a position, meters. A robot's coordinates, UTM or Earth-centered, are below 1e8; the
squares of much larger numbers overflow single precision."""


def pose_matrix(x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> np.ndarray:
    """(4, 4) float64: points of a child frame in its parent's.

    x, y, z: meters; roll, pitch, yaw: radians about the parent's fixed x, y and z, in that order, as in URDF
    and static_transform_publisher. A positive pitch tilts the camera down.
    """
    (sr, cr), (sp, cp), (sy, cy) = ((math.sin(a), math.cos(a)) for a in (roll, pitch, yaw))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr, x],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr, y],
            [-sp, cp * sr, cp * cr, z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def roll_pitch_yaw(rotation: np.ndarray) -> tuple[float, float, float]:
    """The angles, radians, from which pose_matrix computes this (3, 3) rotation.

    At a pitch of +-90 degrees roll and yaw are about the same axis (gimbal lock): roll is 0 there.
    """
    pitch = math.asin(max(-1.0, min(1.0, -float(rotation[2, 0]))))
    if math.hypot(rotation[2, 1], rotation[2, 2]) < 1e-9:
        return 0.0, pitch, math.atan2(-rotation[0, 1], rotation[1, 1])
    roll = math.atan2(rotation[2, 1], rotation[2, 2])
    return roll, pitch, math.atan2(rotation[1, 0], rotation[0, 0])


def cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(3,) float64: bit-identical to np.cross of two vectors (3,), in a tenth of its time."""
    (a, b, c), (x, y, z) = map(float, first), map(float, second)
    return np.array([b * z - c * y, c * x - a * z, a * y - b * x])


def angle_between(first: np.ndarray, second: np.ndarray) -> float:
    """The angle, radians, of the rotation from one (3, 3) rotation to another."""
    cosine = (float(np.trace(first.T @ second)) - 1) / 2
    return math.acos(max(-1.0, min(1.0, cosine)))


def is_pose(matrix: np.ndarray) -> bool:
    """Whether a matrix is a (4, 4) rigid motion with coordinates up to FARTHEST."""
    if np.shape(matrix) != (4, 4) or not np.isfinite(matrix).all():
        return False
    if not np.allclose(matrix[3], (0.0, 0.0, 0.0, 1.0), rtol=0, atol=1e-6):
        return False
    if np.abs(matrix[:3, 3]).max() > FARTHEST:
        return False
    rotation = matrix[:3, :3]
    return np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0


def inverse_pose(pose: np.ndarray) -> np.ndarray:
    """(4, 4) inverse of a rigid (4, 4) pose."""
    result = np.eye(4)
    result[:3, :3] = pose[:3, :3].T
    result[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return result


def unit_quaternion(x: float, y: float, z: float, w: float) -> np.ndarray:
    """(4,) x, y, z, w of length 1. Raises Clip2DepthError for zeros, huge values and those not finite."""
    length = math.hypot(x, y, z, w)
    if not SMALLEST_QUATERNION <= length <= LARGEST_QUATERNION:
        raise Clip2DepthError(f"its orientation ({x:g}, {y:g}, {z:g}, {w:g}) is not a rotation")
    return np.array([x, y, z, w], np.float64) / length


def rotation_of(quaternion: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of a unit quaternion (x, y, z, w)."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """(4,) unit quaternion (x, y, z, w), w >= 0, of a (3, 3) rotation."""
    m = rotation
    # The largest of the four is computed from the diagonal and the others from it,
    # to avoid a division by zero.
    squares = np.array(
        [
            1 + m[0, 0] - m[1, 1] - m[2, 2],
            1 - m[0, 0] + m[1, 1] - m[2, 2],
            1 - m[0, 0] - m[1, 1] + m[2, 2],
            1 + m[0, 0] + m[1, 1] + m[2, 2],
        ]
    )
    largest = int(np.argmax(squares))
    xy, xz, yz = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    xw, yw, zw = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    products = np.array([[0, xy, xz, xw], [xy, 0, yz, yw], [xz, yz, 0, zw], [xw, yw, zw, 0]])
    quaternion = (products + np.diag(squares))[largest] / (2 * math.sqrt(squares[largest]))
    return -quaternion if quaternion[3] < 0 else quaternion


def slerp(first: np.ndarray, second: np.ndarray, part: float) -> np.ndarray:
    """(4,) unit quaternion at `part` between two others, on the shorter arc (spherical linear interpolation).

    part: 0..1; slightly outside, it extrapolates at the same rate.
    """
    cosine = float(first @ second)
    if cosine < 0:
        second, cosine = -second, -cosine
    if cosine > 0.9999:  # linear interpolation is exact enough, and the division below would lose precision
        mixed = first + part * (second - first)
    else:
        angle = math.acos(cosine)
        mixed = math.sin((1 - part) * angle) * first + math.sin(part * angle) * second
    return mixed / np.linalg.norm(mixed)


def pose_between(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], part: float
) -> tuple[np.ndarray, np.ndarray]:
    """Position (3,) and unit quaternion (4,) at `part` between two such pairs: linear, and by slerp.

    part: 0..1; slightly outside, it extrapolates at the same speed.
    """
    (here, turn_here), (there, turn_there) = first, second
    return here + part * (there - here), slerp(turn_here, turn_there, part)


def matrix_of(position: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    """(4, 4) float64: the pose at a position (3,) with the rotation of a unit quaternion (4,)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation_of(quaternion), position
    return pose
