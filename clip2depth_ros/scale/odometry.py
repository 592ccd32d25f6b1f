# SPDX-License-Identifier: Apache-2.0
"""Scale from driven distance: what odometry says in metres over what vision says in the depth's own."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from clip2depth_ros.camera.transforms import is_pose
from clip2depth_ros.images.frame import NAN
from clip2depth_ros.images.origins import ScaleOrigin
from clip2depth_ros.scale.parallax import REFERENCE, Parallax, find_parallax
from clip2depth_ros.scale.source import Evidence, ScaleSource, View, weighted_median

LENGTH, FIRST_LENGTH = 0.2, 0.05
"""Metres of odometry that make a stretch; the first ones are shorter, to have an opinion soon."""
MIN_STEPS, MAX_STEPS = 4, 300
"""Frames of a stretch: fewer leave each frame's error whole, more let vision drift."""
MAX_SECONDS = 4.0
MAX_TURN = 0.6
"""Radians of turning in a stretch; turning and driving at once hide each other's errors."""
TURN_MISMATCH, TURN_PART = 0.06, 0.25
"""How far the two may disagree about a stretch's turning: radians, and a part of the turning itself."""
COURSE_MISMATCH = 0.5
"""Angle between the two directions of driving from which they are not about one motion, radians."""
JUMP = 0.7
"""Part of a stretch that no single frame may have driven."""
MAX_STEP = 5.0
"""Metres between two frames: nothing that carries a camera drives so."""
RECENT = 25
"""Stretches that make the opinion, 5 m: a wheel that slips for two seconds is a small part of them."""
OUTLIER = 3.0
"""Deviations of the recent stretches from which a new one is a slip or an error."""
NEAR = 2.0
"""Deviations within which stretches agree; the opinion is their mean."""
AGREEMENT = 0.05
"""Least deviation that a stretch is believed to have."""
SYSTEMATIC = 0.1
"""Deviation that no number of stretches averages out: parts of the image in which nothing is followed."""
ONE_VIEW = 0.2
"""Deviation of what one stretch says about the others: a network is wrong by another factor in another view,
and stretches that follow each other see nearly the same."""
BENT = 0.5
"""Part of the difference between what near things and the whole image say that counts as deviation: where it
is large, one factor does not explain all depths."""
PROFILED = 5
"""Stretches from which a change with depth can be told; the first are short."""
UNKNOWN_BEND = 0.3
"""Deviation of a factor by near things alone."""
SHARES = (np.arange(9) + 0.5) / 9
"""Quantiles that stand for the depths of an image."""
EXTRAPOLATION = 0.5
"""Most by which a distant depth's translation may differ from the middle's, relative."""
FIRST = 3
"""Stretches whose median is the first opinion: with two nobody knows which one slipped."""
UNSURE = 0.3
"""Relative deviation of vision's translation over a stretch from which it has no course and no length."""
BLIND = 2.0
"""Metres of odometry without vision after which that is said."""
STEP_DEVIATION = 0.15
"""Of vision's translation in one frame where vision does not say."""


@dataclass(slots=True)
class _Stretch:
    """What one stretch says."""

    ratio: float
    """Log of odometry's way over vision's, which is that of near things."""
    seen: float
    """Vision's way, the depth's metres."""
    driven: float
    """Odometry's, metres."""
    profile: np.ndarray
    """(2,) vision's way at REFERENCE and its slope over log depth, the depth's metres; NaN where unknown."""
    far: np.ndarray
    """(9,) log (z / REFERENCE) of the image's depths, at SHARES."""


class OdometrySource(ScaleSource):
    """Ratios of odometry to vision over stretches with enough translation.

    Near things move most in the image, so the way that vision sees is told in the metres of near things, and
    a network can have those too near and the rest right. Therefore vision's way is taken as a function of
    depth (see Parallax), and the factor is the mean over the depths of the whole image. Whether near things
    and the whole agree goes into the deviation.

    Only translation tells; a stretch of turning alone never ends in an opinion. A stretch is broken off
    where either side is missing, and refused where odometry jumps and where the two disagree about turning or
    course. The opinion is the mean of those of the last stretches that agree with their median, each weighing
    what vision saw of it: a slipping wheel drives on without the world.
    """

    name = ScaleOrigin.ODOMETRY
    memory = 4.0
    patience = 2.0

    def __init__(self) -> None:
        super().__init__()
        self._recent: deque[_Stretch] = deque(maxlen=RECENT)
        self._previous: np.ndarray | None = None
        self._blind = 0.0
        self._begin()

    def reset(self) -> None:
        self._recent.clear()
        self._previous, self._blind = None, 0.0
        self._begin()

    def evidence(self, view: View) -> Evidence | None:
        self.complaint = ""
        pose = self._pose(view.odometry)
        previous, self._previous = self._previous, pose
        if pose is None or previous is None:
            self._begin()
            return None
        if view.vision is None:
            self._blind_drive(float(np.linalg.norm(pose[:3, 3] - previous[:3, 3])))
            self._begin()
            return None
        self._blind = 0.0
        if self._origin is None:
            self._origin = view.time
        step = np.linalg.inv(pose) @ previous
        length = float(np.linalg.norm(step[:3, 3]))
        if length > MAX_STEP:
            self.complaint = f"Odometry jumps by {length:.2f} m in one frame; that is not driven."
            self._begin()
            return None
        seen = float(np.linalg.norm(view.vision[:3, 3]))
        relative = view.vision_deviation if math.isfinite(view.vision_deviation) else STEP_DEVIATION
        self._odometry = step @ self._odometry
        self._vision = view.vision @ self._vision
        self._add_parallax(view)
        self._variance += (relative * seen) ** 2
        self._longest = max(self._longest, length)
        self._steps += 1
        return self._judge(view)

    def _add_parallax(self, view: View) -> None:
        """Carry vision's way as a function of depth one frame on."""
        parallax: Parallax | None = None
        if view.corners is not None and self._is_profiled:
            parallax = find_parallax(*view.corners, view.camera.fx, view.vision)
        if parallax is None:
            self._is_profiled = False
            return
        self._middle = parallax.rotation @ self._middle + parallax.middle
        self._slope = parallax.rotation @ self._slope + parallax.slope

    def _blind_drive(self, length: float) -> None:
        """Note what was driven while vision saw no motion, metres."""
        self._blind += length
        if self._blind > BLIND:
            self.complaint = (
                f"Odometry drove {self._blind:.1f} m of which vision saw nothing: the view is too dark, too "
                "plain or blurred, or the stabilizer is off."
            )

    def _judge(self, view: View) -> Evidence | None:
        """The opinion of the stretch when it is complete; begins the next."""
        driven = float(np.linalg.norm(self._odometry[:3, 3]))
        turned = float(np.linalg.norm(_rotation_vector(self._odometry[:3, :3])))
        wanted = FIRST_LENGTH if len(self._recent) < FIRST else LENGTH
        if driven < wanted or self._steps < MIN_STEPS:
            late = not 0 <= view.time - self._origin <= MAX_SECONDS or self._steps >= MAX_STEPS
            if late or turned > MAX_TURN:
                self._begin()
            return None
        if self._longest > JUMP * driven:
            self.complaint = f"Odometry jumps by {self._longest:.2f} m in one frame; that is not driven."
            self._begin()
            return None
        seen, course, mismatch = self._compare(driven, view.depth)
        # A wheel may spin on the spot; a ratio without end would be no number.
        seen = max(seen, 1e-3 * driven)
        relative = math.sqrt(self._variance) / seen
        known, spread = self._opinion()
        ratio = math.log(driven / seen)
        way = self._odometry[:3, 3] / driven
        profile = np.array([way @ self._middle, way @ self._slope]) if self._is_profiled else np.full(2, NAN)
        self.complaint = self._fault(driven, turned, relative, course, mismatch)
        self._begin()
        # Vision that saw far too little is unsure of it too, and that is what a spinning wheel looks like.
        if self.complaint or (relative > UNSURE and not ratio > known + math.log(2)):
            return None
        outlier = len(self._recent) >= FIRST and abs(ratio - known) > OUTLIER * math.hypot(spread, relative)
        self._recent.append(_Stretch(ratio, seen, driven, profile, _depths(view.depth)))
        if outlier:
            self.complaint = (
                f"Odometry and vision part: the last {driven:.2f} m of odometry are "
                f"{math.exp(ratio - known):.2f} times as long as what vision saw of them; a wheel slips."
            )
        if len(self._recent) < FIRST:
            return None
        median, spread = self._opinion()
        # The mean of what lies near the median is steadier than the median itself.
        near = [stretch for stretch in self._recent if abs(stretch.ratio - median) <= NEAR * spread]
        mean = float(np.average([s.ratio for s in near], weights=[s.seen for s in near]))
        deviation = max(spread, relative) / math.sqrt(len(near))
        profiled = [stretch for stretch in near if np.isfinite(stretch.profile).all()]
        if len(profiled) < PROFILED:
            return Evidence(mean, math.hypot(SYSTEMATIC, deviation), UNKNOWN_BEND)
        whole, unsure = _whole_image(profiled)
        bent, view = BENT * abs(whole - mean), ONE_VIEW / math.sqrt(len(profiled))
        return Evidence(whole, math.hypot(SYSTEMATIC, deviation), math.hypot(view, unsure, bent))

    def _opinion(self) -> tuple[float, float]:
        """Median and robust deviation of the recent stretches' log ratios."""
        if not self._recent:
            return NAN, NAN
        ratios, weights = np.array([(stretch.ratio, stretch.seen) for stretch in self._recent]).T
        median = weighted_median(ratios, weights)
        return median, max(AGREEMENT, 1.4826 * weighted_median(np.abs(ratios - median), weights))

    def _compare(self, driven: float, depth: np.ndarray) -> tuple[float, float, float]:
        """How far vision went along odometry's way, in the depth's metres; angles between courses and turns.

        Vision can take a little turning for driving aside, at the depth that it looks at. Where odometry's
        turn explains why vision's way departs from its own, vision is set right by as much as it explains.
        """
        way, seen = self._odometry[:3, 3] / driven, self._vision[:3, 3]
        turn = _rotation_vector(self._odometry[:3, :3] @ self._vision[:3, :3].T)
        known = depth[depth > 0]
        reach = 1 / float(np.mean(1 / known)) if known.size else 0.0
        swing = np.cross(turn, [0.0, 0.0, reach])
        across, aside = swing - way * (way @ swing), seen - way * (way @ seen)
        power = float(across @ across)
        part = min(1.0, max(0.0, float(across @ aside) / power)) if power > 0 else 0.0
        seen = seen - part * swing
        along = float(way @ seen)
        course = math.acos(min(1.0, max(-1.0, along / max(float(np.linalg.norm(seen)), 1e-9))))
        return along, course, float(np.linalg.norm(turn))

    @staticmethod
    def _fault(driven: float, turned: float, relative: float, course: float, mismatch: float) -> str:
        """Why the stretch tells nothing, "" if it does."""
        if relative > UNSURE:
            return ""
        if mismatch > TURN_MISMATCH + TURN_PART * turned:
            return (
                f"Odometry turned by {turned:.2f} rad over {driven:.2f} m, vision disagrees by "
                f"{mismatch:.2f} rad; check the camera's mounting pose and both clocks."
            )
        if course > COURSE_MISMATCH:
            return (
                f"Odometry drives {course:.2f} rad off the course that vision sees; check the camera's "
                "mounting pose (yaw first)."
            )
        return ""

    def _pose(self, odometry: np.ndarray | None) -> np.ndarray | None:
        """The pose if it is one."""
        if odometry is None:
            return None
        pose = np.asarray(odometry, np.float64)
        if not is_pose(pose):
            self.complaint = "Odometry is not a pose: a rotation and a place in finite numbers, (4, 4)."
            return None
        return pose

    def _begin(self) -> None:
        """Begin a stretch at the current frame."""
        self._odometry, self._vision = np.eye(4), np.eye(4)
        self._variance = self._longest = 0.0
        self._steps = 0
        self._middle, self._slope, self._is_profiled = np.zeros(3), np.zeros(3), True
        self._origin: float | None = None


def _depths(depth: np.ndarray) -> np.ndarray:
    """(9,) log (z / REFERENCE) of a depth image at SHARES; NaN where nothing is known."""
    sample = depth[::8, ::8]
    known = sample[sample > 0]
    return np.log(np.quantile(known, SHARES) / REFERENCE) if known.size else np.full(len(SHARES), NAN)


def _whole_image(stretches: list[_Stretch]) -> tuple[float, float]:
    """The log factor as the mean over the image's depths, and its deviation by leaving out each stretch in
    turn."""
    profiles = np.array([s.profile for s in stretches])
    driven = np.array([s.driven for s in stretches])
    far = np.nanmean([s.far for s in stretches], axis=0)

    def factor(profile: np.ndarray, way: np.ndarray) -> np.ndarray:
        middle = np.maximum(profile[..., :1], 1e-3 * way[..., None])
        part = np.clip(profile[..., 1:] * far / middle, -EXTRAPOLATION, EXTRAPOLATION)
        return np.mean(np.log(way[..., None] / (middle * (1 + part))), axis=-1)

    whole, total = profiles.sum(0), driven.sum()
    without = factor(whole - profiles, total - driven)
    count = len(stretches)
    unsure = math.sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))
    return float(factor(whole, np.asarray(total))), unsure


def _rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """(3,) axis times angle, radians, of a (3, 3) rotation."""
    return cv2.Rodrigues(rotation)[0].ravel()
