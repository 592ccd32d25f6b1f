# SPDX-License-Identifier: Apache-2.0
"""Simulated views and drives: rendered once to shards on disk, or on the fly."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.simulation import render_drives, render_shards
from clip2depth_ros.simulation.mapped import MappedShard
from clip2depth_ros.simulation.shards import (
    SCENES_PER_SHARD,
    drive_caption,
    drive_path,
    make_drive,
    shard_path,
    views_of_seed,
)
from clip2depth_ros.system.paths import user_folder
from clip2depth_ros.training.datasets.base import DataSet
from clip2depth_ros.training.datasets.splits import check_split

VALIDATION_SEED = 1_000_000_000


class _Simulated(DataSet):
    """Common part of views and drives: the seeds of a split, and shards.

    `first` and `count` are the seeds of the split: validation has its own, "all" has those of training.
    """

    def __init__(
        self, kind: str, split: str, counts: tuple[int, int], seeds: tuple[int, int], size: tuple[int, int]
    ) -> None:
        check_split(kind, split, official_test=False)
        if min(*counts, *size) < 1 or min(seeds) < 0:
            raise Clip2DepthError(f"{kind}: counts and sizes must be positive, and seeds not negative.")
        if abs(seeds[1] - seeds[0]) < max(counts):
            raise Clip2DepthError(
                f"training {kind} from seed {seeds[0]} and validation {kind} from seed {seeds[1]} overlap: "
                "set validation_seed apart."
            )
        held_out = split == "validation"
        self.first, self.count = seeds[held_out], counts[held_out]
        self.height, self.width = size
        self.name = f"{self.count} simulated {kind} from seed {self.first}"

    @abstractmethod
    def paths(self) -> list[Path]:
        """The shards' files, which need not exist yet."""

    @cached_property
    def _shards(self) -> list[MappedShard]:
        missing = [path for path in self.paths() if not path.exists()]
        if missing:
            raise Clip2DepthError(
                f"{self.name}: {len(missing)} of {len(self.paths())} shards are not rendered, the first of "
                f"them {missing[0]}; 'clip2depth train' renders them, --only render stops after that."
            )
        return [MappedShard(path) for path in self.paths()]

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(shard) for shard in self._shards))

    def __getstate__(self) -> dict:
        return {k: v for k, v in self.__dict__.items() if k not in ("_shards", "_ends", "_views", "_drive")}

    def _stored(self, index: int) -> tuple[MappedShard, int]:
        """Shard, and index in it."""
        number = bisect_right(self._ends, index)
        shard = self._shards[number]
        return shard, index - (self._ends[number] - len(shard))

    def _read(self, index: int) -> Frame:
        shard, place = self._stored(index)
        depth = shard.depth[place].astype(np.float32)
        depth *= np.float32(1e-3)
        depth[depth == 0] = np.nan
        fx = float(shard.fx[place])
        camera = Camera(self.width, self.height, fx, fx, (self.width - 1) / 2, (self.height - 1) / 2)
        return Frame(
            np.array(shard.image[place]),
            index if shard.stamp is None else int(shard.stamp[place]),
            "camera",
            camera,
            f"{shard.path.stem}/{place:06d}",
            depth,
            None if shard.pose is None else shard.pose[place],
            caption=str(shard.caption[place]),
        )


class SimulatedViews(_Simulated):
    """Single views with captions, `views_per_scene` of each scene.

    what: kind of scene: "rooms", "places" as cameras record them, or "near" things on crowded places. size:
    (height, width) as rendered. Scene seeds count up from `seed`, for validation from `validation_seed`.
    workers: processes that render. on_the_fly: render every view when it is asked for, which is slower but
    stores nothing on disk. The views are the same.
    """

    def __init__(
        self,
        what: str,
        size: tuple[int, int],
        scenes: int,
        split: str = "train",
        validation_scenes: int = 64,
        views_per_scene: int = 6,
        seed: int = 0,
        validation_seed: int = VALIDATION_SEED,
        workers: int = 2,
        on_the_fly: bool = False,
        cache: Path | None = None,
    ) -> None:
        super().__init__(what, split, (scenes, validation_scenes), (seed, validation_seed), size)
        if min(views_per_scene, workers) < 1:
            raise Clip2DepthError(f"{what}: views of each and workers must be at least 1.")
        self.what, self.views, self.workers = what, views_per_scene, workers
        self.on_the_fly = self.draws = on_the_fly
        self.folder = (cache or user_folder("cache")) / self.what

    def __len__(self) -> int:
        return self.count * self.views if self.on_the_fly else self._ends[-1]

    def __getitem__(self, index: int) -> Frame:
        if not self.on_the_fly:
            return self._read(index)
        seed, place = self.first + index // self.views, index % self.views
        views = self._views(seed)
        while len(views.made) <= place:
            view = next(views.coming, None)
            if view is None:
                break
            views.made.append(view)
        name = self.what.removesuffix("s")
        if not views.made:
            raise Clip2DepthError(f"{name} {seed} has no free place for a camera; choose another seed.")
        # A crowded room has fewer views: they are repeated.
        view = views.made[place % len(views.made)]
        return Frame(
            view.image, index, "camera", view.camera, f"{name} {seed}/{place}", view.depth, view.pose,
            caption=view.caption,
        )  # fmt: skip

    @cached_property
    def _views(self):
        """Views of the current scene, kept because its first view takes most of the time."""
        return lru_cache(maxsize=1)(
            lambda seed: _Views(views_of_seed(self.what, seed, self.views, self.width, self.height))
        )

    def prepare(self) -> None:
        if not self.on_the_fly:
            render_shards(
                self.folder,
                self.first,
                self.count,
                self.views,
                self.width,
                self.height,
                self.workers,
                what=self.what,
            )

    def paths(self) -> list[Path]:
        end = self.first + self.count
        return [
            shard_path(
                self.folder,
                first,
                min(SCENES_PER_SHARD, end - first),
                self.views,
                self.width,
                self.height,
                self.what,
            )
            for first in range(self.first, end, SCENES_PER_SHARD)
        ]


class _Views:
    """A scene's views: those rendered, and the iterator of the rest."""

    def __init__(self, coming) -> None:
        self.made, self.coming = [], coming


class SimulatedDrives(_Simulated):
    """Drives through rooms with walking people: sequences with ground-truth poses, captions and stamps.

    size: (height, width) as rendered. frames: of each drive, at `fps`. Drive seeds count up from `seed`, for
    validation from `validation_seed`. workers, on_the_fly: see SimulatedViews; on the fly, the exposure does
    not adapt slowly but is correct in each frame.
    """

    def __init__(
        self,
        size: tuple[int, int],
        drives: int,
        split: str = "train",
        validation_drives: int = 4,
        frames: int = 60,
        fps: float = 10.0,
        seed: int = 0,
        validation_seed: int = VALIDATION_SEED,
        workers: int = 2,
        on_the_fly: bool = False,
        cache: Path | None = None,
    ) -> None:
        super().__init__("drives", split, (drives, validation_drives), (seed, validation_seed), size)
        if frames < 1 or not fps > 0:
            raise Clip2DepthError(f"drives: frames and fps must be positive, they are {frames} and {fps:g}.")
        self.drive_frames, self.fps, self.workers = frames, fps, workers
        self.on_the_fly = self.draws = on_the_fly
        self.folder = (cache or user_folder("cache")) / "drives"

    def __len__(self) -> int:
        return self.count * self.drive_frames if self.on_the_fly else self._ends[-1]

    def following(self, index: int) -> int | None:
        if self.on_the_fly:
            return index + 1 if (index + 1) % self.drive_frames else None
        shard, place = self._stored(index)
        return index + 1 if place + 1 < len(shard) else None

    def __getitem__(self, index: int) -> Frame:
        if not self.on_the_fly:
            return self._read(index)
        seed, place = self.first + index // self.drive_frames, index % self.drive_frames
        drive = self._drive(seed)
        frame = drive.frame(place)
        return replace(frame, name=f"drive {seed}/{frame.name}", caption=drive_caption(drive, frame))

    @cached_property
    def _drive(self):
        """The last few drives: planning one takes as long as rendering many of its frames."""
        return lru_cache(maxsize=4)(
            lambda seed: make_drive(seed, self.drive_frames, self.fps, self.width, self.height)
        )

    def prepare(self) -> None:
        if not self.on_the_fly:
            render_drives(
                self.folder,
                self.first,
                self.count,
                self.drive_frames,
                self.fps,
                self.width,
                self.height,
                self.workers,
            )

    def paths(self) -> list[Path]:
        return [
            drive_path(self.folder, seed, self.drive_frames, self.fps, self.width, self.height)
            for seed in range(self.first, self.first + self.count)
        ]
