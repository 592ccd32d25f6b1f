# SPDX-License-Identifier: Apache-2.0
"""Scale from driven distance: odometry's distance over the distance by visual odometry."""

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
"""Length of a stretch in meters of odometry; the first ones are shorter, to have evidence soon."""
MIN_STEPS, MAX_STEPS = 4, 300
"""Frames of a stretch: fewer do not average out a frame's error, more let visual odometry drift."""
MAX_SECONDS = 4.0
MAX_TURN = 0.6
"""Radians of turning in a stretch: errors of rotation and translation compensate each other."""
TURN_MISMATCH, TURN_PART = 0.06, 0.25
"""Largest difference of the two rotations over a stretch: radians, and a fraction of the rotation."""
COURSE_MISMATCH = 0.5
"""Largest angle between the two directions of driving, radians."""
JUMP = 0.7
"""Largest fraction of a stretch that one frame may cover."""
MAX_STEP = 5.0
"""Meters between two frames; no robot with a camera drives faster."""
RECENT = 25
"""Stretches that are averaged, 5 m: two seconds of wheel slip are a small part of them."""
OUTLIER = 3.0
"""Standard deviations of the recent stretches from which a new one is a slip or an error."""
NEAR = 2.0
"""Standard deviations within which stretches agree; the evidence is their mean."""
AGREEMENT = 0.05
"""Least standard deviation of a stretch."""
SYSTEMATIC = 0.1
"""Standard deviation that does not decrease with more stretches:
parts of the image have no tracked corners."""
ONE_VIEW = 0.2
"""Standard deviation of one stretch with respect to the others: a network's error changes with the view, and
consecutive stretches see nearly the same."""
BENT = 0.5
"""Fraction of the difference between the factors of near objects and of the whole image that counts as
standard deviation: where it is large, one factor does not explain all depths."""
PROFILED = 5
"""Least number of stretches for an estimate of the change with depth; the first are short."""
UNKNOWN_BEND = 0.3
"""Standard deviation of a factor from near objects alone."""
SHARES = (np.arange(9) + 0.5) / 9
"""Quantiles that represent the depths of an image."""
EXTRAPOLATION = 0.5
"""Largest relative difference of the translation at another depth from that at REFERENCE."""
FIRST = 3
"""Stretches before the first evidence: with two it is unknown which one slipped."""
MAX_STD_DEV = 0.3
"""Relative standard deviation of visual odometry's translation over a stretch above which
direction and length are unknown."""
MAX_UNTRACKED = 2.0
"""Meters of odometry without visual odometry before a warning."""
STEP_STD_DEV = 0.15
"""Of visual odometry's translation in one frame where it is not given."""


@dataclass(slots=True)
class _Stretch:
    """The result of one stretch."""

    ratio: float
    """Log of odometry's distance over visual odometry's, which holds for near objects."""
    seen: float
    """Visual odometry's distance, in the unit of the depth."""
    driven: float
    """Odometry's distance, meters."""
    profile: np.ndarray
    """(2,) visual odometry's distance at REFERENCE and its slope over log depth,
    in the unit of the depth; NaN where unknown."""
    far: np.ndarray
    """(9,) log (z / REFERENCE) of the image's depths, at SHARES."""


class OdometrySource(ScaleSource):
    """Ratios of odometry to visual odometry over stretches with enough translation.

    Near objects move most in the image, so visual odometry's distance is in the scale of near objects, and a
    network can have those too near and the rest right. Therefore the distance is fitted as a function of
    depth (see Parallax), and the factor is the mean over the depths of the whole image. The difference
    between near objects and the whole image increases the standard deviation.

    Only translation gives a scale; a stretch of rotation alone gives no evidence. A stretch is dropped where
    either side is missing. It is rejected where odometry jumps, and where the two disagree in rotation or
    direction. The evidence is the mean of the recent stretches that agree with their median, weighted by
    visual odometry's distance: the wheels of a slipping robot turn while the image does not move.
    """

    name = ScaleOrigin.ODOMETRY
    memory = 4.0
    override_time = 2.0

    def __init__(self) -> None:
        super().__init__()
        self._recent: deque[_Stretch] = deque(maxlen=RECENT)
        self._previous: np.ndarray | None = None
        self._untracked = 0.0
        self._begin()

    def reset(self) -> None:
        self._recent.clear()
        self._previous, self._untracked = None, 0.0
        self._begin()

    def evidence(self, view: View) -> Evidence | None:
        self.problem = ""
        pose = self._pose(view.odometry)
        previous, self._previous = self._previous, pose
        if pose is None or previous is None:
            self._begin()
            return None
        if view.visual_odometry is None:
            self._count_untracked(float(np.linalg.norm(pose[:3, 3] - previous[:3, 3])))
            self._begin()
            return None
        self._untracked = 0.0
        if self._origin is None:
            self._origin = view.time
        step = np.linalg.inv(pose) @ previous
        length = float(np.linalg.norm(step[:3, 3]))
        if length > MAX_STEP:
            self.problem = f"Odometry jumps by {length:.2f} m in one frame; the stretch is rejected."
            self._begin()
            return None
        seen = float(np.linalg.norm(view.visual_odometry[:3, 3]))
        relative = (
            view.visual_odometry_std_dev if math.isfinite(view.visual_odometry_std_dev) else STEP_STD_DEV
        )
        self._odometry = step @ self._odometry
        self._visual = view.visual_odometry @ self._visual
        self._add_parallax(view)
        self._variance += (relative * seen) ** 2
        self._longest = max(self._longest, length)
        self._steps += 1
        return self._evaluate(view)

    def _add_parallax(self, view: View) -> None:
        """Add this frame to visual odometry's translation as a function of depth."""
        parallax: Parallax | None = None
        if view.corners is not None and self._is_profiled:
            parallax = find_parallax(*view.corners, view.camera.fx, view.visual_odometry)
        if parallax is None:
            self._is_profiled = False
            return
        self._middle = parallax.rotation @ self._middle + parallax.middle
        self._slope = parallax.rotation @ self._slope + parallax.slope

    def _count_untracked(self, length: float) -> None:
        """Add the distance that was driven without visual odometry, meters."""
        self._untracked += length
        if self._untracked > MAX_UNTRACKED:
            self.problem = (
                f"Odometry drove {self._untracked:.1f} m without visual odometry: the view is too dark, too "
                "plain or blurred, or the stabilizer is off."
            )

    def _evaluate(self, view: View) -> Evidence | None:
        """The evidence after a stretch that is complete; begins the next stretch."""
        driven = float(np.linalg.norm(self._odometry[:3, 3]))
        turned = float(np.linalg.norm(_rotation_vector(self._odometry[:3, :3])))
        wanted = FIRST_LENGTH if len(self._recent) < FIRST else LENGTH
        if driven < wanted or self._steps < MIN_STEPS:
            late = not 0 <= view.time - self._origin <= MAX_SECONDS or self._steps >= MAX_STEPS  # pyright: ignore[reportOperatorIssue]
            if late or turned > MAX_TURN:
                self._begin()
            return None
        if self._longest > JUMP * driven:
            self.problem = f"Odometry jumps by {self._longest:.2f} m in one frame; the stretch is rejected."
            self._begin()
            return None
        seen, course, mismatch = self._compare(driven, view.depth)
        # A wheel may spin on the spot: keep the ratio finite.
        seen = max(seen, 1e-3 * driven)
        relative = math.sqrt(self._variance) / seen
        known, spread = self._opinion()
        ratio = math.log(driven / seen)
        way = self._odometry[:3, 3] / driven
        profile = np.array([way @ self._middle, way @ self._slope]) if self._is_profiled else np.full(2, NAN)
        self.problem = self._rejection(driven, turned, relative, course, mismatch)
        self._begin()
        # With a spinning wheel, visual odometry's distance is too short and its relative deviation large.
        if self.problem or (relative > MAX_STD_DEV and not ratio > known + math.log(2)):
            return None
        outlier = len(self._recent) >= FIRST and abs(ratio - known) > OUTLIER * math.hypot(spread, relative)
        self._recent.append(_Stretch(ratio, seen, driven, profile, _depths(view.depth)))
        if outlier:
            self.problem = (
                f"Odometry and visual odometry disagree: the last {driven:.2f} m of odometry are "
                f"{math.exp(ratio - known):.2f} times as long as in the images; a wheel slips."
            )
        if len(self._recent) < FIRST:
            return None
        median, spread = self._opinion()
        # The mean of the stretches near the median has a lower variance than the median.
        near = [stretch for stretch in self._recent if abs(stretch.ratio - median) <= NEAR * spread]
        mean = float(np.average([s.ratio for s in near], weights=[s.seen for s in near]))
        deviation = max(spread, relative) / math.sqrt(len(near))
        profiled = [stretch for stretch in near if np.isfinite(stretch.profile).all()]
        if len(profiled) < PROFILED:
            return Evidence(mean, math.hypot(SYSTEMATIC, deviation), UNKNOWN_BEND)
        whole, whole_std_dev = _whole_image(profiled)
        bent, one_view = BENT * abs(whole - mean), ONE_VIEW / math.sqrt(len(profiled))
        return Evidence(whole, math.hypot(SYSTEMATIC, deviation), math.hypot(one_view, whole_std_dev, bent))

    def _opinion(self) -> tuple[float, float]:
        """Median and robust standard deviation of the recent stretches' log ratios."""
        if not self._recent:
            return NAN, NAN
        ratios, weights = np.array([(stretch.ratio, stretch.seen) for stretch in self._recent]).T
        median = weighted_median(ratios, weights)
        return median, max(AGREEMENT, 1.4826 * weighted_median(np.abs(ratios - median), weights))

    def _compare(self, driven: float, depth: np.ndarray) -> tuple[float, float, float]:
        """Visual odometry's distance along odometry's direction, in the unit of the depth; angle between the
        two directions and between the two rotations, radians.

        Visual odometry can confuse a small rotation with sideways translation at the depth of its corners.
        Where odometry's rotation explains the sideways difference, visual odometry is corrected by that part.
        """
        way, seen = self._odometry[:3, 3] / driven, self._visual[:3, 3]
        turn = _rotation_vector(self._odometry[:3, :3] @ self._visual[:3, :3].T)
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
    def _rejection(driven: float, turned: float, relative: float, course: float, mismatch: float) -> str:
        """Why the stretch is rejected, "" if it is not."""
        if relative > MAX_STD_DEV:
            return ""
        if mismatch > TURN_MISMATCH + TURN_PART * turned:
            return (
                f"Odometry turned by {turned:.2f} rad over {driven:.2f} m, visual odometry disagrees by "
                f"{mismatch:.2f} rad; check the camera's mounting pose and both clocks."
            )
        if course > COURSE_MISMATCH:
            return (
                f"The directions of odometry and visual odometry differ by {course:.2f} rad; check the "
                "camera's mounting pose (yaw first)."
            )
        return ""

    def _pose(self, odometry: np.ndarray | None) -> np.ndarray | None:
        """The pose as float64; None if it is missing or not a rigid pose."""
        if odometry is None:
            return None
        pose = np.asarray(odometry, np.float64)
        if not is_pose(pose):
            self.problem = "Odometry is not a pose: a (4, 4) matrix of a rotation and a position, all finite."
            return None
        return pose

    def _begin(self) -> None:
        """Begin a stretch at the current frame."""
        self._odometry, self._visual = np.eye(4), np.eye(4)
        self._variance = self._longest = 0.0
        self._steps = 0
        self._middle, self._slope, self._is_profiled = np.zeros(3), np.zeros(3), True
        self._origin: float | None = None


def _depths(depth: np.ndarray) -> np.ndarray:
    """(9,) log (z / REFERENCE) of a depth image at SHARES; NaN when no depth is known."""
    sample = depth[::8, ::8]
    known = sample[sample > 0]
    return np.log(np.quantile(known, SHARES) / REFERENCE) if known.size else np.full(len(SHARES), NAN)


def _whole_image(stretches: list[_Stretch]) -> tuple[float, float]:
    """The mean log factor over the image's depths,
    and its standard deviation by the jackknife over stretches."""
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
    whole_std_dev = math.sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))
    return float(factor(whole, np.asarray(total))), whole_std_dev


def _rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """(3,) axis times angle, radians, of a (3, 3) rotation."""
    return cv2.Rodrigues(rotation)[0].ravel()
