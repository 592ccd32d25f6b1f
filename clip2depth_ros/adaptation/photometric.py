# SPDX-License-Identifier: Apache-2.0
"""Photometric residual of two images under depth and motion: a loss without ground-truth depth.

Images are (B, C, H, W) float in 0..1, depth is (B, H, W) meters, motion (B, 4, 4), intrinsics (B, 3, 3).
"""

from __future__ import annotations

import torch
from torch.nn import functional

from clip2depth_ros.training.loss.warp import carry, inside, look_up

SSIM_SHARE = 0.85
C1, C2 = 0.01**2, 0.03**2


def difference(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(B, H, W): 0.85 structural dissimilarity (3x3) + 0.15 absolute difference, 0 for equal images."""
    mean1, mean2 = _mean3(first), _mean3(second)
    var1 = _mean3(first.square()) - mean1.square()
    var2 = _mean3(second.square()) - mean2.square()
    cov = _mean3(first * second) - mean1 * mean2
    ssim = (2 * mean1 * mean2 + C1) * (2 * cov + C2)
    ssim = ssim / ((mean1.square() + mean2.square() + C1) * (var1 + var2 + C2))
    dissimilarity = ((1 - ssim) / 2).clamp(0, 1).mean(1)
    return SSIM_SHARE * dissimilarity + (1 - SSIM_SHARE) * (first - second).abs().mean(1)


def warped(
    source: torch.Tensor, depth: torch.Tensor, motion: torch.Tensor, intrinsics: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """`source` warped into the view of `depth`.

    Returns image (B, C, H, W), whether each pixel is inside the source (B, H, W), its place there (B, H, W,
    2), and its depth there (B, H, W).
    """
    place, there = carry(depth, motion, intrinsics)
    within = inside(place)
    height, width = depth.shape[-2:]
    size = place.new_tensor([width - 1, height - 1])
    grid = torch.where(within[..., None], place, torch.zeros_like(place)) / size * 2 - 1
    image = functional.grid_sample(source, grid, padding_mode="border", align_corners=True)
    return image, within, place, there


def match_brightness(image: torch.Tensor, target: torch.Tensor, use: torch.Tensor) -> torch.Tensor:
    """`image` with a gain and an offset per image that match its brightness to `target`.

    Fitted to mean and standard deviation over the pixels of `use` (B, H, W); the gain is 0.5 to 2.
    """
    weight = use[:, None].to(image.dtype)
    count = weight.sum((1, 2, 3), keepdim=True).clamp(min=1) * image.shape[1]
    mean_i = (image * weight).sum((1, 2, 3), keepdim=True) / count
    mean_t = (target * weight).sum((1, 2, 3), keepdim=True) / count
    var_i = ((image - mean_i).square() * weight).sum((1, 2, 3), keepdim=True) / count
    var_t = ((target - mean_t).square() * weight).sum((1, 2, 3), keepdim=True) / count
    gain = ((var_t + 1e-4) / (var_i + 1e-4)).sqrt().clamp(0.5, 2.0).detach()
    return (image - mean_i.detach()) * gain + mean_t


def log_disagreement(
    place: torch.Tensor, there: torch.Tensor, source_depth: torch.Tensor, use: torch.Tensor
) -> torch.Tensor:
    """(B, H, W): |log| of warped depth / the source's depth at that place; zero where not `use`."""
    other = look_up(source_depth.log(), torch.where(use[..., None], place, torch.nan))
    one, zero = torch.ones_like(there), torch.zeros_like(there)
    return (torch.where(use, there, one).log() - torch.where(use, other, zero)).abs()


def roughness(depth: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Mean step of log depth between neighboring pixels, where the image has no edge."""
    log = depth.log()
    total = log.new_zeros(())
    for axis in (1, 2):
        length = log.shape[axis] - 1
        step = (log.narrow(axis, 1, length) - log.narrow(axis, 0, length)).abs()
        edge = (image.narrow(axis + 1, 1, length) - image.narrow(axis + 1, 0, length)).abs().mean(1)
        total = total + (step * torch.exp(-10 * edge)).mean()
    return total


def shape_change(depth: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """Mean absolute log ratio to an old depth, without each image's factor."""
    ratio = depth.log() - old.log()
    return (ratio - ratio.mean((1, 2), keepdim=True)).abs().mean()


def _mean3(image: torch.Tensor) -> torch.Tensor:
    """Mean over 3x3 pixels; on a CPU faster than avg_pool2d."""
    padded = functional.pad(image, (1, 1, 1, 1), mode="reflect")
    rows = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9
