# SPDX-License-Identifier: Apache-2.0
"""RGB-D folders: rgb/, depth/, camera.json and, where they are known, poses.txt."""

from __future__ import annotations

from pathlib import Path

from clip2depth_ros.camera import Camera, Rectifiers
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.rgbd import RgbdFolder
from clip2depth_ros.training.datasets.base import (
    DataSet,
    Succession,
    check_sizes,
    naming,
    read_color,
    rectified,
)
from clip2depth_ros.training.datasets.splits import check_split, split_frames

SOURCE = (
    "a folder holds rgb/NAME.jpg or .png, depth/NAME.png (16 bit, 0 = unknown), camera.json (fx fy cx cy "
    "width height depth_scale) and, where known, poses.txt; docs/datasets.md shows it."
)


class RgbdFolders(DataSet):
    """One folder with rgb/, or all such folders in a folder.

    Color images without a depth image are left out. Validation takes whole folders, or the end of a single
    one. Frames follow each other in the natural order of their names.
    """

    def __init__(
        self, root: Path, split: str = "train", validation_share: float = 0.1, seed: int = 0
    ) -> None:
        check_split("rgbd", split, official_test=False)
        self.name = f"rgbd {split} of {root}"
        self._rectifiers = Rectifiers(limit=None)
        folders = [root] if (root / "rgb").is_dir() else sorted(p.parent for p in root.glob("*/rgb"))
        if not folders:
            raise Clip2DepthError(f"There is no folder rgb in {root} or in a folder of it; {SOURCE}")
        self._folders = [_open(folder) for folder in folders]
        frames = [
            (number, *frame) for number, (folder, _) in enumerate(self._folders) for frame in _frames(folder)
        ]
        names = [folders[number].name for number, *_ in frames]
        chosen = split_frames(names, split, validation_share, seed, str(root))
        self._frames = [frames[i] for i in chosen]
        self._succession = Succession([(number, place) for number, place, _ in self._frames])

    def __len__(self) -> int:
        return len(self._frames)

    def following(self, index: int) -> int | None:
        return self._succession.after(index)

    def __getitem__(self, index: int) -> Frame:
        number, _, file = self._frames[index]
        folder, camera = self._folders[number]
        name = file.stem
        image = read_color(file, SOURCE)
        with naming(SOURCE):
            depth = folder.depth(name)
        frame = Frame(
            image, index, "camera", camera, f"{folder.folder.name}/{name}", depth, folder.pose(name)
        )
        check_sizes(frame, file)
        return rectified(frame, self._rectifiers)


def _open(path: Path) -> tuple[RgbdFolder, Camera]:
    folder = RgbdFolder(path)
    if not folder.camera_file.is_file():
        raise Clip2DepthError(f"There is no {folder.camera_file}; {SOURCE}")
    return folder, Camera.from_file(folder.camera_file)


def _frames(folder: RgbdFolder) -> list[tuple[int, Path]]:
    """Number in the recording and color file of every frame that has a depth image."""
    frames = [(n, p) for n, p in enumerate(folder.images()) if folder.has_depth(p.stem)]
    if not frames:
        path = folder.folder
        raise Clip2DepthError(f"No image of {path / 'rgb'} has a depth image in {path / 'depth'}; {SOURCE}")
    return frames
