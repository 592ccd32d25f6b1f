# SPDX-License-Identifier: Apache-2.0
"""What every data set has in common: numbered samples, and which sample follows which."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.rectifier import Rectifier
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.compressed import read_depth


@dataclass(slots=True)
class Sample:
    """One image with its true depth."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    depth: np.ndarray
    """(H, W) float32, metres along the optical axis, NaN unknown."""
    camera: Camera
    """Rectified, of the image's size."""
    name: str
    """Which one it is, unique in its data set, in the data set's own words."""
    caption: str | None = None
    pose: np.ndarray | None = None
    """(4, 4) float64, optical frame to world, metres; None where nobody measured it."""
    stamp: int | None = None
    """Time of exposure, nanoseconds; None where it is not recorded."""


class DataSet(ABC):
    """Samples by number. The same number gives the same sample, in every process.

    name: for people. benchmark: which rule of evaluation belongs to it: "nyu", "kitti" or "none". draws: True
    where samples are drawn by OpenGL, which a forked process cannot. Objects can be pickled; whatever a
    reader keeps open is opened again in each process.
    """

    name: str
    benchmark: str = "none"
    draws: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Sample `index`, 0 to len - 1. Raises Clip2DepthError where its file is missing or broken."""

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def following(self, index: int) -> int | None:
        """Number of the next frame of the same recording, None where there is none."""
        return None

    def prepare(self) -> None:  # noqa: B027 - most data sets are there or are not
        """Make what the data set can make by itself and has not yet: the simulator renders."""


def motion_between(first: Sample, second: Sample) -> np.ndarray | None:
    """(4, 4) float64: takes points of the first's optical frame into the second's; None without poses."""
    if first.pose is None or second.pose is None:
        return None
    return np.linalg.inv(second.pose) @ first.pose


class Succession:
    """Which sample follows which, from each sample's recording and its place in it."""

    def __init__(self, places: Sequence[tuple[Hashable, int]]) -> None:
        """places: (recording, frame number) of every sample; the frame after number n is number n + 1."""
        at = {place: index for index, place in enumerate(places)}
        self._next = np.array([at.get((recording, n + 1), -1) for recording, n in places], np.int64)

    def after(self, index: int) -> int | None:
        """The sample that follows `index`."""
        following = int(self._next[index])
        return None if following < 0 else following


def frame_numbers(stamps: np.ndarray, longest: float) -> np.ndarray:
    """Numbers for ascending stamps (N,): one more for each frame, two more after a pause over `longest`."""
    steps = np.where(np.diff(stamps) <= longest, 1, 2)
    return np.concatenate([[0], np.cumsum(steps)]).astype(int) if len(stamps) else np.zeros(0, int)


class Rectification:
    """Rectifies image and depth together; maps are made once per camera and process."""

    def __init__(self) -> None:
        self._rectifiers: dict[Camera, Rectifier] = {}

    def __getstate__(self) -> dict:
        return {"_rectifiers": {}}

    def __call__(
        self, image: np.ndarray, depth: np.ndarray, camera: Camera
    ) -> tuple[np.ndarray, np.ndarray, Camera]:
        """Image, depth (NaN where there is no source) and camera without distortion."""
        if camera.is_rectified:
            return image, depth, camera
        if camera not in self._rectifiers:
            self._rectifiers[camera] = Rectifier(camera)
        rectifier = self._rectifiers[camera]
        return (
            rectifier.rectify(image, np.empty_like(image)),
            rectifier.rectify_depth(depth, np.empty_like(depth)),
            rectifier.camera,
        )


def check_sizes(image: np.ndarray, depth: np.ndarray, camera: Camera, where: object) -> None:
    """Raises Clip2DepthError, which names `where`, unless image, depth and camera are of one size."""
    sizes = image.shape[1::-1], depth.shape[1::-1], camera.size
    if len(set(sizes)) > 1:
        image_size, depth_size, camera_size = (f"{width}x{height}" for width, height in sizes)
        raise Clip2DepthError(
            f"{where}: the image is {image_size}, its depth {depth_size} and its camera {camera_size}; depth "
            "must be registered to the image, and the calibration be the camera's."
        )


def read_depth_png(path, units_per_metre: float, source: str) -> np.ndarray:
    """(H, W) float32 metres, NaN unknown, of a 16-bit PNG in which 0 is unknown.

    Raises Clip2DepthError, which names the file and `source`, where the data come from.
    """
    if not path.is_file():
        raise Clip2DepthError(f"The depth image {path} is missing; {source}")
    try:
        raw = read_depth(path)
    except Clip2DepthError as error:
        raise Clip2DepthError(f"{str(error).rstrip('.')}; {source}") from None
    depth = raw.astype(np.float32)
    depth *= np.float32(1.0 / units_per_metre)
    depth[raw == 0] = np.nan
    return depth
