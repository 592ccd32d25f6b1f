# SPDX-License-Identifier: Apache-2.0
"""Taps of the frozen image tower, computed once: training runs only the decoder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from clip2depth_ros.adaptation.objective import BATCH
from clip2depth_ros.adaptation.recording import Keyframes
from clip2depth_ros.files.replacing import writing
from clip2depth_ros.network import Clip2Depth


@torch.no_grad()
def tower_taps(
    network: Clip2Depth,
    images: np.ndarray,
    new_array: Callable[[int, tuple[int, ...]], np.ndarray] = lambda k, shape: np.empty(shape, np.float16),
) -> list[np.ndarray]:
    """The image tower's taps of (N, H, W, 3) uint8 RGB, each (N, C, h, w) float16.

    new_array(k, shape) makes the array of tap k. The arrays are whole from the start: joining parts would
    need twice the memory.
    """
    taps: list[np.ndarray] = []
    for begin in range(0, len(images), BATCH):
        part = slice(begin, begin + BATCH)
        found = network.image_tower(network.preprocess(torch.from_numpy(images[part])))
        if not taps:
            taps = [new_array(k, (len(images), *tap.shape[1:])) for k, tap in enumerate(found)]
        for tap, values in zip(taps, found, strict=True):
            tap[part] = values.half().numpy()
    return taps


def stored_taps(network: Clip2Depth, frames: Keyframes, folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """The taps of all keyframes, in files, and the network's depth (N, h, w), meters at the inner size.

    They are read from `folder` where an earlier call has completed them. Raises Clip2DepthError where they
    cannot be written.
    """
    done = folder / "done"
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        with writing(folder):
            folder.mkdir()
            taps = tower_taps(network, frames.images, lambda k, shape: _new_file(folder / f"{k}.npy", shape))
            np.save(folder / "old.npy", _depths(network, frames, taps))
            for tap in taps:
                tap.flush()  # pyright: ignore[reportAttributeAccessIssue]
            done.touch()
    count = len(network.image_tower.taps)
    return [np.load(folder / f"{k}.npy", mmap_mode="r") for k in range(count)], np.load(folder / "old.npy")


def _new_file(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """An array in a new file. Raises OSError where the disk has no room for it."""
    array = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    with path.open("r+b") as file:  # a write into a mapped file on a full disk would kill the process
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


@torch.no_grad()
def _depths(network: Clip2Depth, frames: Keyframes, taps: list[np.ndarray]) -> np.ndarray:
    found = []
    for begin in range(0, len(frames), BATCH):
        part = [torch.from_numpy(np.asarray(tap[begin : begin + BATCH])).float() for tap in taps]
        depth = network.decode(part) * frames.focal_scale
        found.append(depth[:, frames.inner[0], frames.inner[1]].numpy())
    return np.concatenate(found)
