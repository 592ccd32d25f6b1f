# SPDX-License-Identifier: Apache-2.0
"""NYU Depth v2, the labeled part: one MATLAB file of 1449 images, and the official split in another."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import read_bounded, reading, reason_of
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.training.datasets.base import DataSet
from clip2depth_ros.training.datasets.splits import check_split, split_frames

MAX_SPLIT = 2**22  # bytes

LABELLED = "nyu_depth_v2_labeled.mat"
SPLITS_FILE = "splits.mat"
SOURCE = (
    "get nyu_depth_v2_labeled.mat and the split (splits.mat) from "
    "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html and put both into the root."
)

CAMERA = Camera(640, 480, 518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465)
"""The color camera by the calibration of the data set's toolbox; its images are undistorted."""

INSIDE = (43, 45, 608, 472)
"""x0, y0, x1, y1: the area that the projection onto the color camera fills; outside, images are white."""


class NyuLabelled(DataSet):
    """root/nyu_depth_v2_labeled.mat (HDF5) and root/splits.mat: 795 training and 654 test images.

    depth: "raw" takes `rawDepths`, what was measured, as the usual evaluation does; "filled" takes `depths`,
    whose holes the authors filled in.
    crop: remove the white frame; None does so for training and validation, because the benchmark's own crop
    needs the whole test image. Validation images are those of a `validation_share` of the training scenes.
    """

    benchmark = "nyu"

    def __init__(
        self,
        root: Path,
        split: str = "train",
        depth: str = "raw",
        crop: bool | None = None,
        validation_share: float = 0.05,
        seed: int = 0,
    ) -> None:
        check_split("nyu_labelled", split, official_test=True)
        if depth not in ("filled", "raw"):
            raise Clip2DepthError(f"nyu_labelled: depth is 'raw' or 'filled', not '{depth}'.")
        self.name = f"nyu_labelled {split} of {root}"
        self._path = root / LABELLED
        self._depth = "depths" if depth == "filled" else "rawDepths"
        self._crop = split in ("train", "validation") if crop is None else crop
        self._file = None
        self._process = 0
        for path in (self._path, root / SPLITS_FILE):
            if not path.is_file():
                raise Clip2DepthError(f"There is no {path}; {SOURCE}")
        with reading(self._path):
            count = len(self._opened()["images"])
        self._indices = self._choose(root / SPLITS_FILE, count, split, validation_share, seed)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Frame:
        with reading(f"Image {int(self._indices[index]) + 1} of {self._path}"):
            return self._sample(index)

    def _sample(self, index: int) -> Frame:
        number = int(self._indices[index])
        file = self._opened()
        # MATLAB stores columns first: (3, W, H) and (W, H) here.
        for name, shape in (("images", (3, CAMERA.width, CAMERA.height)), (self._depth, CAMERA.size)):
            if file[name].shape[1:] != shape:  # before it is unpacked
                raise Clip2DepthError(f"{self._path}: '{name}' is of the shape {file[name].shape}; {SOURCE}")
        image = np.ascontiguousarray(file["images"][number].transpose(2, 1, 0))
        depth = np.ascontiguousarray(file[self._depth][number].T, np.float32)
        depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
        frame = Frame(image, index, "camera", CAMERA, f"{number + 1:05d}", depth)
        return inside(frame) if self._crop else frame

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None}

    def _opened(self):
        """The HDF5 file, opened by this process: HDF5's state must not cross a fork."""
        if self._file is None or self._process != os.getpid():
            h5py, _ = _readers()
            try:
                self._file = h5py.File(self._path, "r")
            except Exception as error:  # h5py has its own
                raise Clip2DepthError(
                    f"{self._path} is no MATLAB 7.3 file ({reason_of(error)}); {SOURCE}"
                ) from error
            self._process = os.getpid()
            for name in ("images", self._depth, "scenes"):
                if name not in self._file:
                    raise Clip2DepthError(f"{self._path} holds no '{name}'; {SOURCE}")
        return self._file

    def _choose(self, path: Path, count: int, split: str, share: float, seed: int) -> np.ndarray:
        """Indices, from 0, of the split's images."""
        _, matlab = _readers()
        try:
            numbers = matlab.loadmat(io.BytesIO(read_bounded(path, MAX_SPLIT)))
            train, test = (numbers[name].ravel().astype(int) - 1 for name in ("trainNdxs", "testNdxs"))
            if not (train.size and test.size) or min(train.min(), test.min()) < 0:
                raise ValueError("it names no images")
        except Exception as error:  # scipy has its own
            raise Clip2DepthError(
                f"{path} is not the split with trainNdxs and testNdxs ({reason_of(error)}); {SOURCE}"
            ) from error
        if max(train.max(), test.max()) >= count:
            raise Clip2DepthError(
                f"{path} names image {max(train.max(), test.max()) + 1}, {self._path} has {count}; {SOURCE}"
            )
        if split == "all":
            return np.arange(count)
        if split == "test":
            return np.sort(test)
        train = np.sort(train)
        with reading(self._path):
            scenes = [self._text(self._opened()["scenes"], i) for i in train]
        return train[split_frames(scenes, split, share, seed, str(self._path))]

    def _text(self, cells, index: int) -> str:
        """Text number `index` of a MATLAB cell array: (1, N) references to arrays of characters."""
        return "".join(map(chr, np.ravel(self._opened()[np.ravel(cells[0, index])[0]][()])))


def inside(frame: Frame) -> Frame:
    """The frame of CAMERA's size, cropped to INSIDE."""
    x0, y0, x1, y1 = INSIDE
    return replace(
        frame,
        image=frame.image[y0:y1, x0:x1],
        depth=frame.depth[y0:y1, x0:x1],
        camera=frame.camera.cropped(x0, y0, x1 - x0, y1 - y0),
    )


def _readers():
    """h5py, and scipy.io for the older format."""
    try:
        import h5py
        import scipy.io
    except ImportError as error:
        raise Clip2DepthError(
            f"Reading NYU's MATLAB files needs {error.name}: pip install 'clip2depth_ros[train]'."
        ) from None
    return h5py, scipy.io
