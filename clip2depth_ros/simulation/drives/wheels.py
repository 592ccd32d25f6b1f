# SPDX-License-Identifier: Apache-2.0
"""Simulated wheel odometry: the true motion with typical odometry errors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clip2depth_ros.simulation.views.views import look_pose


@dataclass(frozen=True)
class Wheels:
    """The errors of one robot's odometry.

    scale      factor on every distance (wrong wheel radius)
    noise      standard deviation of the relative error of each step
    turn       factor on every turn (wrong track width)
    drift      standard deviation of the heading's error, radians after one meter
    slip       factor on the distance while the wheels slip
    slips      intervals of slip, (begin, end) in seconds
    """

    scale: float = 1.0
    noise: float = 0.05
    turn: float = 1.0
    drift: float = 0.01
    slip: float = 1.6
    slips: tuple[tuple[float, float], ...] = ()

    @classmethod
    def random(cls, rng: np.random.Generator, seconds: float, scale_error: float = 0.05) -> Wheels:
        """Random errors of one robot for a drive of `seconds`: all distances too long or too short by
        `scale_error`, and two short slips."""
        begins = rng.uniform(0, max(seconds - 1, 0), 2)
        return cls(
            scale=1 + scale_error * float(rng.choice([-1.0, 1.0])),
            turn=float(1 + 0.02 * rng.standard_normal()),
            slips=tuple((float(t), float(t + rng.uniform(0.3, 1.0))) for t in begins),
        )

    def odometry(self, poses: Sequence[np.ndarray], fps: float, rng: np.random.Generator) -> list[np.ndarray]:
        """Camera poses (4, 4), optical frame to odometry frame, as the wheels measure them for the true
        poses.

        Wheels measure position and heading on the floor only; height and tilt of the camera are those of the
        first pose, as from a measured mounting. The odometry frame starts at the true frame.
        """
        first = poses[0]
        height, mounting = first[2, 3], np.linalg.inv(_on_floor(first)) @ first
        told, found = _on_floor(first), [first.copy()]
        for index, (before, after) in enumerate(itertools.pairwise(poses), 1):
            step = np.linalg.inv(_on_floor(before)) @ _on_floor(after)
            way = float(np.linalg.norm(step[:3, 3]))
            slipping = any(begin <= index / fps < end for begin, end in self.slips)
            factor = self.scale * (1 + self.noise * rng.standard_normal()) * (self.slip if slipping else 1.0)
            # In the body's floor frame, the heading is about z.
            turned = math.atan2(step[1, 0], step[0, 0])
            turned = turned * self.turn + self.drift * math.sqrt(way) * rng.standard_normal()
            move = np.eye(4)
            move[:2, :2] = [[math.cos(turned), -math.sin(turned)], [math.sin(turned), math.cos(turned)]]
            move[:2, 3] = factor * step[:2, 3]
            told = told @ move
            pose = told @ mounting
            pose[2, 3] = height
            found.append(pose)
        return found


def _on_floor(pose: np.ndarray) -> np.ndarray:
    """(4, 4): a frame on the floor under a camera pose (4, 4), x forward in its heading, z up."""
    level = look_pose((pose[0, 3], pose[1, 3], 0.0), math.atan2(pose[1, 2], pose[0, 2]), 0.0)
    body = np.eye(4)
    body[:3, 0], body[:3, 1], body[:3, 2], body[:3, 3] = (
        level[:3, 2],
        -level[:3, 0],
        -level[:3, 1],
        level[:3, 3],
    )
    return body
