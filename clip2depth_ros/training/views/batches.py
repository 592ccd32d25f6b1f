# SPDX-License-Identifier: Apache-2.0
"""Batches drawn from several data sets; a batch depends on its number only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from clip2depth_ros.camera.letterbox import BORDER
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.metrics.two_way_flow import TwoWayFlow
from clip2depth_ros.training.datasets.base import DataSet
from clip2depth_ros.training.views.augmentation import Augmentation, View


@dataclass(slots=True)
class Batch:
    """B views of one size, and the frames that follow them in a batch of pairs."""

    image: np.ndarray
    """(B, H, W, 3) uint8 RGB."""
    depth: np.ndarray
    """(B, H, W) float32, canonical meters, NaN unknown."""
    captions: list[str]
    """"" where there is none."""
    intrinsics: np.ndarray | None = None
    """(B, 3, 3) float32, of both frames."""
    scale: np.ndarray | None = None
    """(B,) float32: canonical meters per meter."""
    next_image: np.ndarray | None = None
    """(B, H, W, 3) uint8 RGB."""
    next_depth: np.ndarray | None = None
    """(B, H, W) float32, canonical meters of the same scale, NaN unknown."""
    motion: np.ndarray | None = None
    """(B, 4, 4) float32: points of the first frame's camera into the second's, canonical meters; NaN where
    unknown."""
    flow: np.ndarray | None = None
    """(B, H, W, 2) float32 pixels to the next frame, NaN where it is not reliable; for pairs of unknown
    motion."""

    def __len__(self) -> int:
        return len(self.captions)


@dataclass(frozen=True)
class BatchMaker:
    """Makes batch number `step`; can be pickled into the worker processes of a loader.

    weights: how often each data set is drawn from, in any unit. seed: names the run and its stage; the same
    seed gives the same batches. A data set's samples come in a random order in which none returns before all
    had their turn (with several data sets, each in its share of the turns).
    """

    data_sets: tuple[DataSet, ...]
    weights: tuple[float, ...]
    augmentation: Augmentation
    seed: tuple[int, ...]
    canonical_focal_px: float | None
    border_color: tuple[int, int, int] = BORDER

    def __post_init__(self) -> None:
        if not self.data_sets or len(self.data_sets) != len(self.weights):
            raise Clip2DepthError(
                f"Training needs at least one data set and a weight for each, not {len(self.data_sets)} and "
                f"{len(self.weights)}."
            )
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            raise Clip2DepthError(f"The weights of data sets must be positive, they are {self.weights}.")
        for data_set in self.data_sets:
            if not len(data_set):
                raise Clip2DepthError(f"There is nothing to train on in {data_set.name}.")

    def __call__(
        self,
        step: int,
        *,
        size: tuple[int, int],
        count: int,
        pairs: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> Batch:
        """Batch of `count` views at `size` (height, width) for process `rank` of `world` at `step`.

        pairs: with the frames that follow. A view without a following frame is followed by itself under
        another light: nothing has moved, so its depth must not change either.
        """
        return make_batch(
            self.data_sets, self.weights, self.augmentation, seed=self.seed, step=step, size=size,
            count=count, canonical_focal_px=self.canonical_focal_px, pairs=pairs, rank=rank, world=world,
            border_color=self.border_color,
        )  # fmt: skip


def make_batch(
    data_sets: Sequence[DataSet],
    weights: Sequence[float],
    augmentation: Augmentation,
    *,
    seed: tuple[int, ...],
    step: int,
    size: tuple[int, int],
    count: int,
    canonical_focal_px: float | None,
    pairs: bool = False,
    rank: int = 0,
    world: int = 1,
    border_color: tuple[int, int, int] = BORDER,
) -> Batch:
    """A batch that depends on its arguments only: see BatchMaker."""
    shares = np.asarray(weights, float) / np.sum(weights)
    views = []
    for place in range(count):
        turn = (step * world + rank) * count + place
        rng = np.random.default_rng([*seed, turn])
        chosen = int(rng.choice(len(data_sets), p=shares))
        data_set = data_sets[chosen]
        index = _nth(turn, len(data_set), (*seed, chosen))
        sample, following = data_set[index], None
        if pairs:
            after = data_set.following(index)
            following = sample if after is None else data_set[after]
        view = augmentation.apply(
            sample, following, size=size, canonical_focal_px=canonical_focal_px, rng=rng,
            border_color=border_color,
        )  # fmt: skip
        if following is sample:
            view.motion = np.eye(4)
        views.append(view)
    return collate(views)


def fixed_batch(
    data_sets: Sequence[DataSet],
    count: int,
    *,
    size: tuple[int, int],
    canonical_focal_px: float | None,
    border_color: tuple[int, int, int] = BORDER,
) -> Batch:
    """At most `count` views for validation, evenly picked from all data sets, centered, not augmented."""
    total = sum(len(data_set) for data_set in data_sets)
    if not total or count < 1:
        raise Clip2DepthError("there are no validation views: name a data set that has some")
    ends = np.cumsum([len(data_set) for data_set in data_sets])
    plain, rng = Augmentation(), np.random.default_rng(0)
    views = []
    for place in np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int)):
        chosen = int(np.searchsorted(ends, place, side="right"))
        sample = data_sets[chosen][int(place - (ends[chosen] - len(data_sets[chosen])))]
        views.append(
            plain.apply(
                sample, size=size, canonical_focal_px=canonical_focal_px, rng=rng, border_color=border_color
            )
        )
    return collate(views)


def collate(views: Sequence[View]) -> Batch:
    """One batch of views of one size, all with a following frame or none."""
    batch = Batch(
        image=np.stack([view.image for view in views]),
        depth=np.stack([view.depth for view in views]),
        captions=[view.caption for view in views],
        intrinsics=np.stack([view.camera.matrix for view in views]).astype(np.float32),
        scale=np.array([view.scale for view in views], np.float32),
    )
    if views[0].next_image is not None:
        unknown = np.full((4, 4), np.nan)
        batch.next_image = np.stack([view.next_image for view in views])  # pyright: ignore[reportCallIssue]
        batch.next_depth = np.stack([view.next_depth for view in views])  # pyright: ignore[reportCallIssue]
        batch.motion = np.stack([unknown if v.motion is None else v.motion for v in views]).astype(np.float32)
    return batch


def checked_flow(images: np.ndarray, next_images: np.ndarray) -> np.ndarray:
    """(B, H, W, 2) float32 pixels from each image to the next, NaN where it is not consistent.

    images, next_images: (B, H, W, 3) uint8 RGB.
    """
    both_ways = TwoWayFlow()
    made = np.empty((*images.shape[:3], 2), np.float32)
    for out, first, second in zip(made, images, next_images, strict=True):
        flow, trusted = both_ways.between(first, second)
        out[:] = np.where(trusted[..., None], flow, np.float32(np.nan))  # pyright: ignore[reportIndexIssue]
    return made


def _nth(turn: int, length: int, seed: tuple[int, ...]) -> int:
    """The frame of a turn: every run through the data set is another permutation of it."""
    run, place = divmod(turn, length)
    return int(_permutation(length, (*seed, run))[place])


@lru_cache(maxsize=16)
def _permutation(length: int, seed: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([29, *seed]).permutation(length).astype(np.int32)
