# SPDX-License-Identifier: Apache-2.0
"""Metres for a network whose inverse depth is right up to a factor and a shift."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import NAN, Floor
from clip2depth_ros.images.origins import FrameWarning, ScaleOrigin
from clip2depth_ros.scale.disparity_evidence import (
    Line,
    Source,
    Stretches,
    floor_evidence,
    motion_evidence,
    ranges_evidence,
)
from clip2depth_ros.scale.floor_plane import FloorFinder
from clip2depth_ros.scale.ranges import RangesSource
from clip2depth_ros.scale.source import View
from clip2depth_ros.scale.stretches import Parallax
from clip2depth_ros.settings import ScaleSettings

PUBLISHED = 0.15
"""Relative deviation of depth, at its worst over the picture, below which factor and shift are known."""
HELD = 0.5
"""And above which the last ones are held: what is left of the evidence says nothing any more."""
SYSTEMATIC = 0.02
"""Relative deviation that no evidence averages out."""
ANCHORS = (5.0, 50.0, 95.0)
"""Percentiles of the disparity at which depth is watched: factor and shift mean nothing one by one."""
ANCHOR_MEMORY = 2.0
"""Seconds over which they are averaged."""
GRID = 24
"""Samples of the disparity per axis for them."""
FLOOR_MEMORY, RANGES_MEMORY = 1.0, 1.0
"""Seconds after which a source's evidence counts 1/e. Frames of one floor share its errors, so within its
memory they weigh as one."""
AGREEING = 3
"""Stretches of driving that must agree before they are believed; one less beside another source."""
DISAGREEMENT = 0.15
"""Relative difference of two sources' depth in the middle of the picture that is said."""
ANOTHER = 2.0
"""Factor in depth from which a floor is none."""
REPEAT_SECONDS = 10.0
"""Between two warnings about the same thing."""


@dataclass(frozen=True, slots=True)
class Affine:
    """What is known at one frame: 1 / metres = factor * disparity + shift."""

    factor: float
    """1 / metres for one unit of disparity; NaN while it is not known."""
    shift: float
    """1 / metres at disparity 0; NaN while it is not known."""
    deviation: float
    """Relative standard deviation of depth, where it is largest over the picture; NaN while unknown."""
    source: ScaleOrigin
    """Which source was accepted last; NONE while factor and shift are not known."""
    floor: Floor | None
    """The floor in metres; None when none is in sight, or metres are not known."""
    warnings: tuple[FrameWarning, ...] = ()
    """As those of Scale."""
    age: float = NAN
    """Seconds since a source spoke; NaN for never."""


class AffineEstimator:
    """Finds factor and shift of a disparity from ranges, from the floor, and from driven distance.

    All three are linear in both: a range says what factor * disparity + shift is at its pixel; the floor of a
    camera of known height and tilt is a plane of inverse depth; and how far a corner moves in the image while
    the robot drives a known way is proportional to its inverse depth. So each source keeps a weighted least
    squares of two unknowns, older evidence fading, and their sum is the estimate.

    What is published follows it by at most settings.max_step a frame, in depth, at the two ends of what the
    picture holds. settings.initial and settings.memory belong to a factor on metres and are not used: factor
    and shift of a disparity change with the scene, so that those of another day are worth nothing.
    """

    def __init__(self, settings: ScaleSettings) -> None:
        self._settings = settings
        self._camera: Camera | None = None
        self._begin()

    @property
    def settings(self) -> ScaleSettings:
        """May be assigned while running; what is published goes on from where it is."""
        return self._settings

    @settings.setter
    def settings(self, settings: ScaleSettings) -> None:
        old, self._settings = self._settings, settings
        if settings.outdates(old):
            self._sources, self._stretches = _sources(), Stretches()
            self._finder = FloorFinder(settings.tilt_tolerance)

    def reset(self) -> None:
        """Forget everything; nothing is known until a source speaks."""
        self._begin()

    def close(self) -> None:
        """For symmetry with ScaleEstimator; nothing is kept on disk."""

    @property
    def is_known(self) -> bool:
        """True when metres can be had."""
        return self._published is not None

    def update(
        self,
        disparity: np.ndarray,
        camera: Camera | None,
        stamp: int,
        *,
        image: np.ndarray | None = None,
        odometry: np.ndarray | None = None,
        gravity: np.ndarray | None = None,
        ranges: np.ndarray | None = None,
    ) -> Affine:
        """Factor and shift for one frame. Frames come in their order.

        disparity: (h, w) float32 as the network gives it, larger is nearer, NaN = unknown.
        camera: its rectified camera; None: nothing can be learned. stamp: nanoseconds.
        image: (h, w, 3) uint8 RGB, its pixels; without it driven distance tells nothing.
        odometry, gravity, ranges: as in Frame.
        """
        time = stamp * 1e-9
        warnings: list[FrameWarning] = []
        if camera is not None and camera != self._camera:
            if self._camera is not None:
                self._begin()
            self._camera = camera
        if self._time is not None and time < self._time:
            self._sources, self._stretches = _sources(), Stretches()
            self._warned.clear()
            self._parallax.reset()
            self._kept.clear()
        seconds = 0.0 if self._time is None else max(0.0, time - self._time)
        self._time = time
        for source in self._sources.values():
            source.fade(seconds)
        self._look_at_ends(disparity, seconds)
        up = self._up(gravity, warnings)
        if camera is None:
            self._warn("camera", "Scale needs to know the camera: without one there are no metres.", warnings)
        elif not self._settings.freeze and self._ends is not None:
            self._listen(disparity, image, camera, up, odometry, ranges, seconds, warnings)
        self._follow(warnings)
        return self._affine(disparity, camera, up, warnings)

    def _listen(
        self,
        disparity: np.ndarray,
        image: np.ndarray | None,
        camera: Camera,
        up: np.ndarray,
        odometry: np.ndarray | None,
        ranges: np.ndarray | None,
        seconds: float,
        warnings: list[FrameWarning],
    ) -> None:
        """Ask every source."""
        if self._settings.ranges and ranges is not None:
            # A stand-in for depth, which the same rules about edges and strangers hold for.
            offset = self._offset()
            with np.errstate(all="ignore"):
                stand_in = np.where(disparity > -offset, 1 / (disparity + offset), np.nan)
            view = View(stand_in.astype(np.float32), camera, self._time, ranges=ranges)
            pairs = self._ranges.pairs(view)
            self._warn("ranges", self._ranges.complaint, warnings)
            line = None
            if pairs is not None:
                line, complaint = ranges_evidence(self._kept, pairs, offset, self._time, RANGES_MEMORY)
                self._warn("strangers", complaint, warnings)
            if line is not None:
                # The line is of all pairs that are kept, so it takes the place of the one before.
                self._sources[ScaleOrigin.RANGES].clear()
                self._take(ScaleOrigin.RANGES, line)
        if self._settings.height:
            line = floor_evidence(disparity, camera, up, self._settings.height, self._settings.tilt_tolerance)
            if line is not None and self._may_be(line):
                known = self._sources[ScaleOrigin.HEIGHT].has_spoken
                part = min(1.0, seconds / FLOOR_MEMORY) if known else 1.0
                self._take(ScaleOrigin.HEIGHT, line, part)
        if self._settings.odometry and image is not None:
            spread = float(self._ends[2] - self._ends[0])
            stretch = self._parallax.update(image, disparity, camera, self._time, odometry, spread)
            self._warn("odometry", self._parallax.complaint, warnings)
            if stretch is not None:
                estimate = self._estimate()
                line = motion_evidence(stretch, None if estimate is None else estimate[0])
                if line is not None:
                    self._stretches.add(line, self._time)
                    self._last, self._spoke = ScaleOrigin.ODOMETRY, self._time

    def _may_be(self, floor: Line) -> bool:
        """Whether what is said of the floor can be true: a wall or a table of which nothing else is in sight
        makes depth another by a factor."""
        if self._published is None:
            return True
        rows = np.stack([self._ends, np.ones(3)], axis=1)
        with np.errstate(all="ignore"):
            ratio = (rows @ np.linalg.solve(floor.weight, floor.moment)) / (rows @ self._published)
        return bool((ratio < ANOTHER).all() and (ratio > 1 / ANOTHER).all())

    def _take(self, name: ScaleOrigin, line: Line, part: float = 1.0) -> None:
        self._sources[name].add(line, part)
        self._last, self._spoke = name, self._time

    def _estimate(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(2,) factor and shift, and (2, 2) their covariance; None while they are not determined."""
        weight = sum(source.weight for source in self._sources.values())
        moment = sum(source.moment for source in self._sources.values())
        other = weight.any()
        weight, moment, agreeing, self._driven = self._stretches.together(weight, moment, self._time)
        if agreeing and agreeing < AGREEING - other and self._published is None:
            return None
        if self._ends is None or not np.isfinite(weight).all():
            return None
        # In units of the picture's own disparity, so that both unknowns are of one size.
        unit = np.diag([1 / self._ends[1], 1.0])
        scaled = unit @ weight @ unit
        if np.linalg.det(scaled) <= 1e-9 * np.trace(scaled) ** 2 or np.trace(scaled) <= 0:
            return None
        covariance = unit @ np.linalg.inv(scaled) @ unit
        return covariance @ moment, covariance

    def _follow(self, warnings: list[FrameWarning]) -> None:
        """Move what is published towards the estimate."""
        estimate = self._estimate()
        if estimate is None or self._ends is None:
            return
        factor_shift, covariance = estimate
        inverse = np.stack([self._ends, np.ones(3)], axis=1) @ factor_shift
        if factor_shift[0] <= 0 or (inverse <= 0).any():
            return
        deviation = _deviation(factor_shift, covariance, self._seen)
        if self._published is None:
            if deviation <= PUBLISHED:
                self._published, self._deviation = factor_shift, deviation
            return
        if deviation <= HELD and not self._settings.freeze:
            self._say_disagreement(warnings)
            self._move(factor_shift, inverse)
        self._deviation = _deviation(factor_shift, covariance, self._seen, self._published)

    def _move(self, factor_shift: np.ndarray, inverse: np.ndarray) -> None:
        """Bring what is published nearer to the estimate. inverse: 1 / metres at the ends, as estimated."""
        # A straight line through two points that move so little moves no more anywhere between them.
        ends = self._ends[[0, 2]]
        held = self._published[0] * ends + self._published[1]
        if (held <= 0).any():
            self._published = factor_shift
            return
        up, down = math.log1p(self._settings.max_step) - 1e-9, math.log1p(-self._settings.max_step) + 1e-9
        held *= np.exp(np.clip(np.log(inverse[[0, 2]] / held), down, up))
        factor = (held[1] - held[0]) / (ends[1] - ends[0])
        self._published = np.array([factor, held[0] - factor * ends[0]])

    def _say_disagreement(self, warnings: list[FrameWarning]) -> None:
        middle = np.array([self._ends[1], 1.0])
        lines = {name: Line(source.weight, source.moment) for name, source in self._sources.items()}
        lines[ScaleOrigin.ODOMETRY] = self._driven
        said = {name: line.inverse_depth(middle) for name, line in lines.items()}
        said = {name: value for name, value in said.items() if value is not None and value > 0}
        for name, value in said.items():
            for other, against in said.items():
                if name < other and abs(math.log(value / against)) > DISAGREEMENT:
                    self._warn(
                        "sources",
                        f"The sources of scale disagree: in the middle of the picture {name} says "
                        f"{1 / value:.2f} m, {other} {1 / against:.2f} m; check the camera's height, the "
                        "mounting poses, the wheels' size.",
                        warnings,
                    )

    def _affine(
        self, disparity: np.ndarray, camera: Camera | None, up: np.ndarray, warnings: list[FrameWarning]
    ) -> Affine:
        if self._published is None:
            return Affine(NAN, NAN, NAN, ScaleOrigin.NONE, None, tuple(warnings))
        factor, shift = (float(value) for value in self._published)
        floor = None
        if camera is not None:
            with np.errstate(all="ignore"):
                depth = (1 / (factor * disparity + shift)).astype(np.float32)
            depth[~(depth > 0)] = np.nan
            floor = self._finder.find(depth, camera, up)
        age = self._time - self._spoke
        return Affine(factor, shift, self._deviation, self._last, floor, tuple(warnings), age)

    def _look_at_ends(self, disparity: np.ndarray, seconds: float) -> None:
        """Keep the percentiles of the disparity."""
        step_y, step_x = (max(1, n // GRID) for n in disparity.shape)
        few = disparity[step_y // 2 :: step_y, step_x // 2 :: step_x]
        few = few[np.isfinite(few)]
        if few.size < 3:
            return
        ends = np.percentile(few, ANCHORS).astype(np.float64)
        if not (ends[0] < ends[2] and ends[1] > 0):
            return  # one disparity everywhere tells no two numbers
        self._seen = ends
        if self._ends is None:
            self._ends = ends.copy()
        else:
            self._ends += (1 - math.exp(-seconds / ANCHOR_MEMORY)) * (ends - self._ends)

    def _offset(self) -> float:
        """What makes a disparity positive and its inverse a depth of ordinary contrast."""
        return float(max(0.0, -self._ends[0]) + 0.25 * self._ends[1])

    def _up(self, gravity: np.ndarray | None, warnings: list[FrameWarning]) -> np.ndarray:
        """(3,) the expected up: against gravity, else from the mounting."""
        if gravity is not None:
            down = np.asarray(gravity, np.float64)
            length = float(np.linalg.norm(down)) if down.shape == (3,) else NAN
            if length > 0 and math.isfinite(length):
                return -down / length
            self._warn("gravity", "Gravity is no direction; the mounting's tilt is used instead.", warnings)
        return Floor.from_mounting(1.0, self._settings.pitch, self._settings.roll).normal

    def _warn(self, kind: str, text: str, warnings: list[FrameWarning]) -> None:
        if text and not self._time < self._warned.get(kind, -math.inf) + REPEAT_SECONDS:
            self._warned[kind] = self._time
            warnings.append(FrameWarning(kind, text))

    def _begin(self) -> None:
        self._sources = _sources()
        self._finder = FloorFinder(self._settings.tilt_tolerance)
        self._ranges = RangesSource()
        self._kept: list[tuple[float, np.ndarray]] = []
        self._parallax, self._stretches = Parallax(), Stretches()
        self._driven = Line(np.zeros((2, 2)), np.zeros(2))
        self._ends: np.ndarray | None = None
        self._seen: np.ndarray | None = None
        self._published: np.ndarray | None = None
        self._deviation = NAN
        self._time: float | None = None
        self._spoke, self._last = NAN, ScaleOrigin.NONE
        self._warned: dict[str, float] = {}


def _deviation(
    estimate: np.ndarray, covariance: np.ndarray, disparity: np.ndarray, published: np.ndarray | None = None
) -> float:
    """Relative deviation of depth where it is largest, of the estimate or of what is published instead."""
    rows = np.stack([disparity, np.ones_like(disparity)], axis=1)
    inverse = rows @ estimate
    with np.errstate(all="ignore"):
        relative = np.sqrt(np.einsum("ni,ij,nj->n", rows, covariance, rows)) / inverse
        behind = 0.0 if published is None else rows @ published / inverse - 1
    worst = np.where(inverse > 0, np.hypot(relative, behind), math.inf).max()
    return math.hypot(float(worst), SYSTEMATIC)


def _sources() -> dict[ScaleOrigin, Source]:
    return {
        ScaleOrigin.RANGES: Source(RANGES_MEMORY),
        ScaleOrigin.HEIGHT: Source(FLOOR_MEMORY),
    }
