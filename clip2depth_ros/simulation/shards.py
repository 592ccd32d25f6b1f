# SPDX-License-Identifier: Apache-2.0
"""Simulated views on disk for training: uncompressed .npz shards, named by seed, made by several processes.

A shard holds `image` (N, H, W, 3) uint8 RGB, `depth` (N, H, W) uint16 millimetres (0 = unknown), `fx` (N,)
float32 pixels (fy is the same, the principal point is the middle) and `caption` (N,) text.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from clip2depth_ros.errors import Clip2DepthError

SCENES_PER_SHARD = 32


def shard_path(out_dir: Path, seed: int, scenes: int, views: int, width: int, height: int) -> Path:
    """Where the shard of rooms `seed` to `seed + scenes - 1` lies."""
    return Path(out_dir) / f"rooms_{seed:09d}+{scenes}x{views}_{width}x{height}.npz"


def render_shard(
    path: Path, seed: int, scenes: int, views: int, width: int, height: int, supersample: int = 2
) -> int:
    """Render rooms `seed` to `seed + scenes - 1` into one shard, whole or not at all; how many views."""
    from .rooms import make_room
    from .views import views_of_room

    images, depths, focal, captions = [], [], [], []
    for room_seed in range(seed, seed + scenes):
        rng = np.random.default_rng([13, room_seed])
        for view in views_of_room(make_room(room_seed), rng, views, width, height, supersample=supersample):
            images.append(view.image)
            depths.append(np.round(np.nan_to_num(view.depth) * 1000.0).astype(np.uint16))
            focal.append(view.camera.fx)
            captions.append(view.caption)
    if not images:
        raise Clip2DepthError(
            f"no usable view in rooms {seed} to {seed + scenes - 1}; render more scenes per shard."
        )
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with open(partial, "wb") as stream:
            np.savez(
                stream,
                image=np.stack(images),
                depth=np.stack(depths),
                fx=np.array(focal, np.float32),
                caption=np.array(captions),
            )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return len(images)


def load_shard(path: Path) -> dict[str, np.ndarray]:
    """Read a shard. Raises Clip2DepthError where it is missing, cut short or not a shard."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("image", "depth", "fx", "caption")}
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as reason:
        raise Clip2DepthError(
            f"{path} is not a readable shard ({reason}); delete it and render again."
        ) from reason


def _work(job: tuple) -> int:
    return render_shard(*job)


def _one_thread_per_worker() -> None:
    """Software OpenGL would otherwise use every core in every worker."""
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
) -> list[Path]:
    """Render `scenes` rooms from `seed_start` on into shards under `out_dir`; shards that exist are kept.

    Stopping it loses at most the shards in the making; the same call goes on where it stopped. Returns every
    shard's path, in order of seed. Progress is a bar on a terminal and a line per shard elsewhere.
    """
    if min(scenes, views_per_scene, width, height, workers) < 1:
        raise Clip2DepthError("render_shards: scenes, views, width, height and workers must be at least 1.")
    from .gl import choose_backend

    choose_backend()
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths, jobs = [], []
    for first in range(seed_start, seed_start + scenes, SCENES_PER_SHARD):
        count = min(SCENES_PER_SHARD, seed_start + scenes - first)
        path = shard_path(out_dir, first, count, views_per_scene, width, height)
        paths.append(path)
        if not path.exists():
            jobs.append((path, first, count, views_per_scene, width, height, supersample))
    if not jobs:
        return paths
    before = os.environ.get("LP_NUM_THREADS")
    _one_thread_per_worker()
    try:
        context = multiprocessing.get_context("spawn")
        with context.Pool(min(workers, len(jobs))) as pool:
            _report(pool.imap_unordered(_work, jobs), len(jobs))
    finally:
        if before is None:
            os.environ.pop("LP_NUM_THREADS", None)
        else:
            os.environ["LP_NUM_THREADS"] = before
    return paths


def _report(finished, total: int) -> None:
    if sys.stderr.isatty():
        from tqdm import tqdm

        for _ in tqdm(finished, total=total, desc="rooms", unit="shard"):
            pass
        return
    start, images = time.monotonic(), 0
    for done, count in enumerate(finished, 1):
        images += count
        rate = images / (time.monotonic() - start)
        print(f"shard {done} of {total}: {images} images, {rate:.1f} images/s", file=sys.stderr, flush=True)
