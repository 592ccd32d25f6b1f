# SPDX-License-Identifier: Apache-2.0
"""Positions of the cupboards of a fitted kitchen along one, two or three free walls. Meters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clip2depth_ros.simulation.furniture.layout import Layout
from clip2depth_ros.simulation.scene.openings import Opening, Wall, in_front, walls_of
from clip2depth_ros.simulation.scene.scene import rectangle, rectangles_overlap

DEPTH = 0.6
"""Depth of a base cupboard without the edge of the worktop."""


_STEP = 0.05


_AISLE = 0.9
"""Free floor between two opposite runs."""


class Run(NamedTuple):
    """Cupboards along a wall from `start` to `stop`; fronts hidden by a neighboring run are omitted."""

    wall: int
    start: float
    stop: float
    corner_before: bool = False
    corner_after: bool = False


def choose_runs(layout: Layout, plan: list[list[Opening]]) -> list[Run]:
    """Runs in a U, an L or along one wall, depending on the free stretches of wall."""
    rng, walls = layout.rng, walls_of(layout.scene)
    free = [_free_steps(layout, plan[k], wall) for k, wall in enumerate(walls)]
    lengths = [wall.length for wall in walls]
    ahead = [_STEP * _count_true(row) for row in free]
    behind = [_STEP * _count_true(row[::-1]) for row in free]
    wish, order = rng.random(), rng.permutation(4)
    if wish < 0.25:
        for k in order:
            before, after = (k - 1) % 4, (k + 1) % 4
            whole = free[k].all() and lengths[k] >= 2 * DEPTH + _AISLE
            if whole and lengths[k] <= 4.5 and behind[before] > 1.3 and ahead[after] > 1.3:
                first, last = (min(side, rng.uniform(1.5, 3.6)) for side in (behind[before], ahead[after]))
                return [
                    Run(k, 0.0, lengths[k], True, True),
                    Run(before, lengths[before] - first, lengths[before] - DEPTH),
                    Run(after, DEPTH, last),
                ]
    if wish < 0.8:
        for k in order:
            after = (k + 1) % 4
            if behind[k] > 1.5 and ahead[after] > 1.3:
                first, last = (min(side, rng.uniform(1.6, 4.4)) for side in (behind[k], ahead[after]))
                if lengths[after] - last < 0.8:
                    last = min(last, lengths[after])
                return [Run(k, lengths[k] - first, lengths[k], False, True), Run(after, DEPTH, last)]
    for k in order:
        start, count = _longest(free[k])
        length = min(count * _STEP, rng.uniform(1.6, 4.2))
        if length >= 1.5:
            begin = start * _STEP + rng.choice([0.0, 1.0, rng.random()]) * (count * _STEP - length)
            return [Run(int(k), float(begin), float(begin + length))]
    return []


def _free_steps(layout: Layout, openings: list[Opening], wall: Wall) -> np.ndarray:
    """Whether a cupboard can stand at each step along a wall: (N,) bool."""
    scene = layout.scene
    count = int(wall.length / _STEP)
    free = np.ones(count, bool)
    for k in range(count):
        x = (k + 0.5) * _STEP
        spot = rectangle(*in_front(wall, x, DEPTH / 2 + 0.02), wall.yaw, _STEP, DEPTH + 0.04)
        free[k] = not any(rectangles_overlap(spot, other, 0.02) for other in scene.footprints)
        free[k] &= not any(o.low < 0.8 and o.start - 0.05 < x < o.start + o.width + 0.05 for o in openings)
    return free


def _count_true(row: np.ndarray) -> int:
    blocked = np.flatnonzero(~row)
    return int(blocked[0]) if blocked.size else len(row)


def _longest(row: np.ndarray) -> tuple[int, int]:
    """Start and length of the longest stretch of True."""
    best, start = (0, 0), 0
    for k, free in enumerate([*row, False]):
        if not free:
            if k - start > best[1]:
                best = (start, k - start)
            start = k + 1
    return best
