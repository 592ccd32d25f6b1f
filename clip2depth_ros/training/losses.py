# SPDX-License-Identifier: Apache-2.0
"""Depth losses, on (B, H, W) metres; where the truth is not finite and positive, it is unknown."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class DepthLoss:
    """Scale-invariant log loss, plus its gradients at several scales, plus plain log error for the metre.

    With d = log prediction - log truth:
    silog     weight of factor * sqrt(mean(d^2) - variance_focus * mean(d)^2)
    gradient  weight of the mean absolute difference of neighbouring d, over `scales` halvings
    absolute  weight of the mean absolute d
    """

    silog: float = 1.0
    gradient: float = 0.5
    absolute: float = 1.0
    variance_focus: float = 0.85
    factor: float = 10.0
    scales: int = 3

    def __call__(self, prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
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
    """Scale-invariant log loss, per image, then the mean. error: log differences, zero where unknown."""
    count = known.sum((1, 2)).clamp(min=1)
    square, mean = error.square().sum((1, 2)) / count, error.sum((1, 2)) / count
    return factor * (square - variance_focus * mean.square()).clamp(min=1e-6).sqrt().mean()


def gradient_difference(error: torch.Tensor, known: torch.Tensor, scales: int) -> torch.Tensor:
    """Mean absolute step of the log error between neighbouring known pixels, over `scales` subsamplings."""
    total = error.new_zeros(())
    for scale in range(scales):
        e, k = error[:, :: 2**scale, :: 2**scale], known[:, :: 2**scale, :: 2**scale]
        for axis in (1, 2):
            length = e.shape[axis] - 1
            both = k.narrow(axis, 0, length) & k.narrow(axis, 1, length)
            step = (e.narrow(axis, 1, length) - e.narrow(axis, 0, length)).abs() * both
            total = total + step.sum() / both.sum().clamp(min=1)
    return total / (2 * scales)
