# SPDX-License-Identifier: Apache-2.0
"""The interface of a data set: frames by number, and which frame follows which."""

from __future__ import annotations

import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from clip2depth_ros.camera import Rectifiers
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.compressed import read_rgb
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.rgbd import read_depth_png


class DataSet(ABC):
    """Frames with ground-truth depth, by number. A number gives the same frame in every process.

    A frame's `camera` is rectified and of the image's size. Its `depth` is never None, its `name` is unique
    in the data set, its `pose` is None where it was not measured, and its `stamp` is its number where no time
    is recorded.

    name: for people. benchmark: the evaluation rule of the data set: "nyu", "kitti" or "none". draws: True
    where frames are rendered by OpenGL, which is not possible in a forked process. Objects can be pickled;
    each process opens the files for itself.
    """

    name: str
    benchmark: str = "none"
    draws: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Frame:
        """Frame `index`, 0 to len - 1. Raises Clip2DepthError where its file is missing or broken."""

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))

    def following(self, index: int) -> int | None:
        """Number of the next frame of the same recording, None where there is none."""
        return None

    def frames(self, *, every: int = 1, limit: int | None = None) -> Iterator[tuple[Frame, bool]]:
        """Every n-th frame, up to a limit, and whether it continues the recording of the frame before."""
        last = None
        for index in itertools.islice(range(0, len(self), every), limit):
            yield self[index], last is not None and self._is_after(last, index, every)
            last = index

    def _is_after(self, first: int, index: int, steps: int) -> bool:
        at: int | None = first
        for _ in range(steps):
            at = None if at is None else self.following(at)
        return at == index

    def prepare(self) -> None:  # noqa: B027 - most data sets need no preparation
        """Make missing files, where the data set can make them: the simulator renders."""


def motion_between(first: Frame, second: Frame) -> np.ndarray | None:
    """(4, 4) float64: takes points of the first's optical frame into the second's; None without poses."""
    if first.pose is None or second.pose is None:
        return None
    return np.linalg.inv(second.pose) @ first.pose


class Succession:
    """Which frame follows which, from each frame's recording and its number there."""

    def __init__(self, places: Sequence[tuple[Hashable, int]]) -> None:
        """places: (recording, frame number) of every frame; the frame after number n is number n + 1."""
        at = {place: index for index, place in enumerate(places)}
        self._next = np.array([at.get((recording, n + 1), -1) for recording, n in places], np.int64)

    def after(self, index: int) -> int | None:
        """The frame that follows `index`."""
        following = int(self._next[index])
        return None if following < 0 else following


def frame_numbers(stamps: np.ndarray, longest: float) -> np.ndarray:
    """Numbers for ascending stamps (N,): one more for each frame, two more after a pause over `longest`."""
    steps = np.where(np.diff(stamps) <= longest, 1, 2)
    return np.concatenate([[0], np.cumsum(steps)]).astype(int) if len(stamps) else np.zeros(0, int)


def rectified(frame: Frame, rectifiers: Rectifiers) -> Frame:
    """The frame without lens distortion; depth is NaN where the source image has no pixel."""
    rectifier = rectifiers.of(frame.camera)
    if rectifier is None:
        return frame
    return replace(
        frame,
        image=rectifier.rectify(frame.image),
        depth=rectifier.rectify_depth(frame.depth),
        camera=rectifier.camera,
    )


def check_sizes(frame: Frame, where: object) -> None:
    """Raises Clip2DepthError, which names `where`, unless image, depth and camera have the same size."""
    sizes = frame.image.shape[1::-1], frame.depth.shape[1::-1], frame.camera.size
    if len(set(sizes)) > 1:
        image_size, depth_size, camera_size = (f"{width}x{height}" for width, height in sizes)
        raise Clip2DepthError(
            f"{where}: the image is {image_size}, its depth {depth_size} and its camera {camera_size}; depth "
            "must be registered to the image, and the calibration must be of this camera."
        )


@contextlib.contextmanager
def naming(source: str) -> Iterator[None]:
    """Adds `source`, where the data come from, to a Clip2DepthError."""
    try:
        yield
    except Clip2DepthError as error:
        raise Clip2DepthError(f"{str(error).rstrip('.')}; {source}") from None


def read_color(path: Path, source: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB. Raises Clip2DepthError, which names the file and its `source`."""
    if not path.is_file():
        raise Clip2DepthError(f"The image {path} is missing; {source}")
    with naming(source):
        return read_rgb(path)


def read_depth(path: Path, units_per_meter: float, source: str) -> np.ndarray:
    """(H, W) float32 meters, NaN unknown, of a 16-bit PNG in which 0 is unknown.

    Raises Clip2DepthError, which names the file and its `source`.
    """
    with naming(source):
        return read_depth_png(path, units_per_meter)
