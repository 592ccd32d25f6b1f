# SPDX-License-Identifier: Apache-2.0
"""The loss of adaptation on pairs of keyframes, and the measures of held-out keyframes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from clip2depth_ros.adaptation.floor import FloorPixels
from clip2depth_ros.adaptation.photometric import (
    difference,
    log_disagreement,
    match_brightness,
    roughness,
    shape_change,
    warped,
)
from clip2depth_ros.adaptation.recording import Keyframes
from clip2depth_ros.adaptation.views import SOURCES, motion_between
from clip2depth_ros.network import Clip2Depth
from clip2depth_ros.training.loss.losses import DepthLoss
from clip2depth_ros.training.loss.warp import carry, inside

MOST_APART, MOST_APART_OVERLAPPING = 0.5, 0.4
"""Log difference of two depths above which one view hides what the other shows: of views that see each other,
and of views that only overlap."""
NO_PLACE = 10.0
"""Photometric residual of a pixel outside the other view: larger than any inside it."""
ODOMETRY_RATE = 30.0
"""How many times as fast as a weight the logarithm of the odometry's factor may change in a step."""
ODOMETRY_PRIOR = 0.2
"""Loss of a log factor of 1, and with its square of others: without evidence it stays 0."""
BATCH = 12
"""Images per decoder pass without gradient."""


@dataclass(frozen=True)
class Weights:
    """Weights of the parts of the loss; the photometric residual, relative to its old level, has weight 1.

    consistency  mean log difference of the depths of both views
    overlap      of the loss of views without sources: mean log difference from the depth of a view that
                 overlaps, roughness, shape and floor
    floor        mean log difference of the floor's depth from that given by the camera's height
    roughness    of log depth where the image has no edge
    shape        mean log difference from the old depth, without each image's factor
    rehearsal    of the loss on views of other places
    """

    consistency: float = 0.7
    overlap: float = 0.5
    floor: float = 0.5
    roughness: float = 0.13
    shape: float = 0.27
    rehearsal: float = 1.0


@dataclass
class Views:
    """Numbers of the keyframes of one step: targets are pairs (2 i, 2 i + 1) that see each other.

    targets (B,); sources (B, SOURCES), the first one is the pair's other view; alone (A,) keyframes without
    sources, and overlapping (A,) one that overlaps each; elsewhere (E,) numbers of views of other places.
    """

    targets: np.ndarray
    sources: np.ndarray
    alone: np.ndarray
    overlapping: np.ndarray
    elsewhere: np.ndarray


class Objective(nn.Module):
    """The loss of a step. The network stays in evaluation mode, so that batch norms keep their statistics.

    taps: per tap (N, C, h, w) float16; old: (N, h, w) float32 meters, the old network's depth at the inner
    size. level: photometric residual of the old network, which depends on the amount of texture. elsewhere:
    taps (E, ...) and depth (E, H, W) in canonical meters of views of other places, or None. floor: pixels of
    known depth, or None; with them, a factor of the odometry is trained too.
    """

    intrinsics: torch.Tensor

    def __init__(
        self,
        network: Clip2Depth,
        frames: Keyframes,
        taps: Sequence[np.ndarray],
        old: np.ndarray,
        weights: Weights,
        level: float = 1.0,
        refined: dict[tuple[int, int], np.ndarray] | None = None,
        elsewhere: tuple[Sequence[np.ndarray], np.ndarray] | None = None,
        floor: FloorPixels | None = None,
    ) -> None:
        super().__init__()
        self.network, self.weights, self.level = network, weights, level
        self.refined = refined or {}
        self._frames, self._taps, self._old, self._elsewhere = frames, taps, old, elsewhere
        rows, columns = frames.inner
        self._gray = np.stack(
            [cv2.cvtColor(np.ascontiguousarray(i[rows, columns]), cv2.COLOR_RGB2GRAY) for i in frames.images]
        )
        camera = frames.camera
        k = [[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]]
        self.register_buffer("intrinsics", torch.tensor(k, dtype=torch.float32), persistent=False)
        self.floor = floor
        self.odometry_change = nn.Parameter(torch.zeros(()), requires_grad=floor is not None)
        self._rehearsed = DepthLoss(silog=0.3, gradient=0.5, absolute=1.0)

    def train(self, mode: bool = True) -> Objective:
        super().train(mode)
        self.network.eval()
        return self

    @property
    def elsewhere_count(self) -> int:
        """How many views of other places there are to rehearse."""
        return 0 if self._elsewhere is None else len(self._elsewhere[1])

    @property
    def odometry_factor(self) -> float:
        """How many times too long the odometry is, by the floor; 1 without one."""
        return float(self._odometry_log_factor.detach().exp())

    @property
    def _odometry_log_factor(self) -> torch.Tensor:
        return ODOMETRY_RATE * self.odometry_change

    @property
    def device(self) -> torch.device:
        return self.intrinsics.device

    def depth(self, numbers: np.ndarray) -> torch.Tensor:
        """(B, h, w) meters of the camera, at the inner size."""
        taps = [torch.from_numpy(np.asarray(t[numbers])).to(self.device).float() for t in self._taps]
        depth = self.network.decode(taps) * self._frames.focal_scale
        return depth[:, self._frames.inner[0], self._frames.inner[1]]

    @torch.no_grad()
    def depths(self, numbers: np.ndarray) -> np.ndarray:
        """(B, h, w) float32 meters of many, a few at a time."""
        parts = [self.depth(numbers[i : i + BATCH]).cpu().numpy() for i in range(0, len(numbers), BATCH)]
        return np.concatenate(parts)

    def images(self, numbers: np.ndarray) -> torch.Tensor:
        """(B, 1, h, w) float 0..1, gray, at the inner size: color would take three times as long."""
        return torch.from_numpy(self._gray[numbers][:, None]).to(self.device).float() / 255

    def motions(self, first: np.ndarray, second: np.ndarray) -> torch.Tensor:
        """(B, 4, 4): points of each first view into its second."""
        poses = self._frames.poses
        found = [
            self.refined[int(a), int(b)]
            if (int(a), int(b)) in self.refined
            else motion_between(poses[a], poses[b])
            for a, b in zip(first, second, strict=True)
        ]
        motions = torch.tensor(np.stack(found), dtype=torch.float32, device=self.device)
        if self.floor is None:
            return motions
        length = torch.ones(4, 4, device=self.device)
        length[:3, 3] = torch.exp(-self._odometry_log_factor)
        return motions * length

    def forward(self, batch: Views, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of a step and its parts."""
        targets, sources = batch.targets, batch.sources
        image, depth = self.images(targets), self.depth(targets)
        swapped = torch.arange(len(targets), device=self.device) ^ 1
        errors, still, consistency = [], [], None
        for k in range(sources.shape[1]):
            other = self.images(sources[:, k])
            found = self.compare(image, depth, other, self.motions(targets, sources[:, k]))
            errors.append(found.error)
            still.append(found.still)
            if k == 0:
                consistency = _apart(found.place, found.there, depth[swapped], found.inside, MOST_APART)
        error, same = torch.stack(errors).amin(0), torch.stack(still).amin(0)
        moving = error.detach() < same
        photometric = (error * moving).sum() / moving.sum().clamp(min=1)
        old = torch.from_numpy(self._old[targets]).to(self.device)
        parts = {
            "photometric": photometric,
            "consistency": consistency,
            "roughness": roughness(depth, image),
            "shape": shape_change(depth, old),
        }
        w = self.weights
        loss = (
            parts["photometric"] / self.level
            + w.consistency * parts["consistency"]
            + w.roughness * parts["roughness"]
            + w.shape * parts["shape"]
        )
        if self.floor is not None:
            parts["floor"] = self.floor.errors(targets, depth).mean()
            loss = loss + w.floor * parts["floor"] + ODOMETRY_PRIOR * self._odometry_log_factor.square()
        if len(batch.alone):
            parts["overlap"], smooth = self._overlap(batch.alone, batch.overlapping)
            loss = loss + w.overlap * (parts["overlap"] + smooth)
        if self._elsewhere is not None and len(batch.elsewhere):
            taps, truth = self._elsewhere
            taps = [torch.from_numpy(t[batch.elsewhere]).to(self.device).float() for t in taps]
            truth = torch.from_numpy(truth[batch.elsewhere]).to(self.device)
            parts["elsewhere"] = self._rehearsed(self.network.decode(taps), truth)
            loss = loss + w.rehearsal * parts["elsewhere"]
        return loss, {name: float(value.detach()) for name, value in parts.items()}

    def _overlap(self, targets: np.ndarray, others: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean log difference of the depths of `targets` from those of `others`, and the weighted roughness,
        change of shape and error of the floor of `targets`.

        The depth of `others` gets no gradient: it is the better one.
        """
        depth = self.depth(targets)
        with torch.no_grad():
            other = self.depth(others)
        intrinsics = self.intrinsics.expand(len(targets), 3, 3)
        place, there = carry(depth, self.motions(targets, others), intrinsics)
        apart = _apart(place, there, other, inside(place), MOST_APART_OVERLAPPING)
        old = torch.from_numpy(self._old[targets]).to(self.device)
        smooth = self.weights.roughness * roughness(depth, self.images(targets))
        smooth = smooth + self.weights.shape * shape_change(depth, old)
        if self.floor is not None:
            smooth = smooth + self.weights.floor * self.floor.errors(targets, depth).mean()
        return apart, smooth

    def compare(
        self, image: torch.Tensor, depth: torch.Tensor, other: torch.Tensor, motion: torch.Tensor
    ) -> Comparison:
        """Compare `image` with `other`, warped by depth and motion, and with `other` unwarped."""
        intrinsics = self.intrinsics.expand(len(image), 3, 3)
        seen, within, place, there = warped(other, depth, motion, intrinsics)
        seen = match_brightness(seen, image, within)
        error = torch.where(within, difference(image, seen), NO_PLACE)
        with torch.no_grad():
            everywhere = torch.ones_like(within)
            still = difference(image, match_brightness(other, image, everywhere))
        return Comparison(error, still, within, place, there)

    @torch.no_grad()
    def judge(self, numbers: np.ndarray, sources: np.ndarray, depths: np.ndarray) -> dict[str, np.ndarray]:
        """Per keyframe (B,): photometric residual and geometric inconsistency with its sources, and where the
        floor is known, the error of its depth.

        numbers (B,), sources (B, S), depths (N, h, w) meters by keyframe number. A pixel counts by the best
        of its sources, at most with the residual without warp, because moving objects cannot be explained.
        """
        photometric, consistency, floor = [], [], []
        for begin in range(0, len(numbers), BATCH):
            targets = numbers[begin : begin + BATCH]
            image = self.images(targets)
            depth = torch.from_numpy(depths[targets]).to(self.device)
            best, agree = None, []
            for k in range(sources.shape[1]):
                others = sources[begin : begin + BATCH, k]
                found = self.compare(image, depth, self.images(others), self.motions(targets, others))
                error = torch.minimum(found.error, found.still)
                best = error if best is None else torch.minimum(best, error)
                near = found.inside & torch.isfinite(found.there)
                there = torch.from_numpy(depths[others]).to(self.device)
                apart = log_disagreement(found.place, found.there, there, near).clamp(max=MOST_APART)
                agree.append(apart.sum((1, 2)) / near.sum((1, 2)).clamp(min=1))
            photometric.append(best.mean((1, 2)))
            consistency.append(torch.stack(agree).mean(0))
            if self.floor is not None:
                floor.append(self.floor.errors(targets, depth))
        found = {"photometric": photometric, "consistency": consistency, "floor": floor}
        return {name: torch.cat(parts).cpu().numpy() for name, parts in found.items() if parts}


@dataclass
class Comparison:
    """Comparison of one source with its target, each (B, H, W)."""

    error: torch.Tensor
    """Photometric residual after the warp; NO_PLACE where the pixel is outside the source."""
    still: torch.Tensor
    """Photometric residual without a warp."""
    inside: torch.Tensor
    place: torch.Tensor
    there: torch.Tensor


def _apart(
    place: torch.Tensor, there: torch.Tensor, other: torch.Tensor, within: torch.Tensor, most: float
) -> torch.Tensor:
    """Mean log difference, at most `most` per pixel, of depth `there` from another view's at `place`."""
    near = within & torch.isfinite(there)
    return log_disagreement(place, there, other, near).clamp(max=most).sum() / near.sum().clamp(min=1)


def choose_views(
    sources: list[np.ndarray],
    overlapping: list[np.ndarray],
    paired: np.ndarray,
    turned: np.ndarray,
    pairs: int,
    alone: int,
    elsewhere: int,
    of_elsewhere: int,
    rng: np.random.Generator,
) -> Views:
    """A step's views: `pairs` pairs, each target with SOURCES sources, and `alone` without.

    paired, turned: numbers of the keyframes to train on that have sources, and that have only overlapping
    ones.
    """
    targets, chosen = [], []
    for first in rng.choice(paired, pairs, replace=len(paired) < pairs):
        second = int(rng.choice(sources[first]))
        for target, other in ((first, second), (second, first)):
            more = rng.permutation(sources[target])[: SOURCES - 1]
            row = np.concatenate([[other], more, np.full(SOURCES - 1 - len(more), other)])
            targets.append(target)
            chosen.append(row)
    single = rng.choice(turned, min(alone, len(turned)), replace=False)
    others = np.array([rng.choice(overlapping[i]) for i in single], np.int64)
    rehearsed = rng.integers(0, of_elsewhere, elsewhere) if of_elsewhere else np.empty(0, np.int64)
    return Views(np.array(targets), np.array(chosen, np.int64), single, others, rehearsed)
