# SPDX-License-Identifier: Apache-2.0
"""RGB-D folders: rgb/, depth/, camera.json and, where they are known, poses.txt."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.io.images import DEPTH_SCALES, IMAGE_SUFFIXES, natural_key, read_fact, read_poses
from clip2depth_ros.training.datasets.base import (
    DataSet,
    Rectification,
    Sample,
    Succession,
    check_sizes,
    read_depth_png,
)
from clip2depth_ros.training.datasets.listed import read_colour
from clip2depth_ros.training.datasets.splits import check_split, split_frames

SOURCE = (
    "a folder holds rgb/NAME.jpg or .png, depth/NAME.png (16 bit, 0 = unknown), camera.json (fx fy cx cy "
    "width height depth_scale) and, where known, poses.txt; docs/datasets.md shows it."
)


class RgbdFolders(DataSet):
    """One folder with rgb/, or all such folders in a folder.

    Colour images without a depth image are left out. Validation takes whole folders, or the end of a single
    one. Frames follow each other in the natural order of their names.
    """

    def __init__(
        self, root: Path, split: str = "train", validation_share: float = 0.1, seed: int = 0
    ) -> None:
        check_split("rgbd", split, official_test=False)
        self.name = f"rgbd {split} of {root}"
        self._rectification = Rectification()
        folders = [root] if (root / "rgb").is_dir() else sorted(p.parent for p in root.glob("*/rgb"))
        if not folders:
            raise Clip2DepthError(f"There is no folder rgb in {root} or in a folder of it; {SOURCE}")
        self._cameras = [_Facts(folder) for folder in folders]
        frames = [(number, *frame) for number, folder in enumerate(folders) for frame in _read_folder(folder)]
        names = [folders[number].name for number, *_ in frames]
        chosen = split_frames(names, split, validation_share, seed, str(root))
        self._frames = [frames[i] for i in chosen]
        self._succession = Succession([(number, place) for number, place, _ in self._frames])

    def __len__(self) -> int:
        return len(self._frames)

    def following(self, index: int) -> int | None:
        return self._succession.after(index)

    def __getitem__(self, index: int) -> Sample:
        number, _, colour = self._frames[index]
        facts = self._cameras[number]
        image = read_colour(colour, SOURCE)
        depth = read_depth_png(facts.folder / "depth" / f"{colour.stem}.png", facts.units_per_metre, SOURCE)
        check_sizes(image, depth, facts.camera, colour)
        image, depth, camera = self._rectification(image, depth, facts.camera)
        pose = facts.poses.get(int(colour.stem)) if colour.stem.isdecimal() else None
        return Sample(image, depth, camera, f"{facts.folder.name}/{colour.stem}", pose=pose)


class _Facts:
    """What a folder says about all of its frames."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "camera.json"
        if not path.is_file():
            raise Clip2DepthError(f"There is no {path}; {SOURCE}")
        self.camera = Camera.from_file(path)
        self.units_per_metre = read_fact(path, "depth_scale", *DEPTH_SCALES) or 1000.0
        self.poses: dict[int, np.ndarray] = read_poses(folder / "poses.txt")


def _read_folder(folder: Path) -> list[tuple[int, Path]]:
    """Place in the recording and colour file of every frame that has a depth."""
    files = (p for p in (folder / "rgb").iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    known = {p.stem for p in (folder / "depth").glob("*.png")}
    frames = [(n, p) for n, p in enumerate(sorted(files, key=natural_key)) if p.stem in known]
    if not frames:
        raise Clip2DepthError(
            f"No image of {folder / 'rgb'} has a depth image in {folder / 'depth'}; {SOURCE}"
        )
    return frames
