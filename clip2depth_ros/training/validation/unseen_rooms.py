# SPDX-License-Identifier: Apache-2.0
"""Errors of a network on views of simulated rooms that are not in any training data."""

from __future__ import annotations

import numpy as np

from clip2depth_ros.images.frame import Frame
from clip2depth_ros.metrics.depth import depth_errors, mean_errors
from clip2depth_ros.network import Clip2Depth
from clip2depth_ros.simulation import sample_views
from clip2depth_ros.training.loss.objectives import network_depth
from clip2depth_ros.training.views.augmentation import Augmentation
from clip2depth_ros.training.views.batches import Batch, collate

TEST_SEED = 3_000_000  # training has seeds from 0 up, validation from 1,000,000 up


def held_out_views(
    count: int, size: tuple[int, int], canonical_focal_px: float | None, *, first_room: int = TEST_SEED
) -> Batch:
    """`count` centered views of unseen rooms at `size` (height, width), with canonical depth in meters."""
    height, width = size
    centred, rng = Augmentation(), np.random.default_rng(0)
    views = []
    for number, view in enumerate(sample_views(first_room, count, width, height)):
        frame = Frame(
            view.image, number, "camera", view.camera, f"{number}", view.depth, caption=view.caption
        )
        views.append(centred.apply(frame, size=size, canonical_focal_px=canonical_focal_px, rng=rng))
    return collate(views)


def evaluate_rooms(network: Clip2Depth, count: int) -> dict[str, float]:
    """Mean errors over `count` views of unseen rooms, in canonical meters over the network's depth range.

    AbsRel and delta 1 do not depend on the canonical camera; RMSE does. abs_rel_constant is the error of the
    best constant depth (the median of all ground-truth depths), for comparison.
    """
    batch = held_out_views(count, network.size, network.canonical_focal_px)
    low, high = network.depth_range
    guess = np.full(network.size, np.nanmedian(batch.depth), np.float32)
    ours, constant = [], []
    for predicted, truth in zip(network_depth(network, batch.image), batch.depth, strict=True):
        errors = depth_errors(predicted, truth, depth_min=low, depth_max=high)
        if errors is not None:
            ours.append(errors)
            constant.append(depth_errors(guess, truth, depth_min=low, depth_max=high))
    return {
        "views": len(ours),
        **mean_errors(ours),
        "abs_rel_constant": mean_errors(constant)["abs_rel"],
    }
