# SPDX-License-Identifier: Apache-2.0
"""The simulated views of a recipe: rendered once to shards on disk, read into memory by the training."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.simulation import load_shard, render_shards
from clip2depth_ros.simulation.shards import SCENES_PER_SHARD, shard_path
from clip2depth_ros.training.configuration import Views
from clip2depth_ros.training.views import ViewSet


class RoomViews:
    """Training and validation views of a configuration, in shards under `cache`/rooms."""

    def __init__(self, views: Views, cache: str | Path) -> None:
        self.views = views
        self.folder = Path(cache) / "rooms"
        self._training = ViewSet()
        self._read: set[Path] = set()
        apart = abs(views.validation_seed - views.training_seed)
        if apart < max(views.training_rooms, views.validation_rooms):
            raise Clip2DepthError(
                f"training rooms from seed {views.training_seed} and validation rooms from seed "
                f"{views.validation_seed} overlap: set validation_seed apart"
            )

    def render(self) -> None:
        """Render the shards that are missing, validation first."""
        height, width = self.views.size
        for seed, rooms in (
            (self.views.validation_seed, self.views.validation_rooms),
            (self.views.training_seed, self.views.training_rooms),
        ):
            render_shards(
                self.folder, seed, rooms, self.views.views_per_room, width, height, workers=self.views.workers
            )

    def training(self) -> ViewSet:
        """Training views that are rendered so far: the same growing set every time."""
        self._add(self._training, self.views.training_seed, self.views.training_rooms)
        return self._training

    def validation(self) -> ViewSet:
        """All validation views, which must be rendered."""
        views = ViewSet()
        self._read -= set(self._shards(self.views.validation_seed, self.views.validation_rooms))
        self._add(views, self.views.validation_seed, self.views.validation_rooms)
        return views

    def _shards(self, seed: int, rooms: int) -> list[Path]:
        height, width = self.views.size
        return [
            shard_path(
                self.folder,
                first,
                min(SCENES_PER_SHARD, seed + rooms - first),
                self.views.views_per_room,
                width,
                height,
            )
            for first in range(seed, seed + rooms, SCENES_PER_SHARD)
        ]

    def _add(self, views: ViewSet, seed: int, rooms: int) -> None:
        for path in self._shards(seed, rooms):
            if path in self._read or not path.exists():
                continue
            self._read.add(path)
            shard = load_shard(path)
            depths = np.where(shard["depth"] == 0, np.nan, shard["depth"].astype(np.float32) / 1000.0)
            for image, depth, fx, caption in zip(
                shard["image"], depths, shard["fx"], shard["caption"], strict=True
            ):
                views.add(image, depth, float(fx), str(caption))


def default_cache() -> Path:
    """~/.cache/clip2depth, or under $XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clip2depth"
