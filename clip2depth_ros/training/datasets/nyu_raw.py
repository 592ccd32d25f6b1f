# SPDX-License-Identifier: Apache-2.0
"""NYU Depth v2, raw training frames in the usual synchronized form: a folder per scene and a list file."""

from __future__ import annotations

import re
from pathlib import Path

from clip2depth_ros.images.frame import Frame
from clip2depth_ros.training.datasets.base import check_sizes, read_color, read_depth
from clip2depth_ros.training.datasets.listed import ListedFrames
from clip2depth_ros.training.datasets.nyu_labelled import CAMERA, inside

SOURCE = (
    "the synchronized frames (sync.zip) and their lists are described in "
    "https://github.com/cleinc/bts#nyu-depth-v2 ; the root is the folder that the list's paths begin in."
)
LISTS = {
    "train": "nyudepthv2_train_files_with_gt.txt",
    "validation": "nyudepthv2_train_files_with_gt.txt",
    "all": "nyudepthv2_train_files_with_gt.txt",
    "test": "nyudepthv2_test_files_with_gt.txt",
}


class NyuRaw(ListedFrames):
    """The frames of a list, whose lines are `rgb_path depth_path focal`; depth in 16-bit millimeters.

    list: a path, or a file in the root; None takes the usual name for the split. crop: remove the white frame
    around the images; None does so for training and validation. Validation takes its share of the list's
    scenes.
    """

    benchmark = "nyu"

    def __init__(
        self,
        root: Path,
        split: str = "train",
        list: str | None = None,
        crop: bool | None = None,
        validation_share: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__("nyu_raw", root, split, list, LISTS, validation_share, seed, SOURCE)
        self._crop = split in ("train", "validation") if crop is None else crop

    def _group(self, image: str, path: Path) -> str:
        return str(Path(image).parent)

    def _place(self, image: str) -> tuple[str, int]:
        digits = re.search(r"(\d+)$", Path(image).stem)
        # Without a number, each frame is its own recording, and none follows another.
        return (str(Path(image).parent), int(digits[1])) if digits else (image, 0)

    def __getitem__(self, index: int) -> Frame:
        entry = self._entries[index]
        image = read_color(self._root / entry.image, SOURCE)
        depth = read_depth(self._root / entry.depth, 1000.0, SOURCE)
        camera = CAMERA
        if image.shape[1::-1] != CAMERA.size:
            camera = CAMERA.scaled(image.shape[1], image.shape[0])
        name = str(Path(entry.image).with_suffix(""))
        frame = Frame(image, index, "camera", camera, name, depth)
        check_sizes(frame, self._root / entry.image)
        return inside(frame) if self._crop and camera is CAMERA else frame
