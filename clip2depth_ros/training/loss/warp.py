# SPDX-License-Identifier: Apache-2.0
"""Differentiable warping of a depth map into the next frame, and which points are visible there.

Depth is (B, H, W) in meters along the optical axis. Places are (B, H, W, 2) pixels (x, y), with pixel centers
at integers.
"""

from __future__ import annotations

import torch
from torch.nn import functional

NEAREST = 1e-3  # meters; points nearer than this, or behind the camera, are not in the image


def pixel_grid(depth: torch.Tensor) -> torch.Tensor:
    """(H, W, 2) float32: the place of every pixel."""
    height, width = depth.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=depth.device),
        torch.arange(width, dtype=torch.float32, device=depth.device),
        indexing="ij",
    )
    return torch.stack([x, y], -1)


def carry(
    depth: torch.Tensor, motion: torch.Tensor, intrinsics: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The points of `depth` in the next frame: place (B, H, W, 2) and depth (B, H, W).

    motion: (B, 4, 4), points of this frame's camera into the next one's, in the meters of `depth`.
    intrinsics: (B, 3, 3) pixels, of both frames. A point that is not in front of the next camera is NaN.
    """
    motion, intrinsics = motion.to(depth.dtype), intrinsics.to(depth.dtype)
    focal = torch.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], -1)[:, None, None]
    center = intrinsics[:, :2, 2][:, None, None]
    rays = (pixel_grid(depth) - center) / focal
    points = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) * depth[..., None]
    # broadcast, not matmul: faster for three numbers per point, and autocast would round a matrix product
    rotation = motion[:, None, None, :3, :3]
    moved = (rotation * points[..., None, :]).sum(-1) + motion[:, None, None, :3, 3]
    ahead = moved[..., 2] > NEAREST
    z = torch.where(ahead, moved[..., 2], torch.ones_like(moved[..., 2]))
    place = moved[..., :2] / z[..., None] * focal + center
    nan = torch.full_like(z, torch.nan)
    return torch.where(ahead[..., None], place, nan[..., None]), torch.where(ahead, z, nan)


def inside(place: torch.Tensor) -> torch.Tensor:
    """(B, H, W) bool: whether a place lies within the image, between the outermost pixel centers."""
    height, width = place.shape[1:3]
    x, y = place.unbind(-1)
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def look_up(values: torch.Tensor, place: torch.Tensor, *, mode: str = "bilinear") -> torch.Tensor:
    """values (B, H, W) at `place`: (B, H, W), NaN outside. Differentiable in both in bilinear mode.

    mode "nearest" is for values with NaN, which bilinear interpolation would spread.
    """
    height, width = values.shape[1:]
    within = inside(place)
    size = place.new_tensor([max(width - 1, 1), max(height - 1, 1)])
    grid = torch.where(within[..., None], place, torch.zeros_like(place)) / size * 2 - 1
    found = functional.grid_sample(
        values[:, None], grid, mode=mode, padding_mode="border", align_corners=True
    )[:, 0]
    return torch.where(within, found, torch.full_like(found, torch.nan))


@torch.no_grad()
def in_front(place: torch.Tensor, depth: torch.Tensor, tolerance: float) -> torch.Tensor:
    """(B, H, W) bool: whether no other warped point occludes this one, by a z-buffer.

    place, depth: of `carry`. A point is visible if its depth is at most 1 + `tolerance` times the nearest
    depth on its pixel.
    """
    batch, height, width = depth.shape
    usable = inside(place) & torch.isfinite(depth)
    x, y = torch.where(usable[..., None], place, torch.zeros_like(place)).round().long().unbind(-1)
    image = torch.arange(batch, device=depth.device)[:, None, None] * (height * width)
    index = (image + y * width + x).flatten()
    z = torch.where(usable, depth, torch.full_like(depth, torch.inf)).flatten()
    nearest = torch.full_like(z, torch.inf).scatter_reduce(0, index, z, "amin")
    return usable & (z <= nearest[index] * (1 + tolerance)).view_as(usable)
