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

    motion: (B, 4, 4), points of this frame's camera into the next one's, in the meters of `depth`; its
    rotation gets no gradient. intrinsics: (B, 3, 3) pixels, of both frames. A point that is not in front of
    the next camera is NaN.
    """
    motion, intrinsics = motion.to(depth.dtype), intrinsics.to(depth.dtype)[..., None, None]
    rotation, translation = motion.detach()[:, :3, :3, None, None], motion[:, :3, 3, None, None]
    fx, fy, cx, cy = intrinsics[:, 0, 0], intrinsics[:, 1, 1], intrinsics[:, 0, 2], intrinsics[:, 1, 2]
    column, row = pixel_grid(depth).unbind(-1)
    x, y = (column - cx) / fx, (row - cy) / fy
    # Coordinate by coordinate: much faster on a CPU than vectors; autocast would round a matrix product.
    moved_x, moved_y, moved_z = (
        (rotation[:, i, 0] * x + rotation[:, i, 1] * y + rotation[:, i, 2]) * depth + translation[:, i]
        for i in range(3)
    )
    ahead = moved_z > NEAREST
    z = torch.where(ahead, moved_z, 1.0)
    place = torch.stack([moved_x / z * fx + cx, moved_y / z * fy + cy], -1)
    return torch.where(ahead[..., None], place, torch.nan), torch.where(ahead, z, torch.nan)


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
