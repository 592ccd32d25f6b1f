# SPDX-License-Identifier: Apache-2.0
"""Simulated views on disk for training: uncompressed .npz shards, named by seed, written by several
processes.

A shard contains `image` (N, H, W, 3) uint8 RGB, `depth` (N, H, W) uint16 millimeters (0 = unknown), `fx` (N,)
float32 pixels (fy is the same, the principal point is the middle) and `caption` (N,) text. A shard of a drive
also contains `pose` (N, 4, 4) float64, optical frame to world, meters, and `stamp` (N,) int64 nanoseconds;
its frames are consecutive.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import reason_of
from clip2depth_ros.files.replacing import replacing, writing
from clip2depth_ros.simulation.mapped import check_arrays

if TYPE_CHECKING:
    from clip2depth_ros.images.frame import Frame
    from clip2depth_ros.simulation.drives.drive import Drive
    from clip2depth_ros.simulation.views.views import SimView

SCENES_PER_SHARD = 32


def shard_path(
    out_dir: Path, seed: int, scenes: int, views: int, width: int, height: int, what: str = "rooms"
) -> Path:
    """Path of the shard of rooms (or places: `what`) `seed` to `seed + scenes - 1`."""
    return Path(out_dir) / f"{what}_{seed:09d}+{scenes}x{views}_{width}x{height}.npz"


def views_of_seed(
    what: str, seed: int, views: int, width: int, height: int, supersample: int = 2
) -> Iterator[SimView]:
    """The `views` views of scene `seed` of `what` ("rooms", "places" or "near"); reproducible by seed."""
    if what == "near":
        from clip2depth_ros.simulation.near_scenes import make_near_scene
        from clip2depth_ros.simulation.views.near_views import near_rng, views_of_near_scene

        rng = near_rng(seed)
        return views_of_near_scene(make_near_scene(seed), rng, views, width, height, supersample=supersample)
    if what == "places":
        from clip2depth_ros.simulation.places import make_place
        from clip2depth_ros.simulation.views.place_views import place_rng, views_of_place

        rng = place_rng(seed)
        return views_of_place(make_place(seed), rng, views, width, height, supersample=supersample)
    from clip2depth_ros.simulation.rooms import make_room
    from clip2depth_ros.simulation.views.views import views_of_room

    rng = np.random.default_rng([13, seed])
    return views_of_room(make_room(seed), rng, views, width, height, supersample=supersample)


def render_shard(
    path: Path,
    seed: int,
    scenes: int,
    views: int,
    width: int,
    height: int,
    supersample: int = 2,
    what: str = "rooms",
) -> int:
    """Render rooms or places `seed` to `seed + scenes - 1` into a shard, atomically; the number of views."""
    images, depths, focal, captions = [], [], [], []
    for scene_seed in range(seed, seed + scenes):
        for view in views_of_seed(what, scene_seed, views, width, height, supersample):
            images.append(view.image)
            depths.append(_millimeters(view.depth))
            focal.append(view.camera.fx)
            captions.append(view.caption)
    if not images:
        raise Clip2DepthError(
            f"no usable view in {what} {seed} to {seed + scenes - 1}; render more scenes per shard."
        )
    _write(
        path,
        image=np.stack(images),
        depth=np.stack(depths),
        fx=np.array(focal, np.float32),
        caption=np.array(captions),
    )
    return len(images)


def drive_path(out_dir: Path, seed: int, frames: int, fps: float, width: int, height: int) -> Path:
    """Path of the shard of drive `seed`."""
    return Path(out_dir) / f"drive_{seed:09d}x{frames}@{fps:g}_{width}x{height}.npz"


def make_drive(seed: int, frames: int, fps: float, width: int, height: int) -> Drive:
    """Drive `seed`, with its own field of view of 50 to 100 degrees."""
    from clip2depth_ros.simulation.drives.drive import Drive

    fov = np.random.default_rng([23, seed]).uniform(math.radians(50), math.radians(100))
    return Drive(seed, width, height, fps, horizontal_fov=float(fov), seconds=frames / fps)


def drive_caption(drive: Drive, frame: Frame) -> str:
    """A sentence that describes a frame of a drive."""
    from clip2depth_ros.simulation.views.captions import describe

    rng = np.random.default_rng([31, drive.seed, int(frame.name)])
    return describe(drive.scene, frame.depth, frame.camera, frame.pose, rng)


def render_drive(path: Path, seed: int, frames: int, fps: float, width: int, height: int) -> int:
    """Render the frames of drive `seed` into one shard, atomically. Returns the number of frames."""
    drive = make_drive(seed, frames, fps, width, height)
    made = list(drive)
    _write(
        path,
        image=np.stack([frame.image for frame in made]),
        depth=np.stack([_millimeters(frame.depth) for frame in made]),
        fx=np.full(len(made), drive.camera.fx, np.float32),
        caption=np.array([drive_caption(drive, frame) for frame in made]),
        pose=np.stack([frame.pose for frame in made]),  # pyright: ignore[reportCallIssue]
        stamp=np.array([frame.stamp for frame in made], np.int64),
    )
    return len(made)


def _millimeters(depth: np.ndarray) -> np.ndarray:
    return np.round(np.nan_to_num(depth) * 1000.0).astype(np.uint16)


def _write(path: Path, **arrays: np.ndarray) -> None:
    """Write a shard atomically."""
    with writing(path), replacing(path) as partial, open(partial, "wb") as stream:
        np.savez(stream, **arrays)


def load_shard(path: Path) -> dict[str, np.ndarray]:
    """Read a shard. Raises Clip2DepthError if it is missing, truncated or not a shard."""
    try:
        check_arrays(path)
        with np.load(path, allow_pickle=False) as stored:
            names = ["image", "depth", "fx", "caption", *(n for n in ("pose", "stamp") if n in stored)]
            return {name: stored[name] for name in names}
    except Exception as error:  # zipfile, zlib and numpy raise different classes
        raise Clip2DepthError(
            f"{path} is not a readable shard ({reason_of(error)}); delete it and render again."
        ) from error


def _work(job: tuple) -> int:
    render, *arguments = job
    return render(*arguments)


def _one_thread_per_worker() -> None:
    """Limit software OpenGL to one thread; otherwise every worker would use all cores."""
    os.environ["LP_NUM_THREADS"] = "1"


def render_shards(
    out_dir: Path | str,
    seed_start: int,
    scenes: int,
    views_per_scene: int,
    width: int,
    height: int,
    workers: int = 2,
    supersample: int = 2,
    what: str = "rooms",
) -> list[Path]:
    """Render `scenes` rooms from `seed_start` on into shards under `out_dir`; existing shards are kept.

    what: "rooms", or "places" for those of make_place.

    An interruption loses at most the unfinished shards; the same call continues. Returns every shard's path,
    in order of seed. Progress is a bar on a terminal, otherwise a line per shard.
    """
    if min(scenes, views_per_scene, width, height, workers) < 1:
        raise Clip2DepthError("render_shards: scenes, views, width, height and workers must be at least 1.")
    out_dir = Path(out_dir)
    jobs = []
    for first in range(seed_start, seed_start + scenes, SCENES_PER_SHARD):
        count = min(SCENES_PER_SHARD, seed_start + scenes - first)
        path = shard_path(out_dir, first, count, views_per_scene, width, height, what)
        jobs.append((render_shard, path, first, count, views_per_scene, width, height, supersample, what))
    return _render_missing(jobs, workers, what)


def render_drives(
    out_dir: Path | str,
    seed_start: int,
    drives: int,
    frames: int,
    fps: float,
    width: int,
    height: int,
    workers: int = 2,
) -> list[Path]:
    """Render `drives` drives from `seed_start` on into one shard each, like render_shards for rooms."""
    if min(drives, frames, width, height, workers) < 1 or not fps > 0:
        raise Clip2DepthError(
            "render_drives: drives, frames, fps, width, height and workers must be positive."
        )
    jobs = []
    for seed in range(seed_start, seed_start + drives):
        path = drive_path(Path(out_dir), seed, frames, fps, width, height)
        jobs.append((render_drive, path, seed, frames, fps, width, height))
    return _render_missing(jobs, workers, "drives")


def _render_missing(jobs: list[tuple], workers: int, what: str) -> list[Path]:
    """Run the jobs (function, path, arguments) whose path does not exist yet. Returns all paths."""
    from clip2depth_ros.simulation.rendering.gl import import_mujoco

    paths = [path for _, path, *_ in jobs]
    jobs = [job for job in jobs if not job[1].exists()]
    if not jobs:
        return paths
    import_mujoco()
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("LP_NUM_THREADS")
    _one_thread_per_worker()
    try:
        context = multiprocessing.get_context("spawn")
        with context.Pool(min(workers, len(jobs))) as pool:
            _report(pool.imap_unordered(_work, jobs), len(jobs), what)
    finally:
        if before is None:
            os.environ.pop("LP_NUM_THREADS", None)
        else:
            os.environ["LP_NUM_THREADS"] = before
    return paths


def _report(finished, total: int, what: str) -> None:
    if sys.stderr.isatty():
        from tqdm import tqdm

        for _ in tqdm(finished, total=total, desc=what, unit="shard"):
            pass
        return
    start, images = time.monotonic(), 0
    for done, count in enumerate(finished, 1):
        images += count
        rate = images / (time.monotonic() - start)
        print(f"shard {done} of {total}: {images} images, {rate:.1f} images/s", file=sys.stderr, flush=True)
