# SPDX-License-Identifier: Apache-2.0
"""A robot in a room of flat walls, whose depth is computed exactly and in a millisecond."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import pytest

from clip2depth_ros.camera import Camera
from clip2depth_ros.scale import Scale, ScaleEstimator, ScaleSettings, sample_ranges

CAMERA = Camera.from_fov(112, 84, 1.2)
ROOM = (9.0, 7.0, 2.7)
BOXES = (  # what stands in the room: lowest and highest corner, meters
    ((3.8, 0.3, 0.0), (5.2, 1.1, 0.75)),
    ((0.0, 2.5, 0.0), (0.5, 4.5, 2.0)),
    ((6.5, 6.0, 0.0), (8.5, 7.0, 0.5)),
    ((4.2, 3.2, 0.0), (4.8, 3.8, 1.1)),
)


def rotation(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """(3, 3): first about x, then about the fixed y, then about the fixed z, radians (REP 103)."""
    turns = []
    for axis, angle in enumerate((x, y, z)):
        c, s = math.cos(angle), math.sin(angle)
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
        turns.append(turn)
    return turns[2] @ turns[1] @ turns[0]


# Columns: the optical frame's x (right), y (down), z (forward) in a body's x forward, y left, z up.
OPTICAL_IN_BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def camera_pose(x: float, y: float, height: float, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(4, 4) optical frame to world of a camera whose body has that roll, pitch and yaw."""
    pose = np.eye(4)
    pose[:3, :3] = rotation(roll, pitch, yaw) @ OPTICAL_IN_BODY
    pose[:3, 3] = x, y, height
    return pose


def ray_cast(camera: Camera, pose: np.ndarray, boxes=BOXES) -> np.ndarray:
    """(h, w) float32: exact depth of the room from a pose inside it."""
    rays = camera.rays().reshape(-1, 3).astype(np.float64) @ pose[:3, :3].T
    origin = pose[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / rays
        # The camera is inside the room: it sees where each ray leaves it.
        depth = np.maximum(-origin * inverse, (np.array(ROOM) - origin) * inverse).min(axis=1)
        for low, high in boxes:
            a, b = (np.array(low) - origin) * inverse, (np.array(high) - origin) * inverse
            enter, leave = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
            hit = (enter > 0) & (enter < leave)
            depth = np.where(hit, np.minimum(depth, enter), depth)
    return depth.reshape(camera.height, camera.width).astype(np.float32)


@lru_cache(maxsize=1200)
def _seen(pose: bytes, boxes) -> np.ndarray:
    """Depth from a pose; most tests drive the same way."""
    return ray_cast(CAMERA, np.frombuffer(pose).reshape(4, 4), boxes)


@dataclass
class Step:
    """One frame of a drive: ground truth and aiding measurements."""

    time: float
    depth: np.ndarray
    """Ground truth."""
    pose: np.ndarray
    """Optical frame to world."""
    hints: dict


class Robot:
    """Drives a round through the room, at `speed` m/s, and looks ahead.

    slip(time) -> factor: how much further the wheels turn than the robot drives.
    noise: relative deviation of each step of odometry.
    """

    def __init__(
        self,
        seconds: float = 8.0,
        fps: float = 15.0,
        speed: float = 0.5,
        height: float = 0.6,
        pitch: float = 0.1,
        roll: float = 0.0,
        noise: float = 0.0,
        slip=lambda time: 1.0,
        seed: int = 0,
        boxes=BOXES,
    ) -> None:
        self.seconds, self.fps, self.speed, self.height = seconds, fps, speed, height
        self.pitch, self.roll, self.noise, self.slip, self.boxes = pitch, roll, noise, slip, boxes
        self.seed = seed

    def pose(self, time: float) -> np.ndarray:
        """On an ellipse about the middle of the room, with the camera ahead of the axle."""
        angle = self.speed * time / 2.2
        x, y = 4.5 + 2.6 * math.cos(angle), 3.5 + 1.9 * math.sin(angle)
        yaw = math.atan2(1.9 * math.cos(angle), -2.6 * math.sin(angle)) + 0.15 * math.sin(3 * angle)
        sway = 0.01 * math.sin(9 * angle)
        return camera_pose(x, y, self.height, yaw, self.pitch + sway, self.roll)

    def __iter__(self) -> Iterator[Step]:
        rng = np.random.default_rng([3, self.seed])
        odometry, last = camera_pose(0, 0, self.height, 0, self.pitch, self.roll), None
        for index in range(round(self.seconds * self.fps)):
            time = index / self.fps
            pose = self.pose(time)
            step = np.eye(4) if last is None else np.linalg.inv(last) @ pose
            told = step.copy()
            told[:3, 3] *= self.slip(time) * (1 + self.noise * rng.standard_normal())
            odometry, last = odometry @ told, pose
            depth = _seen(pose.tobytes(), self.boxes).copy()
            hints = {"odometry": odometry, "ranges": self.ranges(depth, index)}
            if index:
                hints["visual_odometry"] = np.linalg.inv(step)
            yield Step(time, depth, pose, hints)

    def ranges(self, depth: np.ndarray, index: int) -> np.ndarray:
        """Sixty returns, six of them outliers."""
        points = sample_ranges(depth, CAMERA, 60, (self.seed, index))
        rng = np.random.default_rng([5, self.seed, index])
        points[:6] *= rng.uniform(0.2, 3.0, (6, 1)).astype(np.float32)
        return points


class Flicker:
    """The scale jitter that remains after the stabilizer: scale 1.5 %, smooth fields of 4 %."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng([7, seed])

    def on(self, depth: np.ndarray) -> np.ndarray:
        field = cv2.resize(0.04 * self.rng.standard_normal((6, 8)), depth.shape[::-1], interpolation=3)
        return (depth * np.exp(field + 0.015 * self.rng.standard_normal())).astype(np.float32)

    def of_motion(self, motion: np.ndarray) -> np.ndarray:
        """Visual odometry with 10 % of noise in its translation, and little in its rotation."""
        noisy = motion.copy()
        length = np.linalg.norm(motion[:3, 3])
        noisy[:3, 3] += 0.1 * length * self.rng.standard_normal(3) / math.sqrt(3)
        noisy[:3, :3] = rotation(*(0.001 * self.rng.standard_normal(3))) @ motion[:3, :3]
        return noisy


def bend(depth: np.ndarray, power: float = 0.3, middle: float = 2.0) -> np.ndarray:
    """Depth as a network gives it that has near things too near and far things too far, right at `middle`."""
    return (depth * (depth / middle) ** power).astype(np.float32)


def corners_of(depth: np.ndarray, seen: np.ndarray, motion: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """What the stabilizer follows: points of a frame by its estimated `depth`, and where the next frame sees
    them.

    seen: the frame's true depth. motion: (4, 4), true, into the next frame. A fifth of a pixel of noise.
    """
    rays = CAMERA.rays()[4::8, 4::8].reshape(-1, 3).astype(np.float64)
    moved = rays * seen[4::8, 4::8].reshape(-1, 1) @ motion[:3, :3].T + motion[:3, 3]
    kept = moved[:, 2] > 0.2
    places = moved[kept, :2] / moved[kept, 2:]
    places += 0.2 / CAMERA.fx * rng.standard_normal(places.shape)
    return rays[kept] * depth[4::8, 4::8].reshape(-1, 1)[kept], places


def drive(
    robot: Robot, factor: float, settings: ScaleSettings, use: str, change=None, sway: float = 0.0
) -> list[Scale]:
    """What the estimator says along a drive whose depth is `factor` times too large.

    use: names of the aiding measurements, separated by blanks. change(step) may alter a step's truth.
    sway: radians by which the mounting's pitch comes and goes, as tf tells of a camera that moves.
    """
    estimator, flicker, answers = ScaleEstimator(settings), Flicker(robot.seed), []
    rng, last = np.random.default_rng([11, robot.seed]), None
    for step in robot:
        if change is not None:
            change(step)
        if sway:
            estimator.settings = replace(settings, pitch=settings.pitch + sway * math.sin(9.0 * step.time))
        hints = {name: step.hints.get(name) for name in use.split()}
        if hints.get("visual_odometry") is not None:
            hints["corners"] = corners_of(*last, hints["visual_odometry"], rng)
            hints["visual_odometry"] = flicker.of_motion(hints["visual_odometry"])
            hints["visual_odometry"][:3, 3] *= factor
            hints["visual_odometry_std_dev"] = 0.1
        depth = flicker.on(step.depth * factor)
        last = depth, step.depth
        answers.append(estimator.update(depth, CAMERA, round(step.time * 1e9), **hints))
    assert_no_jump([answer.value for answer in answers])
    return answers


def assert_no_jump(values: list[float]) -> None:
    """No step from one frame to the next is larger than 2 %."""
    values = np.array(values)
    assert np.abs(values[1:] / values[:-1] - 1).max(initial=0) <= 0.02 + 1e-9


SETTINGS = {
    "height": (ScaleSettings(height=0.6, pitch=0.1), ""),
    "odometry": (ScaleSettings(odometry=True), "visual_odometry odometry"),
    "ranges": (ScaleSettings(ranges=True), "ranges"),
}
"""For each source alone: the settings, and the aiding measurements it needs."""


class World:
    """This module's tools, for tests, which cannot import it."""

    CAMERA, BOXES, SETTINGS, Robot, Flicker = CAMERA, BOXES, SETTINGS, Robot, Flicker
    camera_pose = staticmethod(camera_pose)
    ray_cast = staticmethod(ray_cast)
    corners_of = staticmethod(corners_of)
    bend = staticmethod(bend)
    rotation = staticmethod(rotation)
    drive = staticmethod(drive)
    assert_no_jump = staticmethod(assert_no_jump)


@pytest.fixture(scope="session")
def world() -> type[World]:
    return World
