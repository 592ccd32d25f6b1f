# SPDX-License-Identifier: Apache-2.0
"""The interface of a scale source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import NAN, Floor
from clip2depth_ros.images.origins import ScaleOrigin


@dataclass(frozen=True, slots=True)
class Evidence:
    """A source's measurement of the factor from the network's depth to meters."""

    log_scale: float
    """Natural logarithm of the factor."""
    deviation: float
    """Standard deviation of log_scale, which is the relative one of the factor."""
    shared_std_dev: float = 0.0
    """Standard deviation that all of the source's evidence shares, because it may not hold for the whole
    image. It counts in the uncertainty of the factor, but not in the gate."""


@dataclass(slots=True)
class View:
    """One frame as input of the sources, before scaling."""

    depth: np.ndarray
    """(h, w) float32, in the network's unit, NaN = unknown."""
    camera: Camera
    """Of the depth, rectified."""
    time: float
    """Seconds, of the frames' clock."""
    visual_odometry: np.ndarray | None = None
    """(4, 4): points of the previous frame's optical frame into this one's, in the unit of the depth."""
    visual_odometry_std_dev: float = NAN
    """Relative standard deviation of its translation."""
    odometry: np.ndarray | None = None
    """(4, 4): optical frame to odometry's fixed frame, meters."""
    ranges: np.ndarray | None = None
    """(N, 3): points of other sensors in the optical frame, meters."""
    floor: Floor | None = None
    """The floor detected in the depth, in the unit of the depth."""
    up: np.ndarray | None = None
    """(3,) unit vector up, from mounting or gravity, optical frame."""
    corners: tuple[np.ndarray, np.ndarray] | None = None
    """Input of visual odometry: (n, 3) points of the previous optical frame, in the unit of the depth, and
    (n, 2), x / z and y / z of their positions in this one."""


class ScaleSource(ABC):
    """A source of evidence about the scale.

    name: value of Scale.source.
    memory: seconds over which its errors are correlated, so that frames within them count as one observation.
    override_time: seconds for which it must contradict the estimate consistently, without support of the
        estimate by another source, to override the estimate.
    problem: why the last frame's measurement was rejected, one sentence; "" when it was not.
    """

    name: ScaleOrigin
    memory: float
    override_time: float

    def __init__(self) -> None:
        self.problem = ""

    @abstractmethod
    def evidence(self, view: View) -> Evidence | None:
        """The evidence of this frame; None without. Called for every frame, in order of time."""

    def reset(self) -> None:  # noqa: B027 - a source without state need not override it
        """Drop the state from earlier frames."""


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted median, interpolated between the two middle values."""
    order = np.argsort(values)
    middle = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(weights.sum() / 2, middle, values[order]))
