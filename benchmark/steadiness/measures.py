# SPDX-License-Identifier: Apache-2.0
"""The columns of the table; every row uses the same pixels: those with known raw depth and ground truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.steadiness.methods import Outcome
from benchmark.steadiness.sequences import FrameSequence
from clip2depth_ros.metrics.temporal import Match, opw, rtc, sequence_tae

AGES = (1, 3, 10)
"""Frames since a pixel began to move: the first frame with motion is number 1."""
LAG_FRAMES = 15
"""Number of frames for which a pixel is tracked after a body came or left."""
STEP = 0.1
"""Smallest change of log depth that counts as a body's arrival or departure."""


def abs_rel(depths: Sequence[np.ndarray], sequence: FrameSequence) -> float:
    """Mean over the frames of the mean |depth - truth| / truth."""
    errors = []
    for depth, raw, truth in zip(depths, sequence.raw, sequence.truth, strict=True):
        known = np.isfinite(truth) & np.isfinite(raw) & np.isfinite(depth)
        if known.any():
            errors.append(np.mean(np.abs(depth[known] - truth[known]) / truth[known]))
    return float(np.mean(errors))


def standing(depths: Sequence[np.ndarray], sequence: FrameSequence) -> list[np.ndarray]:
    """The depths where raw is known and nothing moves by itself, NaN elsewhere."""
    kept = []
    for index, depth in enumerate(depths):
        ignored = np.isnan(sequence.raw[index])
        if sequence.moving is not None:
            ignored = ignored | sequence.moving[index]
        kept.append(np.where(ignored, np.float32(np.nan), depth))
    return kept


def tae_of(depths: Sequence[np.ndarray], sequence: FrameSequence, stride: int) -> float:
    """TAE with the true poses, in meters without scaling, over the static pixels."""
    return sequence_tae(standing(depths, sequence), sequence.camera, sequence.poses, stride)


def flow_measures(depths: Sequence[np.ndarray], matches: Sequence[Match]) -> tuple[float, float]:
    """Means of OPW, meters, and rTC over consecutive frames."""
    each = [
        (opw(a, b, match), rtc(a, b, match)) for a, b, match in zip(depths, depths[1:], matches, strict=False)
    ]
    return tuple(np.nanmean(each, axis=0).tolist())


class Newcomers:
    """For every pixel of a sequence: time since it became, or ceased to be, part of a moving body."""

    def __init__(self, sequence: FrameSequence) -> None:
        self.sequence = sequence
        self.age: list[np.ndarray] = []
        """(H, W) int, frames since the change, 1 in the first one; 0 before any change."""
        self.before: list[np.ndarray] = []
        """(H, W) float32, true depth of the pixel in the frame before the change, meters."""
        age = np.zeros(sequence.moving[0].shape, int)
        before = np.full(age.shape, np.nan, np.float32)
        for index, moving in enumerate(sequence.moving):
            last = max(0, index - 1)
            changed = moving != sequence.moving[last]
            age = np.where(changed, 1, np.where(age > 0, age + 1, 0))
            before = np.where(changed, sequence.truth[last], before)
            self.age.append(age)
            self.before.append(before)

    def errors(self, depths: Sequence[np.ndarray], first: int, last: int | None = None) -> np.ndarray:
        """(N,) |depth - truth| / truth of moving pixels in their first-th to last-th (or any later) frame."""
        found = []
        for depth, age, moving, truth in zip(
            depths, self.age, self.sequence.moving, self.sequence.truth, strict=True
        ):
            chosen = moving & (age >= first) & np.isfinite(depth) & np.isfinite(truth)
            if last is not None:
                chosen &= age <= last
            found.append(np.abs(depth[chosen] - truth[chosen]) / truth[chosen])
        return np.concatenate(found)

    def missing(self, depths: Sequence[np.ndarray], arriving: bool) -> np.ndarray:
        """(2, LAG_FRAMES): by age, the missing part of the change to the new depth, and the whole change.

        Both are sums of log depth over the pixels where a moving body arrives, or (ghosts) leaves.
        """
        sums = np.zeros((2, LAG_FRAMES))
        for index, depth in enumerate(depths):
            age, truth = self.age[index], self.sequence.truth[index]
            with np.errstate(invalid="ignore"):
                step = np.log(self.before[index] / truth)
                chosen = (age > 0) & (age <= LAG_FRAMES) & (self.sequence.moving[index] == arriving)
                chosen &= (np.abs(step) > STEP) & np.isfinite(depth)
            late = np.sign(step[chosen]) * np.log(depth[chosen] / truth[chosen])
            sums[0] += np.bincount(age[chosen] - 1, late, LAG_FRAMES)
            sums[1] += np.bincount(age[chosen] - 1, np.abs(step[chosen]), LAG_FRAMES)
        return sums


def moving_error(outcomes: Sequence[Outcome], newcomers: Sequence[Newcomers], *ages: int) -> float:
    """Mean of errors over all sequences; ages: first, and last if given."""
    return float(
        np.mean(np.concatenate([n.errors(o.depths, *ages) for o, n in zip(outcomes, newcomers, strict=True)]))
    )


def lag(outcomes: Sequence[Outcome], newcomers: Sequence[Newcomers], *, arriving: bool) -> float:
    """Delay of depth in frames where a body arrives, or where it leaves (a ghost).

    The missing part of the change to the new depth, summed over the first LAG_FRAMES frames: an exponential
    average of weight w has (1 - w) / w, raw depth about 0, because errors in both directions cancel.
    """
    way = sum(n.missing(o.depths, arriving) for o, n in zip(outcomes, newcomers, strict=True))
    return float(np.sum(way[0] / np.maximum(way[1], 1e-9)))


def milliseconds(outcomes: Sequence[Outcome]) -> float:
    """Median per frame, without the first frames, which allocate buffers."""
    return 1e3 * float(np.median(np.concatenate([outcome.seconds[3:] for outcome in outcomes])))
