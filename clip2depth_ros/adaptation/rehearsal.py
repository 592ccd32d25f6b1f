# SPDX-License-Identifier: Apache-2.0
"""Views of other places, so that a network that is adapted to one place does not forget the others."""

from __future__ import annotations

import logging
from importlib.util import find_spec

import numpy as np
import torch

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.metrics.depth import depth_errors
from clip2depth_ros.network import Clip2Depth

log = logging.getLogger(__name__)

TRAINED, MEASURED = 600, 144
"""Numbers of views that are trained on, and of views that measure whether the network gets worse."""
CONFIDENCE = 1.28
"""Standard errors in the bound of the growth: the true growth is smaller with a probability of 90 %."""
BATCH = 12
"""Views per pass of the network."""
FIRST_ROOM = 7_000_000
"""Seed of the first simulated room: not used in training, validation or tests."""


class Rehearsal:
    """Simulated views with ground-truth depth at a network's size.

    trained: images (E, H, W, 3) uint8 and depth (E, H, W) float32, canonical meters, NaN unknown; measured:
    others.
    """

    def __init__(self, images: np.ndarray, depth: np.ndarray, measured: int) -> None:
        self.trained = images[measured:], depth[measured:]
        self.measured = images[:measured], depth[:measured]
        self._taps: list[list[torch.Tensor]] = []

    @torch.no_grad()
    def errors(self, network: Clip2Depth) -> np.ndarray:
        """(M,) float64 AbsRel of each view that is not trained on; NaN for a view without ground truth.

        The image tower must be the same in all calls: it is run once.
        """
        device = next(network.parameters()).device
        low, high = network.depth_range
        images, truths = self.measured
        if not self._taps:
            for begin in range(0, len(images), BATCH):
                pixels = torch.from_numpy(images[begin : begin + BATCH]).to(device)
                self._taps.append(network.image_tower(network.preprocess(pixels)))
        depths = np.concatenate([network.decode(taps).cpu().numpy() for taps in self._taps])
        found = [
            depth_errors(depth, truth, depth_min=low, depth_max=high)
            for depth, truth in zip(depths, truths, strict=True)
        ]
        return np.array([np.nan if errors is None else errors["abs_rel"] for errors in found])


def growth(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """Mean errors of the same views before and after, and an upper bound of the factor by which they grew.

    The views are a sample of other places, so that the mean alone would accept a network that is worse there.
    before, after: (M,) errors, NaN where unknown.
    """
    known = np.isfinite(before) & np.isfinite(after)
    first, second = before[known], after[known]
    error = (second - first).std(ddof=1) / np.sqrt(len(first))
    bound = (second.mean() + CONFIDENCE * error) / first.mean()
    return {"before": float(first.mean()), "after": float(second.mean()), "growth_bound": float(bound)}


def simulated_rehearsal(size: tuple[int, int], canonical_focal_px: float | None) -> Rehearsal | None:
    """Render the views, in less than a minute; None, with a warning, where MuJoCo or OpenGL is missing.

    size: (height, width) of the network's input.
    """
    if find_spec("mujoco") is None:
        log.warning(
            "Without MuJoCo, training uses no views of other places: pip install 'clip2depth_ros[sim]'."
        )
        return None
    from clip2depth_ros.training.validation.unseen_rooms import held_out_views

    try:
        views = held_out_views(TRAINED + MEASURED, size, canonical_focal_px, first_room=FIRST_ROOM)
    except Clip2DepthError as error:
        log.warning("Training uses no views of other places: %s", error)
        return None
    return Rehearsal(views.image, views.depth, MEASURED)
