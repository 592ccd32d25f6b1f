# SPDX-License-Identifier: Apache-2.0
"""Least squares for factor and shift of a disparity, from ranges, from the floor and from driven distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.scale.stretches import MIN_CORNERS, Stretch

MIN_PAIRS = 20
"""Pairs of range and disparity that are needed for a fit of two unknowns."""
KEPT_SECONDS = 2.0
TRIALS = 60
"""RANSAC trials: lines through two pairs."""
FITS = 0.08
"""Relative difference in depth up to which a pair is an inlier of a line."""
MIN_FITTING = 0.4
"""Least share of inliers of the best line."""
INDEPENDENT = 40.0
"""Most pairs that count as independent: a network's errors are correlated within a surface."""
SURFACES = 15.0
"""Parts of an image whose errors count as independent."""
ROUNDS = 5
"""Iterations of reweighting."""

FLOOR_GRID = 40
"""Samples of the disparity along the longer side, for the floor."""
FLOOR_TRIALS = 200
FLOOR_BAND = 0.03
"""Largest distance of a floor point from its plane of disparity, as a fraction of the disparity's spread."""
FLOOR_SUPPORT = 0.1
"""Least share of the samples that must lie on a floor."""
BELOW = 0.75
"""Penalty for a point below the plane, in points on the plane."""
HEIGHT_STD_DEV, TILT_STD_DEV = 0.03, 0.03
"""Relative, of the camera's height; radians, of the floor's normal relative to the expected one."""

CORNER = 0.2
"""Standard deviation of a corner that is tracked over a stretch, pixels."""
WAY = 0.02
"""The same, relative to the corner's displacement."""
TURN = 0.005
"""Standard deviation of the rotation in a stretch, radians."""
STEP = 0.08
"""Relative standard deviation of the translation in a stretch."""
NETWORK = np.linspace(0.0, 0.3, 31)
"""Candidates for the network's relative error of inverse depth."""
MOST_ADDED = 0.5
"""Largest fraction of the disparity's variance that may be error; a stretch above it is not used."""
MOST_STRETCHES = 40
MOTION_MEMORY = 15.0
"""Seconds after which a stretch counts 1/e."""
STRETCH_GATE = 4.0
"""Standard deviations from which a stretch is an outlier."""


@dataclass(frozen=True, slots=True)
class Line:
    """Normal equations of factor and shift: weight @ (factor, shift) = moment."""

    weight: np.ndarray
    """(2, 2): the inverse covariance."""
    moment: np.ndarray
    """(2,)."""

    def inverse_depth(self, at: np.ndarray) -> float | None:
        """Inverse depth at (disparity, 1) from this line alone;
        None where its standard deviation exceeds 10 %."""
        if np.linalg.det(self.weight) <= 1e-12 * np.trace(self.weight) ** 2:
            return None
        covariance = np.linalg.inv(self.weight)
        value = float(at @ covariance @ self.moment)
        return value if math.sqrt(max(0.0, at @ covariance @ at)) < 0.1 * abs(value) else None


class Source:
    """The evidence of one source, which fades over time. memory: seconds to 1/e."""

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self.clear()

    def clear(self) -> None:
        """Forget all evidence."""
        self.weight, self.moment = np.zeros((2, 2)), np.zeros(2)

    @property
    def has_evidence(self) -> bool:
        return bool(self.weight.any())

    def fade(self, seconds: float) -> None:
        """Fade the evidence by the time that passed."""
        left = math.exp(-seconds / self._memory)
        self.weight *= left
        self.moment *= left

    def add(self, line: Line, part: float = 1.0) -> None:
        """Add evidence; part: the fraction of it that is new."""
        self.weight += part * line.weight
        self.moment += part * line.moment


class Stretches:
    """The evidence of driven stretches. Some are outliers:
    a person walks ahead of the robot, or a wheel slips."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, Line]] = []

    def add(self, line: Line, time: float) -> None:
        """Add the evidence of a stretch that ended at `time`, seconds."""
        self._lines = [*self._lines[1 - MOST_STRETCHES :], (time, line)]

    def combine(
        self, weight: np.ndarray, moment: np.ndarray, time: float
    ) -> tuple[np.ndarray, np.ndarray, int, Line]:
        """Add the evidence of the consistent stretches to that of the other sources, (2, 2) and (2,).

        Returns the sums, how many stretches agree with them, and the stretches' own part. The start of the
        robust fit is the one solution, of a stretch or of the other sources, that is nearest to all others.
        """
        nothing = Line(np.zeros((2, 2)), np.zeros(2))
        self._lines = [entry for entry in self._lines if time - entry[0] < 4 * MOTION_MEMORY]
        if not self._lines:
            return weight, moment, 0, nothing
        weights = np.stack([line.weight for _, line in self._lines])
        moments = np.stack([line.moment for _, line in self._lines])
        fading = np.exp([(ended - time) / MOTION_MEMORY for ended, _ in self._lines])
        solutions = np.linalg.solve(weights, moments[..., None])[..., 0]
        candidates, votes, all_weights, all_solutions = solutions, fading, weights, solutions
        if np.linalg.det(weight) > 1e-9 * np.trace(weight) ** 2:
            other = np.linalg.solve(weight, moment)[None]
            candidates = all_solutions = np.concatenate([solutions, other])
            all_weights = np.concatenate([weights, weight[None]])
            votes = np.append(fading, 1.0)
        apart = _distance(candidates[:, None] - all_solutions, all_weights)
        answer = candidates[int(np.argmin(np.minimum(apart, STRETCH_GATE) @ votes))]
        for _ in range(ROUNDS):
            fits = np.clip(1 - (_distance(answer - solutions, weights) / STRETCH_GATE) ** 2, 0, None) ** 2
            own = Line(
                np.einsum("n,nij->ij", fits * fading, weights), np.einsum("n,ni->i", fits * fading, moments)
            )
            total_weight, total_moment = weight + own.weight, moment + own.moment
            if np.linalg.det(total_weight) <= 1e-9 * np.trace(total_weight) ** 2:
                return weight, moment, 0, nothing
            answer = np.linalg.solve(total_weight, total_moment)
        return total_weight, total_moment, int(np.count_nonzero(fits > 0.5)), own


def _distance(differences: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(..., n) distance of two solutions in standard deviations. differences: (..., n,
    2); weights: (n, 2, 2)."""
    return np.sqrt(np.einsum("...ni,nij,...nj->...n", differences, weights, differences) / 2)


def ranges_evidence(
    kept: list[tuple[float, np.ndarray]], pairs: np.ndarray, offset: float, time: float, memory: float
) -> tuple[Line | None, str]:
    """The line fitted to the ranges of the last seconds, and why there is none, "" otherwise.

    kept: times and (2, M) inverse ranges and disparities; this frame's pairs are added, old ones removed.
    pairs: (2, M) logarithms of the ranges and of 1 / (disparity + offset).
    """
    kept[:] = [entry for entry in kept if 0 <= time - entry[0] <= KEPT_SECONDS]
    if pairs.shape[1]:
        kept.append((time, np.stack([np.exp(-pairs[0]), np.exp(-pairs[1]) - offset])))
    if not kept:
        return None, ""
    inverse, disparity = np.concatenate([entry[1] for entry in kept], axis=1)
    fading = np.concatenate(
        [np.full(entry[1].shape[1], math.exp((entry[0] - time) / memory)) for entry in kept]
    )
    if len(inverse) < MIN_PAIRS or np.ptp(disparity) <= 0:
        return None, ""
    start = _best_line(disparity, inverse, fading, seed=len(inverse))
    if start is None:
        return None, (
            "The ranges do not match the image: no factor and shift map the network's disparity to them; "
            "check the pose of the range sensor relative to the camera, and both clocks."
        )
    rows = (
        np.stack([disparity, np.ones_like(disparity)], axis=1) / inverse[:, None]
    )  # errors relative to depth
    answer = start
    for _ in range(ROUNDS):
        misses = rows @ answer - 1
        spread = max(0.005, 1.4826 * float(np.median(np.abs(misses[np.abs(misses) < 3 * FITS]))))
        weights = fading * np.clip(1 - (misses / (4 * spread)) ** 2, 0, None) ** 2
        weight = rows.T @ (weights[:, None] * rows)
        if np.linalg.det(weight) <= 1e-12 * np.trace(weight) ** 2:
            return None, ""
        answer = np.linalg.solve(weight, rows.T @ weights)
    effective = min(float(weights.sum()), INDEPENDENT) / max(float(weights.sum()), 1e-9)
    weight = effective / spread**2 * weight
    return Line(weight, weight @ answer), ""


def _best_line(
    disparity: np.ndarray, inverse: np.ndarray, fading: np.ndarray, seed: int
) -> np.ndarray | None:
    """(2,) factor and shift with the most inliers; None when no line has enough inliers."""
    rng = np.random.default_rng([41, seed])
    first, second = rng.integers(0, len(inverse), (2, TRIALS))
    run = disparity[second] - disparity[first]
    usable = np.abs(run) > 0.05 * np.ptp(disparity)
    first, second, run = first[usable], second[usable], run[usable]
    factors = (inverse[second] - inverse[first]) / run
    shifts = inverse[first] - factors * disparity[first]
    rising = factors > 0
    factors, shifts = factors[rising], shifts[rising]
    if not factors.size:
        return None
    misses = np.abs((factors[:, None] * disparity + shifts[:, None]) / inverse - 1)
    fitting = (misses < FITS) @ fading
    best = int(np.argmax(fitting))
    if fitting[best] < MIN_FITTING * fading.sum():
        return None
    return np.array([factors[best], shifts[best]])


def floor_evidence(
    disparity: np.ndarray, camera: Camera, up: np.ndarray, height: float, tolerance: float
) -> Line | None:
    """Evidence from the floor, for a camera `height` meters above it; None where no floor is found.

    A plane n.p = -h has the inverse depth -(n.ray) / h, which is linear over the image, and so is its
    disparity. The slope gives the factor, whatever the tilt. The zero crossing (the horizon) gives the shift,
    as accurately as the tilt is known. up: (3,) expected unit normal, optical frame. tolerance: radians, of
    the floor's tilt.
    """
    rows, columns = disparity.shape
    step = max(1, max(rows, columns) // FLOOR_GRID)
    x, y = camera.axes()
    few = disparity[step // 2 :: step, step // 2 :: step]
    xs, ys = np.meshgrid(x[step // 2 :: step], y[step // 2 :: step])
    known = np.isfinite(few)
    d, points = few[known].astype(np.float64), np.stack([xs[known], ys[known], np.ones(known.sum())], axis=1)
    if len(d) < 36:
        return None
    spread = float(np.subtract(*np.percentile(d, (95, 5))))
    # Only points below the expected horizon can be floor.
    below = np.flatnonzero(points @ up < -0.05)
    if len(below) < 12 or spread <= 0:
        return None
    found = _floor_plane(d, points, below, up, FLOOR_BAND * spread, tolerance)
    if found is None:
        return None
    plane, (crooked, offset) = found
    # factor * plane + (0, 0, shift) = -normal / height
    weight, moment = np.zeros((2, 2)), np.zeros(2)
    steep = math.hypot(plane[0], plane[1])
    level = math.hypot(up[0], up[1])
    crooked, offset = crooked * level / steep, offset * level / steep
    for row, value, deviation in (
        (
            np.array([steep, 0.0]),
            level / height,
            math.hypot(HEIGHT_STD_DEV * level, TILT_STD_DEV * up[2], crooked),
        ),
        (
            np.array([plane[2], 1.0]),
            -up[2] / height,
            math.hypot(TILT_STD_DEV * level, HEIGHT_STD_DEV * up[2], offset),
        ),
    ):
        row, value = row * height / deviation, value * height / deviation
        weight += np.outer(row, row)
        moment += row * value
    return Line(weight, moment)


def _floor_plane(
    d: np.ndarray, points: np.ndarray, below: np.ndarray, up: np.ndarray, band: float, tolerance: float
) -> tuple[np.ndarray, tuple[float, float]] | None:
    """(3,) the plane of disparity over (x, y, 1) with the most points below the horizon, and the standard
    deviations of its slope and of its value at the optical axis."""
    rng = np.random.default_rng(43)
    chosen = below[rng.integers(0, len(below), (FLOOR_TRIALS, 3))]
    corners = points[chosen]
    usable = np.abs(np.linalg.det(corners)) > 1e-3
    if not usable.any():
        return None
    planes = np.linalg.solve(corners[usable], d[chosen[usable]][..., None])[..., 0]
    # A wall is a plane of disparity too, but with almost no slope over the image.
    least = 4 * band / float(np.ptp(points[below, 1]))
    planes = planes[_is_floor_like(planes, up, tolerance, least)]
    if not len(planes):
        return None
    misses = d[below] - planes @ points[below].T
    scores = (np.abs(misses) < band).sum(axis=1) - BELOW * (misses < -2 * band).sum(axis=1)
    plane = planes[int(np.argmax(scores))]
    for _ in range(ROUNDS):
        near = below[np.abs(d[below] - points[below] @ plane) < band]
        if len(near) < max(12, FLOOR_SUPPORT * len(d)):
            return None
        plane = np.linalg.lstsq(points[near], d[near], rcond=None)[0]
    if np.count_nonzero(d[below] - points[below] @ plane < -2 * band) > BELOW * len(near):
        return None
    if not _is_floor_like(plane[None], up, tolerance, least)[0]:
        return None
    misses = d[near] - points[near] @ plane
    square = points[near].T @ points[near] * (min(len(near), SURFACES) / len(near))
    covariance = np.mean(misses**2) * np.linalg.inv(square)
    along = plane[:2] / np.hypot(*plane[:2])
    return plane, (math.sqrt(along @ covariance[:2, :2] @ along), math.sqrt(covariance[2, 2]))


def _is_floor_like(planes: np.ndarray, up: np.ndarray, tolerance: float, least: float) -> np.ndarray:
    """(n,) bool: planes whose disparity increases downwards, whose roll relative to the expected floor is
    within the tolerance, and whose slope exceeds `least`."""
    steep = np.hypot(planes[:, 0], planes[:, 1])
    level = math.hypot(up[0], up[1])
    along = -(planes[:, 0] * up[0] + planes[:, 1] * up[1])
    return (steep > least) & (along > math.cos(tolerance) * steep * level)


def motion_evidence(stretch: Stretch, estimate: np.ndarray | None) -> Line | None:
    """Evidence from the corners' motion through the image; None where the motion is too small.

    estimate: (2,) factor and shift as known so far, or None.

    A ray r of inverse depth s goes to R r + s t. Both rows of its place in the new image are linear in s, and
    so in factor and shift; a small error of R is linear too, and is eliminated.
    """
    d, motion = stretch.disparity, stretch.motion
    turned = np.concatenate([stretch.before, np.ones((len(d), 1))], axis=1) @ motion[:3, :3].T
    good = turned[:, 2] > 0.1
    d, turned = d[good], turned[good]
    if len(d) < MIN_CORNERS:
        return None
    t = motion[:3, 3]
    design, target = [], []
    x, y, z = turned.T
    for axis, (about_x, about_y, about_z) in enumerate(((0 * x, z, -y), (-z, 0 * x, x))):
        place = stretch.now[good, axis]
        through = t[axis] - place * t[2]
        # A small rotation w changes the ray by w x r; its part in this row, for each axis of w.
        turn = np.stack([about_x - place * y, about_y + place * x, about_z], axis=1)
        design.append(np.column_stack([through * d, through, turn]))
        target.append(place * z - turned[:, axis])
    design, target = np.concatenate(design), np.concatenate(target)
    # Tracking is less accurate over a longer displacement.
    way = np.hypot(*(stretch.now[good] - turned[:, :2] / turned[:, 2:]).T)
    followed = np.tile(np.hypot(CORNER / stretch.focal, WAY * way), 2)
    through, disparity = design[:, 1], np.tile(d, 2)
    prior = np.diag([0.0, 0.0, *([1 / TURN**2] * 3)])
    expected, weights, network = followed, np.ones(len(target)), np.zeros(len(target))
    for _ in range(2 * ROUNDS):
        rows, values = design / expected[:, None], target / expected
        weight, moment = prior + rows.T @ (weights[:, None] * rows), rows.T @ (weights * values)
        try:
            answer = np.linalg.solve(weight, moment)
        except np.linalg.LinAlgError:
            return None
        misses = np.abs(target - design @ answer)
        network = np.abs(through * (answer[0] * disparity + answer[1]))
        part = _network_error(misses, followed, network)
        expected = np.hypot(followed, part * network)
        expected *= max(1.0, 1.4826 * float(np.median(misses / expected)))
        weights = np.clip(1 - (misses / (4 * expected)) ** 2, 0, None) ** 2
    rows, values = design / expected[:, None], target / expected
    weight, moment = prior + rows.T @ (weights[:, None] * rows), rows.T @ (weights * values)
    rotation = weight[:2, 2:] @ np.linalg.inv(weight[2:, 2:])
    small = weight[:2, :2] - rotation @ weight[2:, :2]
    moment = moment[:2] - rotation @ moment[2:]
    if answer[0] <= 0 or np.linalg.det(small) <= 1e-12 * np.trace(small) ** 2:
        return None
    # Errors of the regressor (the disparity) bias the slope towards zero; their variance is subtracted.
    added = float(np.sum(weights * (part * network / expected) ** 2)) / answer[0] ** 2
    if added > MOST_ADDED * (small[0, 0] - small[0, 1] ** 2 / small[1, 1]):
        return None
    true = small - np.diag([added, 0.0])
    answer = np.linalg.solve(true, moment)
    small = true @ np.linalg.solve(small, true)
    if part > 0:
        small *= min(1.0, SURFACES / len(d))
    # Odometry's error is relative to the stretch, and scales factor and shift alike.
    known = answer if estimate is None else estimate
    grown = small @ known
    small = small - np.outer(grown, grown) / (1 / STEP**2 + known @ grown)
    return Line(small, small @ answer)


def _network_error(misses: np.ndarray, followed: np.ndarray, network: np.ndarray) -> float:
    """The smallest value of NETWORK that explains the residuals `misses`. All are (n,): `followed` is the
    standard deviation of the tracking, `network` the effect of a relative error of 1."""
    expected = np.hypot(followed, NETWORK[:, None] * network)
    enough = np.flatnonzero(1.4826 * np.median(misses / expected, axis=1) <= 1.0)
    return float(NETWORK[enough[0] if enough.size else -1])
