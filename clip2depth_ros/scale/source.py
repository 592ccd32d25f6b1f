# SPDX-License-Identifier: Apache-2.0
"""What every source of scale has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.images.frame import NAN, Floor
from clip2depth_ros.images.origins import ScaleOrigin


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a source says about the factor from the depth's metres to the robot's."""

    log_scale: float
    """Natural logarithm of the factor."""
    deviation: float
    """Standard deviation of log_scale, which is the factor's relative one."""
    doubt: float = 0.0
    """Further deviation that all of the source's evidence shares: whether what it saw holds for the whole
    image. It tells how far the factor is to be trusted, and not which evidence contradicts which."""


@dataclass(slots=True)
class View:
    """One frame as the sources see it, before any scaling."""

    depth: np.ndarray
    """(h, w) float32, the depth's own metres, NaN = unknown."""
    camera: Camera
    """Of the depth, rectified."""
    time: float
    """Seconds, of the frames' clock."""
    vision: np.ndarray | None = None
    """(4, 4): points of the previous frame's optical frame into this one's, in the depth's own metres."""
    vision_deviation: float = NAN
    """Relative standard deviation of vision's translation."""
    odometry: np.ndarray | None = None
    """(4, 4): optical frame to odometry's fixed frame, metres."""
    ranges: np.ndarray | None = None
    """(N, 3): points of other sensors in the optical frame, metres."""
    floor: Floor | None = None
    """The floor as found in depth, in the depth's own metres."""
    up: np.ndarray | None = None
    """(3,) unit vector: up as mounting or gravity have it, optical frame."""
    corners: tuple[np.ndarray, np.ndarray] | None = None
    """What vision rests on: (n, 3) points of the previous optical frame, in the depth's own metres, and (n,
    2), x / z and y / z of where they are seen in this one."""


class ScaleSource(ABC):
    """One thing that a robot knows about size.

    name: as in Scale.source.
    memory: seconds over which its errors stay the same, so that frames within them are one opinion.
    patience: seconds for which it must contradict the estimate, alone and with one voice, to be believed.
    complaint: why the last frame's hint was refused, one sentence; "" when it was not.
    """

    name: ScaleOrigin
    memory: float
    patience: float

    def __init__(self) -> None:
        self.complaint = ""

    @abstractmethod
    def evidence(self, view: View) -> Evidence | None:
        """What this frame adds; None when it adds nothing. Called for every frame in its order."""

    def reset(self) -> None:  # noqa: B027 - a source that keeps nothing has nothing to forget
        """Forget what was gathered from earlier frames."""


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Where half of the weight lies on either side, between the two values at the middle."""
    order = np.argsort(values)
    middle = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(weights.sum() / 2, middle, values[order]))
