# SPDX-License-Identifier: Apache-2.0
"""Metric scale: estimates the factor on depth, and the floor, from depth and aiding measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import NAN, Floor
from clip2depth_ros.images.origins import FrameWarning, ScaleOrigin
from clip2depth_ros.scale.floor_plane import FloorFinder
from clip2depth_ros.scale.fusion import Follower, ScaleFilter
from clip2depth_ros.scale.height import HeightSource
from clip2depth_ros.scale.memory import ScaleMemory
from clip2depth_ros.scale.odometry import OdometrySource
from clip2depth_ros.scale.ranges import RangesSource
from clip2depth_ros.scale.source import ScaleSource, View
from clip2depth_ros.settings import ScaleSettings

REMEMBERED_STD_DEV = 0.1
"""Least standard deviation of a stored factor: the robot may be in another place."""
CHANGED_STD_DEV = 0.5
"""Of the estimate after a source's settings were changed."""
SAVE_SECONDS, SAVE_CHANGE, SAVE_STD_DEV = 60.0, 0.01, 0.1
"""The memory is written at most once in SAVE_SECONDS, when the factor changed by SAVE_CHANGE (relative) and
its standard deviation is at most SAVE_STD_DEV."""
PRIOR_STD_DEV = 0.035
"""Of the log scale of a metric network in a new place that is similar to its training data."""
WRONG_SHARE, WRONG_STD_DEV = 0.1, 0.7
"""Prior probability that a network's metric scale is wrong, as with a lens or a place outside its training
data; and the standard deviation of the log scale in that case."""
ANY_FACTOR_STD_DEV = 10.0
"""Standard deviation of the log scale of a depth without scale, before the first evidence."""
REPEAT_SECONDS = 10.0
"""Between two warnings of one kind."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale at one frame."""

    value: float
    """Factor from the network's depth to meters."""
    deviation: float
    """Relative standard deviation of value; NaN before the first evidence."""
    source: ScaleOrigin
    """Source of the last accepted evidence: height, odometry, ranges or memory; "" for none."""
    floor: Floor | None
    """The floor in scaled meters; None when none is visible."""
    warnings: tuple[FrameWarning, ...] = ()
    """One sentence for each aiding measurement that was rejected; each kind at most once in ten seconds."""
    age: float = NAN
    """Seconds since the last accepted evidence; NaN for never."""


class ScaleEstimator:
    """Scales depth to meters by one factor that changes slowly.

    The floor is searched in every frame with a camera; settings enable the other sources. The factor starts
    at the stored value, at the first frame's evidence, or at settings.initial. After that it changes by at
    most settings.max_step a frame.

    any_factor: the depth has no scale, so any factor is possible, and the factor of the first evidence is
    used at once.
    """

    def __init__(self, settings: ScaleSettings, *, any_factor: bool = False) -> None:
        self._settings = settings
        self._any_factor = any_factor
        self._memory = ScaleMemory(settings.memory) if settings.memory else None
        self._camera: Camera | None = None
        self._begin()

    @property
    def settings(self) -> ScaleSettings:
        """May be assigned while running; the factor continues from where it is."""
        return self._settings

    @settings.setter
    def settings(self, settings: ScaleSettings) -> None:
        old = self._settings
        if settings == old:
            return
        if (settings.memory, settings.name) != (old.memory, old.name):
            self._keep()  # under the old name
        self._settings = settings
        if (settings.memory, settings.name) != (old.memory, old.name):
            self._memory = ScaleMemory(settings.memory) if settings.memory else None
            self._begin()
            return
        self._filter.drift = settings.drift
        self._follower.step = settings.max_step
        if settings.outdates(old):
            self._sources = self._make_sources()
            self._finder = FloorFinder(settings.tilt_tolerance)
            self._filter.loosen(CHANGED_STD_DEV)
        if settings.initial != old.initial and not self._filter.source:
            self._filter.log_scale = self._start = math.log(settings.initial)

    def reset(self) -> None:
        """Forget all evidence; start again at the stored factor or at the first evidence."""
        self._begin()

    def carry_over(self, name: str, log_ratio: float, spread: float) -> None:
        """Continue with another network's depth, whose factor the memory stores under `name`.

        log_ratio: median log of the new depth over the old; spread: its standard deviation over the image.
        The factor is divided by the ratio, so that scaled depth does not change. Before the first evidence
        there is no factor to carry over.
        """
        self._keep()  # under the old name
        self._settings = replace(self._settings, name=name)
        self._saved = None
        self._sources = self._make_sources()  # their evidence is in the old depth's unit
        if not self._filter.source or self._follower.log_scale is None:
            return
        self._filter.log_scale -= log_ratio
        self._follower.log_scale -= log_ratio
        self._value = math.exp(self._follower.log_scale)
        self._filter.loosen(min(spread, CHANGED_STD_DEV))

    def close(self) -> None:
        """Write the factor to the memory file,
        if there is one and the factor is known. May be called again."""
        self._keep()

    def update(
        self,
        depth: np.ndarray,
        camera: Camera | None,
        stamp: int,
        *,
        visual_odometry: np.ndarray | None = None,
        visual_odometry_std_dev: float = NAN,
        corners: tuple[np.ndarray, np.ndarray] | None = None,
        odometry: np.ndarray | None = None,
        gravity: np.ndarray | None = None,
        ranges: np.ndarray | None = None,
    ) -> Scale:
        """The scale at one frame, from its aiding measurements. Frames must come in order of time.

        depth: (h, w) float32, meters before scaling, NaN = unknown; stabilized depth gives better results.
        camera: rectified, of the depth; None: the factor is held.
        stamp: nanoseconds.
        visual_odometry: (4, 4), points of the previous frame's optical frame into this one, in the depth's
            unit; visual_odometry_std_dev: relative, of its translation; corners: its points, as in Stable.
            Without corners, a factor from odometry holds for near objects only.
        odometry, gravity, ranges: as in Frame.
        Raises Clip2DepthError when depth and camera have different sizes.
        """
        time = stamp * 1e-9
        if camera is not None and depth.shape != (camera.height, camera.width):
            raise Clip2DepthError(
                f"The depth is {depth.shape[1]}x{depth.shape[0]}, its camera {camera.width}x{camera.height}; "
                "scale needs the camera of the depth."
            )
        if camera is not None and camera != self._camera:
            self._change_camera(camera)
        warnings: list[FrameWarning] = []
        if self._time is not None and time < self._time:
            # A recording starts again: stretches in progress are dropped, the estimate is kept.
            for source in self._sources:
                source.reset()
            self._warned.clear()
            self._saved_time = time
        self._time = time
        self._filter.predict(time)
        floor = None
        if camera is not None:
            up = self._up(gravity, warnings)
            floor = self._finder.find(depth, camera, up)
            view = View(
                depth,
                camera,
                time,
                visual_odometry,
                visual_odometry_std_dev,
                odometry,
                ranges,
                floor,
                up,
                corners,
            )
            if not self._settings.freeze:
                self._collect_evidence(view, warnings)
        elif self._sources:
            self._warn(
                "camera", "Scale needs a camera: without camera parameters the factor is held.", warnings
            )
        if not self._settings.freeze or self._follower.log_scale is None:
            if self._any_factor and not self._has_evidence:
                self._follower.log_scale, self._has_evidence = None, bool(self._filter.source)
            log_scale, self._deviation = self._posterior()
            self._value = self._follower.follow(log_scale)
            self._save_in_time(time)
        if self._memory is not None:
            self._warn("memory", self._memory.problem(), warnings)
        return self._scale(floor, warnings)

    def _collect_evidence(self, view: View, warnings: list[FrameWarning]) -> None:
        """Update the filter with the evidence of every source."""
        for source in self._sources:
            evidence = source.evidence(view)
            self._warn(source.name, source.problem, warnings)
            if evidence is not None:
                self._filter.update(source.name, evidence, source.memory, source.override_time)
                self._warn("evidence", self._filter.problem, warnings)

    def _posterior(self) -> tuple[float, float]:
        """Mean and standard deviation of the log scale: the evidence combined with a prior.

        Sources see parts of the image. Where a network's error differs from part to part, there is no single
        factor that they could find. The network's depth is metric by itself, however, mostly within
        PRIOR_STD_DEV. So the prior is a mixture of two hypotheses: the network's metric scale is right, or it
        is wrong by any factor. Precise evidence decides between them.
        """
        source, evidence, variance = self._filter.source, self._filter.log_scale, self._filter.deviation**2
        if not source:
            return evidence, NAN
        if source == ScaleOrigin.MEMORY or self._any_factor:  # the depth has no metric prior
            return evidence, math.sqrt(variance)
        start = self._start
        off = evidence - start
        prior = PRIOR_STD_DEV**2
        gain = prior / (prior + variance)
        # Under the hypothesis of a wrong scale, the evidence alone counts.
        means, variances = (start + gain * off, evidence), (gain * variance, variance)
        own, wrong = (
            share * math.exp(-(off**2) / (2 * spread)) / math.sqrt(spread)
            for share, spread in (
                (1 - WRONG_SHARE, prior + variance),
                (WRONG_SHARE, WRONG_STD_DEV**2 + variance),
            )
        )
        if not own + wrong > 0:  # both probabilities underflow
            return evidence, math.sqrt(variance)
        # Only an increase over the prior probability counts as evidence for a wrong scale.
        part = max(0.0, wrong / (own + wrong) - WRONG_SHARE) / (1 - WRONG_SHARE)
        mean = (1 - part) * means[0] + part * means[1]
        second = sum(
            share * (v + (m - mean) ** 2)
            for share, m, v in zip((1 - part, part), means, variances, strict=True)
        )
        return mean, math.sqrt(second)

    def _scale(self, floor: Floor | None, warnings: list[FrameWarning]) -> Scale:
        source = self._filter.source
        deviation = NAN
        if source:
            # A published factor that still moves is wrong by the remaining difference.
            deviation = math.hypot(self._deviation, self._posterior()[0] - math.log(self._value))
        if floor is not None:
            floor = replace(floor, height=floor.height * self._value)
        return Scale(self._value, deviation, source, floor, tuple(warnings), self._filter.age)

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
        """Add a warning, unless there was one of this kind within REPEAT_SECONDS."""
        if text and not self._time < self._warned.get(kind, -math.inf) + REPEAT_SECONDS:
            self._warned[kind] = self._time
            warnings.append(FrameWarning(kind, text))

    def _make_sources(self) -> list[ScaleSource]:
        """The sources that the settings enable, the most precise first."""
        settings = self._settings
        sources: list[ScaleSource] = []
        if settings.ranges:
            sources.append(RangesSource())
        if settings.height:
            sources.append(HeightSource(settings.height))
        if settings.odometry:
            sources.append(OdometrySource())
        return sources

    def _begin(self) -> None:
        settings = self._settings
        self._sources = self._make_sources()
        self._finder = FloorFinder(settings.tilt_tolerance)
        self._filter = ScaleFilter(settings.drift, math.log(settings.initial))
        if self._any_factor:
            self._filter.loosen(ANY_FACTOR_STD_DEV)
        self._follower = Follower(settings.max_step)
        self._value, self._deviation = settings.initial, NAN
        self._start = math.log(settings.initial)
        self._has_evidence = False
        self._time: float | None = None
        self._warned: dict[str, float] = {}
        self._saved: float | None = None
        self._saved_time: float | None = None
        if self._camera is not None:
            self._recall()

    def _change_camera(self, camera: Camera) -> None:
        """Start again for another camera. The first camera only selects the entry of the memory."""
        self._keep()
        before, self._camera = self._camera, camera
        if before is None:
            self._recall()
        else:
            self._begin()

    def _recall(self) -> None:
        """Start from the stored factor of the camera, if there is one."""
        if self._memory is None:
            return
        remembered = self._memory.recall(self._memory.key(self._settings.name, self._camera))
        if remembered is not None:
            scale, deviation = remembered
            self._saved = scale
            self._start = math.log(scale)
            self._filter.start(ScaleOrigin.MEMORY, math.log(scale), max(deviation, REMEMBERED_STD_DEV))

    def _save_in_time(self, time: float) -> None:
        if self._memory is None:
            return
        if self._saved_time is None:
            self._saved_time = time
        elif time - self._saved_time >= SAVE_SECONDS:
            self._saved_time = time
            self._keep()

    def _keep(self) -> None:
        """Write the estimate to the file, if it is precise enough and differs from the stored value."""
        is_measured = self._filter.source not in (ScaleOrigin.NONE, ScaleOrigin.MEMORY)
        known = is_measured and self._posterior()[1] <= SAVE_STD_DEV
        if self._memory is None or self._camera is None or not known:
            return
        log_scale, deviation = self._posterior()
        scale = math.exp(log_scale)
        if self._saved is not None and abs(scale / self._saved - 1) < SAVE_CHANGE:
            return
        key = self._memory.key(self._settings.name, self._camera)
        if self._memory.keep(key, scale, deviation):
            self._saved = scale
