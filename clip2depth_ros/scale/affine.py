# SPDX-License-Identifier: Apache-2.0
"""Metric depth from a disparity that is known up to a factor and a shift (affine-invariant inverse depth)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

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
"""Relative standard deviation of depth, the largest over the image,
below which factor and shift are known."""
HOLD = 0.5
"""Above this one, the last factor and shift are held, because the remaining evidence is too weak."""
SYSTEMATIC = 0.02
"""Relative standard deviation that does not decrease with more evidence."""
ANCHORS = (5.0, 50.0, 95.0)
"""Percentiles of the disparity at which depth is checked. Factor and shift are not checked separately,
because their errors are correlated."""
ANCHOR_MEMORY = 2.0
"""Seconds over which these percentiles are averaged."""
GRID = 24
"""Samples of the disparity per axis for the percentiles."""
FLOOR_MEMORY, RANGES_MEMORY = 1.0, 1.0
"""Seconds after which a source's evidence counts 1/e. Frames that see one floor have correlated errors, so
together they count as one observation within this time."""
MIN_AGREEING = 3
"""Driven stretches that must agree before they are used; one less when there is another source."""
DISAGREEMENT = 0.15
"""Relative difference of two sources' depth, at the median disparity, that causes a warning."""
MAX_FLOOR_RATIO = 2.0
"""Factor in depth at which a plane is rejected as the floor."""
REPEAT_SECONDS = 10.0
"""Between two warnings of one kind."""


@dataclass(frozen=True, slots=True)
class Affine:
    """Factor and shift at one frame: 1 / depth in meters = factor * disparity + shift."""

    factor: float
    """1 / meters for one unit of disparity; NaN while unknown."""
    shift: float
    """1 / meters at disparity 0; NaN while unknown."""
    deviation: float
    """Relative standard deviation of depth, the largest over the image; NaN while unknown."""
    source: ScaleOrigin
    """Source of the last evidence; NONE while factor and shift are unknown."""
    floor: Floor | None
    """The floor in meters; None when none is visible, or while factor and shift are unknown."""
    warnings: tuple[FrameWarning, ...] = ()
    """As in Scale."""
    age: float = NAN
    """Seconds since the last evidence; NaN for never."""


class AffineEstimator:
    """Estimates factor and shift of a disparity from ranges, from the floor, and from driven distance.

    All three give equations that are linear in factor and shift. A range gives the value of factor *
    disparity + shift at its pixel. The floor of a camera of known height and tilt is a plane of inverse
    depth. The image motion of a corner over a known driven distance is proportional to its inverse depth. So
    each source keeps a weighted least squares problem of two unknowns, in which older evidence fades, and the
    estimate is the solution of their sum.

    The published values follow the estimate by at most settings.max_step a frame, in depth, at the lowest and
    the highest disparity of the image. settings.initial and settings.memory belong to a factor on metric
    depth and are not used: factor and shift of a disparity change with the scene, so values of another day
    are meaningless.
    """

    def __init__(self, settings: ScaleSettings) -> None:
        self._settings = settings
        self._camera: Camera | None = None
        self._begin()

    @property
    def settings(self) -> ScaleSettings:
        """May be assigned while running; the published values continue from where they are."""
        return self._settings

    @settings.setter
    def settings(self, settings: ScaleSettings) -> None:
        old, self._settings = self._settings, settings
        if settings.outdates(old):
            self._sources, self._stretches = _sources(), Stretches()
            self._finder = FloorFinder(settings.tilt_tolerance)

    def reset(self) -> None:
        """Forget everything; factor and shift are unknown until new evidence arrives."""
        self._begin()

    def close(self) -> None:
        """Does nothing: nothing is stored on disk. Here because ScaleEstimator has it."""

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
        """Factor and shift for one frame. Frames must come in order of time.

        disparity: (h, w) float32 as the network gives it, larger is nearer, NaN = unknown.
        camera: rectified, of the disparity; None: nothing can be estimated. stamp: nanoseconds.
        image: (h, w, 3) uint8 RGB, the same pixels; without it driven distance cannot be used.
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
        self._update_ends(disparity, seconds)
        up = self._up(gravity, warnings)
        if camera is None:
            self._warn(
                "camera",
                "Scale needs a camera: without camera parameters there is no metric depth.",
                warnings,
            )
        elif not self._settings.freeze and self._ends is not None:
            self._collect_evidence(disparity, image, camera, up, odometry, ranges, seconds, warnings)
        self._follow(warnings)
        return self._affine(disparity, camera, up, warnings)

    def _collect_evidence(
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
        """Add the evidence of every source."""
        if self._settings.ranges and ranges is not None:
            # A substitute for depth, for which the same checks of edges and outliers hold.
            offset = self._offset()
            with np.errstate(all="ignore"):
                stand_in = np.where(disparity > -offset, 1 / (disparity + offset), np.nan)
            view = View(stand_in.astype(np.float32), camera, self._time, ranges=ranges)
            pairs = self._ranges.pairs(view)
            self._warn("ranges", self._ranges.problem, warnings)
            line = None
            if pairs is not None:
                line, problem = ranges_evidence(self._kept, pairs, offset, self._time, RANGES_MEMORY)
                self._warn("strangers", problem, warnings)
            if line is not None:
                # The line is fitted to all stored pairs, so it replaces the previous line.
                self._sources[ScaleOrigin.RANGES].clear()
                self._add_evidence(ScaleOrigin.RANGES, line)
        if self._settings.height:
            line = floor_evidence(disparity, camera, up, self._settings.height, self._settings.tilt_tolerance)
            if line is not None and self._is_plausible(line):
                known = self._sources[ScaleOrigin.HEIGHT].has_evidence
                part = min(1.0, seconds / FLOOR_MEMORY) if known else 1.0
                self._add_evidence(ScaleOrigin.HEIGHT, line, part)
        if self._settings.odometry and image is not None:
            spread = float(self._ends[2] - self._ends[0])
            stretch = self._parallax.update(image, disparity, camera, self._time, odometry, spread)
            self._warn("odometry", self._parallax.problem, warnings)
            if stretch is not None:
                estimate = self._estimate()
                line = motion_evidence(stretch, None if estimate is None else estimate[0])
                if line is not None:
                    self._stretches.add(line, self._time)
                    self._last_source, self._evidence_time = ScaleOrigin.ODOMETRY, self._time

    def _is_plausible(self, floor: Line) -> bool:
        """Whether a plane can be the floor. A wall or a table that fills the image is sometimes taken for the
        floor, and gives a depth that differs from the published one by a factor."""
        if self._published is None:
            return True
        rows = np.stack([self._ends, np.ones(3)], axis=1)  # pyright: ignore[reportCallIssue]
        with np.errstate(all="ignore"):
            ratio = (rows @ np.linalg.solve(floor.weight, floor.moment)) / (rows @ self._published)
        return bool((ratio < MAX_FLOOR_RATIO).all() and (ratio > 1 / MAX_FLOOR_RATIO).all())

    def _add_evidence(self, name: ScaleOrigin, line: Line, part: float = 1.0) -> None:
        self._sources[name].add(line, part)
        self._last_source, self._evidence_time = name, self._time

    def _estimate(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(2,) factor and shift, and (2, 2) their covariance; None while they are not determined."""
        weight: Any = sum(source.weight for source in self._sources.values())
        moment: Any = sum(source.moment for source in self._sources.values())
        other = weight.any()
        weight, moment, agreeing, self._driven = self._stretches.combine(weight, moment, self._time)
        if agreeing and agreeing < MIN_AGREEING - other and self._published is None:
            return None
        if self._ends is None or not np.isfinite(weight).all():
            return None
        # In units of the image's own disparity, so that both unknowns have a similar size.
        unit = np.diag([1 / self._ends[1], 1.0])
        scaled = unit @ weight @ unit
        if np.linalg.det(scaled) <= 1e-9 * np.trace(scaled) ** 2 or np.trace(scaled) <= 0:
            return None
        covariance = unit @ np.linalg.inv(scaled) @ unit
        return covariance @ moment, covariance

    def _follow(self, warnings: list[FrameWarning]) -> None:
        """Move the published values towards the estimate."""
        estimate = self._estimate()
        if estimate is None or self._ends is None:
            return
        factor_shift, covariance = estimate
        inverse = np.stack([self._ends, np.ones(3)], axis=1) @ factor_shift
        if factor_shift[0] <= 0 or (inverse <= 0).any():
            return
        deviation = _std_dev(factor_shift, covariance, self._seen)
        if self._published is None:
            if deviation <= PUBLISHED:
                self._published, self._std_dev = factor_shift, deviation
            return
        if deviation <= HOLD and not self._settings.freeze:
            self._warn_of_disagreement(warnings)
            self._move(factor_shift, inverse)
        self._std_dev = _std_dev(factor_shift, covariance, self._seen, self._published)

    def _move(self, factor_shift: np.ndarray, inverse: np.ndarray) -> None:
        """Move the published values by at most one step. inverse: 1 / meters at the ends, as estimated."""
        # A line whose two end points move by at most one step moves by no more anywhere between them.
        ends = self._ends[[0, 2]]
        held = self._published[0] * ends + self._published[1]
        if (held <= 0).any():
            self._published = factor_shift
            return
        up, down = math.log1p(self._settings.max_step) - 1e-9, math.log1p(-self._settings.max_step) + 1e-9
        held *= np.exp(np.clip(np.log(inverse[[0, 2]] / held), down, up))
        factor = (held[1] - held[0]) / (ends[1] - ends[0])
        self._published = np.array([factor, held[0] - factor * ends[0]])

    def _warn_of_disagreement(self, warnings: list[FrameWarning]) -> None:
        middle = np.array([self._ends[1], 1.0])
        lines = {name: Line(source.weight, source.moment) for name, source in self._sources.items()}
        lines[ScaleOrigin.ODOMETRY] = self._driven
        values = {name: line.inverse_depth(middle) for name, line in lines.items()}
        values = {name: value for name, value in values.items() if value is not None and value > 0}
        for name, value in values.items():
            for other, against in values.items():
                if name < other and abs(math.log(value / against)) > DISAGREEMENT:
                    self._warn(
                        "sources",
                        f"The sources of scale disagree: at the median disparity {name} gives "
                        f"{1 / value:.2f} m, {other} {1 / against:.2f} m; check the camera's height, the "
                        "mounting poses and the wheel size.",
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
        age = self._time - self._evidence_time  # pyright: ignore[reportOperatorIssue]
        return Affine(factor, shift, self._std_dev, self._last_source, floor, tuple(warnings), age)

    def _update_ends(self, disparity: np.ndarray, seconds: float) -> None:
        """Update the percentiles of the disparity."""
        step_y, step_x = (max(1, n // GRID) for n in disparity.shape)
        few = disparity[step_y // 2 :: step_y, step_x // 2 :: step_x]
        few = few[np.isfinite(few)]
        if few.size < 3:
            return
        ends = np.percentile(few, ANCHORS).astype(np.float64)
        if not (ends[0] < ends[2] and ends[1] > 0):
            return  # a constant disparity does not determine two unknowns
        self._seen = ends
        if self._ends is None:
            self._ends = ends.copy()
        else:
            self._ends += (1 - math.exp(-seconds / ANCHOR_MEMORY)) * (ends - self._ends)

    def _offset(self) -> float:
        """Offset that makes the disparity positive, so that its inverse has the contrast of a usual depth."""
        return float(max(0.0, -self._ends[0]) + 0.25 * self._ends[1])

    def _up(self, gravity: np.ndarray | None, warnings: list[FrameWarning]) -> np.ndarray:
        """(3,) unit vector up, optical frame: from gravity, otherwise from the mounting."""
        if gravity is not None:
            down = np.asarray(gravity, np.float64)
            length = float(np.linalg.norm(down)) if down.shape == (3,) else NAN
            if length > 0 and math.isfinite(length):
                return -down / length
            self._warn(
                "gravity", "The gravity vector is invalid; the mounting's tilt is used instead.", warnings
            )
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
        self._std_dev = NAN
        self._time: float | None = None
        self._evidence_time, self._last_source = NAN, ScaleOrigin.NONE
        self._warned: dict[str, float] = {}


def _std_dev(
    estimate: np.ndarray, covariance: np.ndarray, disparity: np.ndarray, published: np.ndarray | None = None
) -> float:
    """Largest relative standard deviation of depth, of the estimate or of the published values."""
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
