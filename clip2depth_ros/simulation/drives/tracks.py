# SPDX-License-Identifier: Apache-2.0
"""Tracks of a robot or of people on the free floor: position over time. Meters, seconds, radians."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from clip2depth_ros.simulation.drives.floor import CELL, FloorMap

Clear = Callable[[np.ndarray, np.ndarray], bool]
"""Whether points (N, 2) at times (N,) are clear of all others."""


class Gait(NamedTuple):
    """Motion parameters of a robot or person."""

    radius: float
    """Clearance to walls and furniture."""
    speed: float
    acceleration: float = 0.5
    turn_rate: float = 0.8
    pause: tuple[float, float] = (0.3, 1.2)
    """Shortest and longest stop."""


class Track(NamedTuple):
    """A timeline. A state is x, y, heading (unwrapped) and traveled meters."""

    times: np.ndarray
    """(N,) increasing."""
    states: np.ndarray
    """(N, 4)."""

    def at(self, time: float | np.ndarray) -> np.ndarray:
        """State (..., 4) at a time (...); before the start and after the end, the nearest state."""
        return np.stack([np.interp(time, self.times, self.states[:, k]) for k in range(4)], axis=-1)


def plan_track(
    floor: FloorMap, rng: np.random.Generator, gait: Gait, seconds: float, clear: Clear | None = None
) -> Track | None:
    """A walk of at least `seconds`: turn, walk, stop, and repeat to the next place.

    With `clear`, every leg is clear of the others at its own time. Returns None if a body of this radius has
    no room to stand, or if no such track was found.
    """
    cells = floor.region(gait.radius)
    if len(cells) == 0:
        return None
    # Stops are at places with room to look around, if there are any.
    open_ = cells[floor.clearance[cells[:, 0], cells[:, 1]] > 0.6]
    stops = open_ if len(open_) > 30 else cells
    here = stops[int(rng.integers(len(stops)))]
    x, y = (here + 0.5) * CELL
    timeline: list[tuple[np.ndarray, np.ndarray]] = []
    start, state = 0.0, np.array([x, y, rng.uniform(-math.pi, math.pi), 0.0])
    while start < seconds:
        for _ in range(6):
            options = stops[rng.integers(len(stops), size=5)]
            goal = options[np.argmax(np.hypot(*(options - here).T))]
            route = floor.route(tuple(here.tolist()), tuple(goal.tolist()), gait.radius)
            if route is None or len(route) < 4:
                continue
            points = floor.smooth(route, gait.radius)
            # The first leg begins with the heading of its path.
            times, states = _leg(
                points, state, gait, float(rng.uniform(*gait.pause)), turn_first=bool(timeline)
            )
            if _is_clear(clear, start, times, states):
                here = goal
                break
        else:
            times, states = np.array([0.0, 0.5]), np.stack([state, state])
            if not _is_clear(clear, start, times, states):
                return None
        timeline.append((start + times, states))
        start, state = timeline[-1][0][-1], states[-1]
    return Track(*(np.concatenate(column) for column in zip(*timeline, strict=True)))


def _is_clear(clear: Clear | None, start: float, times: np.ndarray, states: np.ndarray) -> bool:
    """Check a leg with `clear` every tenth of a second, including its stop, because the others move."""
    if clear is None:
        return True
    at = np.arange(0.0, times[-1] + 0.1, 0.1)
    return clear(start + at, np.column_stack([np.interp(at, times, states[:, k]) for k in range(2)]))


def _leg(
    points: np.ndarray, state: np.ndarray, gait: Gait, pause: float, turn_first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Turn toward the path, follow it, stop: times (N,) from zero and states (N, 4)."""
    tangent = np.gradient(points, axis=0)
    course = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
    heading, travelled = state[2], state[3]
    course += 2 * math.pi * round((heading - course[0]) / (2 * math.pi))
    times, states = [np.zeros(0)], [np.zeros((0, 4))]
    begin = 0.0
    if turn_first:
        turn = course[0] - heading
        s = np.linspace(0.0, 1.0, 40)
        # The steepest slope of this easing is 1.5 times its mean.
        duration = max(0.3, 1.5 * abs(turn) / gait.turn_rate)
        eased = heading + turn * (3 * s**2 - 2 * s**3)
        times.append(duration * s)
        states.append(np.column_stack([np.tile(points[0], (40, 1)), eased, np.full(40, travelled)]))
        begin = duration
    step = np.hypot(*np.diff(points, axis=0).T)
    bend = np.abs(np.gradient(course)) / max(float(step.mean()), 1e-6)
    limit = np.minimum(gait.speed, gait.turn_rate / np.maximum(bend, 1e-6))
    limit[0] = limit[-1] = 0.03
    for k in range(1, len(limit)):
        limit[k] = min(limit[k], math.sqrt(limit[k - 1] ** 2 + 2 * gait.acceleration * step[k - 1]))
    for k in range(len(limit) - 2, -1, -1):
        limit[k] = min(limit[k], math.sqrt(limit[k + 1] ** 2 + 2 * gait.acceleration * step[k]))
    moving = np.concatenate([[0.0], np.cumsum(2 * step / (limit[:-1] + limit[1:]))])
    lengths = travelled + np.concatenate([[0.0], np.cumsum(step)])
    times.append(begin + moving)
    states.append(np.column_stack([points, course, lengths]))
    times.append(np.array([begin + moving[-1] + pause]))
    states.append(states[-1][-1:])
    return np.concatenate(times), np.concatenate(states)
