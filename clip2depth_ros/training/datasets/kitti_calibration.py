# SPDX-License-Identifier: Apache-2.0
"""KITTI's calibration files, and camera poses from the car's GPS and inertial unit (oxts)."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import is_pose
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import read_bounded, reading

EARTH_RADIUS = 6378137.0

MAX_CALIBRATION = 2**20  # bytes


def camera_of(date: Path, stream: str, source: str) -> Camera:
    """The rectified camera of `stream` (image_02) by date/calib_cam_to_cam.txt.

    Raises Clip2DepthError, which names `source`, where the file is missing or lacks the camera.
    """
    path = date / "calib_cam_to_cam.txt"
    if not path.is_file():
        raise Clip2DepthError(f"There is no {path}; {source}")
    fields = _read_fields(path)
    number = stream.removeprefix("image_")
    projection, size = fields.get(f"P_rect_{number}"), fields.get(f"S_rect_{number}")
    if projection is None or size is None or len(projection) != 12 or len(size) != 2:
        raise Clip2DepthError(f"{path} has no P_rect_{number} and S_rect_{number}; {source}")
    p = projection.reshape(3, 4)
    try:
        return Camera(size[0], size[1], p[0, 0], p[1, 1], p[0, 2], p[1, 2])
    except Clip2DepthError as error:
        raise Clip2DepthError(f"{path}: {error}") from None


def pose_of(date: Path, drive: str, stream: str, frame: int) -> np.ndarray | None:
    """(4, 4) float64, the rectified camera's optical frame to the drive's world, meters.

    None where the drive has no oxts or the date no calibration of the car.
    """
    car_to_camera = _car_to_camera(date, stream)
    path = date / drive / "oxts" / "data" / f"{frame:010d}.txt"
    if car_to_camera is None or not path.is_file():
        return None
    with reading(path):
        latitude, longitude, altitude, roll, pitch, yaw = _measurement(path)
    origin = _origin(date, drive)
    # Mercator projection at the latitude of the drive: true to scale within a drive.
    scale = math.cos(math.radians(origin[0]))
    pose = np.eye(4)
    pose[:3, :3] = _turn(2, yaw) @ _turn(1, pitch) @ _turn(0, roll)
    pose[:3, 3] = (
        scale * EARTH_RADIUS * math.radians(longitude - origin[1]),
        scale * EARTH_RADIUS * (_northing(latitude) - _northing(origin[0])),
        altitude - origin[2],
    )
    return pose @ np.linalg.inv(car_to_camera)


def _northing(latitude: float) -> float:
    return math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))


def _turn(axis: int, angle: float) -> np.ndarray:
    """(3, 3) rotation about an axis."""
    c, s = math.cos(angle), math.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.eye(3)
    rotation[i, i] = rotation[j, j] = c
    rotation[i, j], rotation[j, i] = -s, s
    return rotation


@lru_cache(maxsize=256)
def _origin(date: Path, drive: str) -> tuple[float, float, float]:
    """Latitude, longitude, altitude of the drive's first measurement."""
    first = min((date / drive / "oxts" / "data").glob("*.txt"))
    with reading(first):
        latitude, longitude, altitude = _measurement(first)[:3]
        return latitude, longitude, altitude


def _measurement(path: Path) -> tuple[float, ...]:
    """Latitude, longitude, altitude, roll, pitch and yaw, degrees, meters and radians."""
    numbers = tuple(map(float, read_bounded(path, MAX_CALIBRATION).split()[:6]))
    if len(numbers) < 6 or not np.isfinite(numbers).all() or abs(numbers[0]) >= 90:
        raise Clip2DepthError(f"{path} holds no latitude, longitude, altitude, roll, pitch and yaw.")
    return numbers


@lru_cache(maxsize=32)
def _car_to_camera(date: Path, stream: str) -> np.ndarray | None:
    """(4, 4): points of the inertial unit's frame into the rectified camera's."""
    paths = [date / f"calib_{name}.txt" for name in ("imu_to_velo", "velo_to_cam", "cam_to_cam")]
    if not all(path.is_file() for path in paths):
        return None
    imu_to_lidar, lidar_to_camera, cameras = map(_read_fields, paths)
    number = stream.removeprefix("image_")
    with reading(f"The calibration in {date}"):
        projection = cameras[f"P_rect_{number}"].reshape(3, 4)
        rectify, aside = np.eye(4), np.eye(4)
        rectify[:3, :3] = cameras["R_rect_00"].reshape(3, 3)
        aside[0, 3] = projection[0, 3] / projection[0, 0]
        pose = aside @ rectify @ _rigid(lidar_to_camera) @ _rigid(imu_to_lidar)
    if not is_pose(pose):
        raise Clip2DepthError(
            f"The calibration in {date} holds no rotations and places of the car's sensors."
        )
    return pose


def _rigid(fields: dict[str, np.ndarray]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = fields["R"].reshape(3, 3), fields["T"]
    return matrix


def _read_fields(path: Path) -> dict[str, np.ndarray]:
    """The numbers behind each name; what is no number (a date) is left out."""
    fields = {}
    with reading(path):
        text = read_bounded(path, MAX_CALIBRATION).decode()
    for line in text.splitlines():
        name, _, values = line.partition(":")
        try:
            fields[name.strip()] = np.array(values.split(), float)
        except ValueError:
            continue
    return fields
