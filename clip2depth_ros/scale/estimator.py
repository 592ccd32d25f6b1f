# SPDX-License-Identifier: Apache-2.0
"""Metric scale: depth and a robot's hints in, the factor and the floor out."""

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

REMEMBERED_DEVIATION = 0.1
"""Least deviation of a remembered factor: the place may be another."""
CHANGED_DEVIATION = 0.5
"""Of the estimate after a source's own numbers were changed."""
SAVE_SECONDS, SAVE_CHANGE, SAVE_DEVIATION = 60.0, 0.01, 0.1
"""The memory is written at most so often, after such a relative change, and when it is so sure."""
PRIOR_DEVIATION = 0.035
"""Of the log scale of a metric network in a place that is new to it, where nothing is out of the ordinary."""
ASTRAY, ASTRAY_DEVIATION = 0.1, 0.7
"""How often its metres are wrong altogether, as with a lens or a place unlike all that it was trained on; and
the deviation of the log scale then."""
ANY_FACTOR = 10.0
"""Deviation of the log scale of a depth that is right up to a factor, before anybody has spoken."""
REPEAT_SECONDS = 10.0
"""Between two warnings about the same thing."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What is known about the scale at one frame."""

    value: float
    """Factor from the depth's metres to the robot's."""
    deviation: float
    """Relative standard deviation of value; NaN while nobody has spoken."""
    source: ScaleOrigin
    """Which source was accepted last; NONE while there was none."""
    floor: Floor | None
    """The floor in scaled metres; None when none is in sight."""
    warnings: tuple[FrameWarning, ...] = ()
    """One sentence for each hint that was refused; each kind at most once in ten seconds."""
    age: float = NAN
    """Seconds since a source was believed; NaN for never."""


class ScaleEstimator:
    """Holds depth to the metres that a robot knows, by one factor that moves slowly.

    The floor is sought in every frame whose camera is known; the other sources speak as the settings say.
    The factor starts where the file remembers it, or where the first frame's evidence puts it, or at
    settings.initial; from then on it moves by at most settings.max_step a frame.

    any_factor: the depth is in no metres at all, so that any factor may be right, and the first one that a
    source says is taken at once.
    """

    def __init__(self, settings: ScaleSettings, *, any_factor: bool = False) -> None:
        self._settings = settings
        self._any_factor = any_factor
        self._memory = ScaleMemory(settings.memory) if settings.memory else None
        self._camera: Camera | None = None
        self._begin()

    @property
    def settings(self) -> ScaleSettings:
        """May be assigned while running; the factor goes on from where it is."""
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
            self._filter.loosen(CHANGED_DEVIATION)
        if settings.initial != old.initial and not self._filter.source:
            self._filter.log_scale = self._start = math.log(settings.initial)

    def reset(self) -> None:
        """Forget what was learned: back to the remembered factor, or to the first evidence."""
        self._begin()

    def carry_over(self, name: str, log_ratio: float, spread: float) -> None:
        """Go on with another network's depth, under the name by which the memory is to keep its factor.

        log_ratio: log of the new depth over the old, in the median; spread: its deviation over the image. The
        factor takes the ratio away, so that scaled depth goes on where it is. While no source has spoken,
        there is no factor to carry over.
        """
        self._keep()  # under the old name
        self._settings = replace(self._settings, name=name)
        self._saved = None
        self._sources = self._make_sources()  # what they have gathered is in the old depth's metres
        if not self._filter.source or self._follower.log_scale is None:
            return
        self._filter.log_scale -= log_ratio
        self._follower.log_scale -= log_ratio
        self._value = math.exp(self._follower.log_scale)
        self._filter.loosen(min(spread, CHANGED_DEVIATION))

    def close(self) -> None:
        """Keep the factor in the file, if one was asked for and the factor is known. May be called again."""
        self._keep()

    def update(
        self,
        depth: np.ndarray,
        camera: Camera | None,
        stamp: int,
        *,
        vision: np.ndarray | None = None,
        vision_deviation: float = NAN,
        corners: tuple[np.ndarray, np.ndarray] | None = None,
        odometry: np.ndarray | None = None,
        gravity: np.ndarray | None = None,
        ranges: np.ndarray | None = None,
    ) -> Scale:
        """The scale at one frame, with what was known at it. Frames come in their order.

        depth: (h, w) float32, metres before scaling, NaN = unknown; the steadier, the better.
        camera: the rectified camera of depth; None: nothing can be learned, the factor is held.
        stamp: nanoseconds.
        vision: (4, 4) points of the previous frame's optical frame into this one's, in depth's metres, as
            seen by the camera alone; vision_deviation: the relative one of its translation; corners: what it
            rests on, as in Stable. Without corners a factor by odometry is that of near things.
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
            # A recording starts again: what was on its way is void, what was learned still holds.
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
            view = View(depth, camera, time, vision, vision_deviation, odometry, ranges, floor, up, corners)
            if not self._settings.freeze:
                self._listen(view, warnings)
        elif self._sources:
            self._warn("camera", "Scale needs to know the camera: without one the factor is held.", warnings)
        if not self._settings.freeze or self._follower.log_scale is None:
            if self._any_factor and not self._spoken:
                self._follower.log_scale, self._spoken = None, bool(self._filter.source)
            log_scale, self._deviation = self._believed()
            self._value = self._follower.follow(log_scale)
            self._save_in_time(time)
        if self._memory is not None:
            self._warn("memory", self._memory.complaint(), warnings)
        return self._scale(floor, warnings)

    def _listen(self, view: View, warnings: list[FrameWarning]) -> None:
        """Ask every source, and take what fits."""
        for source in self._sources:
            evidence = source.evidence(view)
            self._warn(source.name, source.complaint, warnings)
            if evidence is not None:
                self._filter.update(source.name, evidence, source.memory, source.patience)
                self._warn("evidence", self._filter.complaint, warnings)

    def _believed(self) -> tuple[float, float]:
        """The log scale to hold depth to, and its deviation: the evidence, and what is known without it.

        Sources see parts of the image, and a network that is wrong by another factor in every part gives them
        no factor to find. The depth that it gives is metric by itself, however, mostly within
        PRIOR_DEVIATION. So the evidence is weighed against two accounts of it: that the network's own metres
        are right, and that its metres are wrong by any factor. Evidence that is sure leaves no doubt which
        one it is.
        """
        source, evidence, variance = self._filter.source, self._filter.log_scale, self._filter.deviation**2
        if not source:
            return evidence, NAN
        # what was believed; no metres of its own to weigh
        if source == ScaleOrigin.MEMORY or self._any_factor:
            return evidence, math.sqrt(variance)
        start = self._start
        off = evidence - start
        prior = PRIOR_DEVIATION**2
        gain = prior / (prior + variance)
        # Where the network's metres mean nothing, the evidence alone counts.
        means, variances = (start + gain * off, evidence), (gain * variance, variance)
        own, astray = (
            share * math.exp(-(off**2) / (2 * spread)) / math.sqrt(spread)
            for share, spread in ((1 - ASTRAY, prior + variance), (ASTRAY, ASTRAY_DEVIATION**2 + variance))
        )
        if not own + astray > 0:  # further off than numbers tell
            return evidence, math.sqrt(variance)
        # Evidence that does not make it likelier that the metres are wrong does not count as such.
        part = max(0.0, astray / (own + astray) - ASTRAY) / (1 - ASTRAY)
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
            # A factor still on its way is off by the way that is left.
            deviation = math.hypot(self._deviation, self._believed()[0] - math.log(self._value))
        if floor is not None:
            floor = replace(floor, height=floor.height * self._value)
        return Scale(self._value, deviation, source, floor, tuple(warnings), self._filter.age)

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
        """Add a warning, unless one of its kind was given lately."""
        if text and not self._time < self._warned.get(kind, -math.inf) + REPEAT_SECONDS:
            self._warned[kind] = self._time
            warnings.append(FrameWarning(kind, text))

    def _make_sources(self) -> list[ScaleSource]:
        """The sources that the settings ask for, surest first."""
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
            self._filter.loosen(ANY_FACTOR)
        self._follower = Follower(settings.max_step)
        self._value, self._deviation = settings.initial, NAN
        self._start = math.log(settings.initial)
        self._spoken = False
        self._time: float | None = None
        self._warned: dict[str, float] = {}
        self._saved: float | None = None
        self._saved_time: float | None = None
        if self._camera is not None:
            self._recall()

    def _change_camera(self, camera: Camera) -> None:
        """Another camera has another factor; the first to be known only tells whose factor it is."""
        self._keep()
        before, self._camera = self._camera, camera
        if before is None:
            self._recall()
        else:
            self._begin()

    def _recall(self) -> None:
        """Start from the remembered factor of the camera, if there is one."""
        if self._memory is None:
            return
        remembered = self._memory.recall(self._memory.key(self._settings.name, self._camera))
        if remembered is not None:
            scale, deviation = remembered
            self._saved = scale
            self._start = math.log(scale)
            self._filter.start(ScaleOrigin.MEMORY, math.log(scale), max(deviation, REMEMBERED_DEVIATION))

    def _save_in_time(self, time: float) -> None:
        if self._memory is None:
            return
        if self._saved_time is None:
            self._saved_time = time
        elif time - self._saved_time >= SAVE_SECONDS:
            self._saved_time = time
            self._keep()

    def _keep(self) -> None:
        """Write the estimate to the file, if it is sure and differs from what is there."""
        said = self._filter.source not in (ScaleOrigin.NONE, ScaleOrigin.MEMORY)
        known = said and self._believed()[1] <= SAVE_DEVIATION
        if self._memory is None or self._camera is None or not known:
            return
        log_scale, deviation = self._believed()
        scale = math.exp(log_scale)
        if self._saved is not None and abs(scale / self._saved - 1) < SAVE_CHANGE:
            return
        key = self._memory.key(self._settings.name, self._camera)
        if self._memory.keep(key, scale, deviation):
            self._saved = scale
