# SPDX-License-Identifier: Apache-2.0
"""Depth losses on (B, H, W) meters. Ground truth that is not finite and positive is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from clip2depth_ros.training.loss.warp import carry, in_front, inside, look_up, pixel_grid

SAME_SURFACE = 0.05  # largest |log ratio| of two depths of one surface


@dataclass(frozen=True)
class DepthLoss:
    """Scale-invariant log loss, plus its gradients at several scales, plus absolute log error for the scale.

    With d = log prediction - log ground truth:
    silog     weight of factor * sqrt(mean(d^2) - variance_focus * mean(d)^2)
    gradient  weight of the mean absolute difference of neighboring d, over `scales` halvings
    absolute  weight of the mean absolute d
    temporal  weight of the mean absolute disagreement, in log depth, between the predictions for two
              consecutive frames where both see the same surface; above 0, training takes pairs of frames
    """

    silog: float = 1.0
    gradient: float = 0.5
    absolute: float = 1.0
    temporal: float = 0.0
    variance_focus: float = 0.85
    factor: float = 10.0
    scales: int = 3

    def __call__(self, prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The loss of single frames, without `temporal_difference`, which needs pairs."""
        known = torch.isfinite(truth) & (truth > 0)
        error = torch.where(known, prediction.log() - torch.where(known, truth, 1.0).log(), 0.0)
        total = prediction.new_zeros(())
        if self.silog:
            total = total + self.silog * silog(error, known, self.variance_focus, self.factor)
        if self.gradient:
            total = total + self.gradient * gradient_difference(error, known, self.scales)
        if self.absolute:
            total = total + self.absolute * error.abs().sum() / known.sum().clamp(min=1)
        return total


def silog(error: torch.Tensor, known: torch.Tensor, variance_focus: float, factor: float) -> torch.Tensor:
    """Mean over images of the scale-invariant log loss. error: log differences, zero where unknown."""
    count = known.sum((1, 2)).clamp(min=1)
    square, mean = error.square().sum((1, 2)) / count, error.sum((1, 2)) / count
    return factor * (square - variance_focus * mean.square()).clamp(min=1e-6).sqrt().mean()


def gradient_difference(error: torch.Tensor, known: torch.Tensor, scales: int) -> torch.Tensor:
    """Mean absolute step of the log error between neighboring known pixels, over `scales` subsamplings."""
    total = error.new_zeros(())
    for scale in range(scales):
        e, k = error[:, :: 2**scale, :: 2**scale], known[:, :: 2**scale, :: 2**scale]
        for axis in (1, 2):
            length = e.shape[axis] - 1
            both = k.narrow(axis, 0, length) & k.narrow(axis, 1, length)
            step = (e.narrow(axis, 1, length) - e.narrow(axis, 0, length)).abs() * both
            total = total + step.sum() / both.sum().clamp(min=1)
    return total / (2 * scales)


def temporal_difference(
    first: torch.Tensor,
    second: torch.Tensor,
    first_truth: torch.Tensor,
    second_truth: torch.Tensor,
    motion: torch.Tensor,
    intrinsics: torch.Tensor,
    flow: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean absolute log difference between the predictions for consecutive frames, where both see a surface.

    first, second, and their ground truth: (B, H, W). motion (B, 4, 4) and intrinsics (B, 3, 3): see `carry`.
    Pairs whose motion is NaN use flow (B, H, W, 2) in pixels, NaN where it is not reliable, and are ignored
    without it. Zero if no pixel is seen twice.
    """
    moved = torch.isfinite(motion).flatten(1).all(1)
    still = torch.eye(4, dtype=motion.dtype, device=motion.device)
    motion = torch.where(moved[:, None, None], motion, still)
    back = torch.linalg.inv(motion.double()).to(motion.dtype)
    found = [
        by_motion(first, second, first_truth, second_truth, motion, intrinsics, moved),
        by_motion(second, first, second_truth, first_truth, back, intrinsics, moved),
    ]
    if flow is not None:
        found.append(by_flow(first, second, first_truth, second_truth, flow, ~moved))
    total: Any = sum(difference.sum() for difference, _ in found)
    pixels: Any = sum(seen.sum() for _, seen in found)
    return total / pixels.clamp(min=1)


def by_motion(first, second, first_truth, second_truth, motion, intrinsics, use):
    """Log difference (B, H, W), zero where unseen, and the mask of seen pixels; the first frame is warped
    into the second.

    A pixel is warped by its ground-truth depth, or by its predicted depth where that is unknown. It is seen
    if it lies in the second image, is not occluded there, and the ground truth there, where known, is of the
    same surface.
    """
    known = torch.isfinite(first_truth) & (first_truth > 0)
    place, depth = carry(first, motion, intrinsics)
    true_place, true_depth = carry(torch.where(known, first_truth, torch.nan), motion, intrinsics)
    place = torch.where(known[..., None], true_place, place)
    landed = torch.where(known, true_depth, depth)
    there = look_up(torch.where(second_truth > 0, second_truth, torch.nan), place, mode="nearest")
    other = known & torch.isfinite(there) & ((landed / there).log().abs() > SAME_SURFACE)
    seen = in_front(place.detach(), landed.detach(), SAME_SURFACE) & torch.isfinite(depth) & ~other
    seen = seen & use[:, None, None]
    return _difference(depth, look_up(second.log(), place), seen), seen


def by_flow(first, second, first_truth, second_truth, flow, use):
    """The same along the optical flow, for pairs of unknown motion.

    Depth is expected to change along the flow as the ground truth does, so only pixels with ground truth in
    both frames count.
    """
    place = pixel_grid(first) + flow
    seen = inside(place) & use[:, None, None]
    place = torch.where(seen[..., None], place, torch.zeros_like(place))
    there = look_up(torch.where(second_truth > 0, second_truth, torch.nan), place, mode="nearest")
    change = there / torch.where(first_truth > 0, first_truth, torch.nan)
    seen = seen & torch.isfinite(change)
    expected = first * torch.where(seen, change, torch.ones_like(change))
    return _difference(expected, look_up(second.log(), place), seen), seen


def _difference(depth: torch.Tensor, log_other: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """|log depth - log_other| where seen, else zero, without NaN in the gradient."""
    one, zero = torch.ones_like(depth), torch.zeros_like(depth)
    return (torch.where(seen, depth, one).log() - torch.where(seen, log_other, zero)).abs()
