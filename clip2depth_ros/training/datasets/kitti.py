# SPDX-License-Identifier: Apache-2.0
"""KITTI: raw drives, annotated depth, and a split's file list (Eigen's is the usual one)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.training.datasets.base import check_sizes, read_color, read_depth
from clip2depth_ros.training.datasets.kitti_calibration import camera_of, pose_of
from clip2depth_ros.training.datasets.listed import ListedFrames

SOURCE = (
    "get the raw drives (synced+rectified data and calibration) from "
    "https://www.cvlibs.net/datasets/kitti/raw_data.php , data_depth_annotated.zip from "
    "https://www.cvlibs.net/datasets/kitti/eval_depth.php?benchmark=depth_prediction and Eigen's lists from "
    "https://github.com/cleinc/bts (train_test_inputs)."
)
LISTS = {
    "train": "eigen_train_files_with_gt.txt",
    "validation": "eigen_train_files_with_gt.txt",
    "all": "eigen_train_files_with_gt.txt",
    "test": "eigen_test_files_with_gt.txt",
}
KB_SIZE = (1216, 352)
"""Width and height of the crop of the KITTI depth benchmark."""


class Kitti(ListedFrames):
    """The frames of a list, whose lines are `date/drive/image_02/data/N.png depth_path focal`.

    root: folder of the dates. depth_root: of the annotated depth, where drives lie directly or under train/
    and val/; None is the root. list: a path, or a file in the root; None takes the usual name for the split.
    kb_crop: take the lower middle 1216x352 of every image, which has all lidar points; None does so for
    training and validation. Validation takes its share of the list's drives. Frames have poses where the
    drive's oxts/ exists.
    """

    benchmark = "kitti"

    def __init__(
        self,
        root: Path,
        split: str = "train",
        depth_root: Path | None = None,
        list: str | None = None,
        kb_crop: bool | None = None,
        validation_share: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__("kitti", root, split, list, LISTS, validation_share, seed, SOURCE)
        self._depth_root = depth_root or root
        self._crop = split in ("train", "validation") if kb_crop is None else kb_crop

    def _group(self, image: str, path: Path) -> str:
        if len(Path(image).parts) != 5 or not Path(image).stem.isdecimal():
            raise Clip2DepthError(
                f"{path} names {image}; a line begins with date/drive/image_02/data/number.png; {SOURCE}"
            )
        return "/".join(Path(image).parts[:2])

    def _place(self, image: str) -> tuple[str, int]:
        return str(Path(image).parent), int(Path(image).stem)

    def __getitem__(self, index: int) -> Frame:
        entry = self._entries[index]
        date, drive, stream, _, name = Path(entry.image).parts
        image = read_color(_with_suffix_found(self._root / entry.image), SOURCE)
        depth = read_depth(self._find_depth(entry.depth), 256.0, SOURCE)
        camera = _camera(self._root / date, stream)
        pose = pose_of(self._root / date, drive, stream, int(Path(name).stem))
        name = str(Path(entry.image).with_suffix(""))
        frame = Frame(image, index, "camera", camera, name, depth, pose)
        check_sizes(frame, self._root / entry.image)
        if self._crop:
            x, y = (camera.width - KB_SIZE[0]) // 2, camera.height - KB_SIZE[1]
            if min(x, y) < 0:
                raise Clip2DepthError(
                    f"{self._root / entry.image} is smaller than {KB_SIZE[0]}x{KB_SIZE[1]}; set kb_crop: "
                    "false."
                )
            frame.image = image[y:, x : x + KB_SIZE[0]]
            frame.depth = depth[y:, x : x + KB_SIZE[0]]
            frame.camera = camera.cropped(x, y, *KB_SIZE)
        return frame

    def _find_depth(self, path: str) -> Path:
        """The depth image's path: the archive has drives in train/ and val/, most lists do not say which."""
        places = [self._depth_root / path, self._depth_root / "train" / path, self._depth_root / "val" / path]
        return next((place for place in places if place.is_file()), places[0])


def _with_suffix_found(path: Path) -> Path:
    """The path, or the same image as JPEG or PNG: many users store the raw drives as JPEG."""
    if path.is_file():
        return path
    others = (path.with_suffix(suffix) for suffix in (".png", ".jpg"))
    return next((other for other in others if other.is_file()), path)


@lru_cache(maxsize=32)
def _camera(date: Path, stream: str) -> Camera:
    return camera_of(date, stream, SOURCE)
