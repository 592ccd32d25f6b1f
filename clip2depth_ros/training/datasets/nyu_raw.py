# SPDX-License-Identifier: Apache-2.0
"""NYU Depth v2, raw training frames in the usual synchronised form: a folder per scene and a list file."""

from __future__ import annotations

import re
from pathlib import Path

from .base import DataSet, Sample, Succession, check_sizes, read_depth_png
from .listed import find_list, read_colour, read_list
from .nyu_labelled import CAMERA, INSIDE
from .splits import check_split, split_frames

SOURCE = (
    "the synchronised frames (sync.zip) and their lists are described in "
    "https://github.com/cleinc/bts#nyu-depth-v2 ; the root is the folder that the list's paths begin in."
)
LISTS = {
    "train": "nyudepthv2_train_files_with_gt.txt",
    "validation": "nyudepthv2_train_files_with_gt.txt",
    "all": "nyudepthv2_train_files_with_gt.txt",
    "test": "nyudepthv2_test_files_with_gt.txt",
}


class NyuRaw(DataSet):
    """The frames of a list, whose lines are `rgb_path depth_path focal`; depth in 16-bit millimetres.

    list: a path, or a file in the root; None takes the usual name for the split. crop: leave the white frame
    around the images away; None does so for training and validation. Validation frames are those of a
    `validation_share` of the list's scenes.
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
        check_split("nyu_raw", split, official_test=True)
        self.name = f"nyu_raw {split} of {root}"
        self._root = root
        self._crop = split in ("train", "validation") if crop is None else crop
        path = find_list(list or LISTS[split], root, SOURCE)
        entries = [entry for entry in read_list(path, SOURCE) if entry.depth is not None]
        scenes = [str(Path(entry.image).parent) for entry in entries]
        chosen = split_frames(scenes, split, validation_share, seed, str(path))
        self._entries = [entries[i] for i in chosen]
        self._succession = Succession([_place(entry.image) for entry in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    def following(self, index: int) -> int | None:
        return self._succession.after(index)

    def __getitem__(self, index: int) -> Sample:
        entry = self._entries[index]
        image = read_colour(self._root / entry.image, SOURCE)
        depth = read_depth_png(self._root / entry.depth, 1000.0, SOURCE)
        camera = CAMERA
        if image.shape[1::-1] != CAMERA.size:
            camera = CAMERA.scaled(image.shape[1], image.shape[0])
        check_sizes(image, depth, camera, self._root / entry.image)
        if self._crop and camera is CAMERA:
            x0, y0, x1, y1 = INSIDE
            image, depth = image[y0:y1, x0:x1], depth[y0:y1, x0:x1]
            camera = camera.cropped(x0, y0, x1 - x0, y1 - y0)
        return Sample(image, depth, camera, str(Path(entry.image).with_suffix("")))


def _place(image: str) -> tuple[str, int]:
    """Scene and frame number of scene/rgb_00045.jpg."""
    path = Path(image)
    digits = re.search(r"(\d+)$", path.stem)
    # Without a number no frame follows another: each is a recording of its own.
    return (str(path.parent), int(digits[1])) if digits else (image, 0)
