# SPDX-License-Identifier: Apache-2.0
"""rosbag2 recordings of an RGB-D camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip2depth_ros.camera import Rectifiers
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.bag_file import is_bag
from clip2depth_ros.io.bag_index import BagIndex
from clip2depth_ros.training.datasets.base import (
    DataSet,
    Succession,
    check_sizes,
    frame_numbers,
    rectified,
)
from clip2depth_ros.training.datasets.splits import check_split, split_frames

SOURCE = (
    "record color, depth registered to it, and its camera_info: ros2 bag record COLOR DEPTH CAMERA_INFO; "
    "docs/datasets.md shows it."
)
LONGEST_PAUSE = 0.2  # seconds between frames that still follow each other


class RosBags(DataSet):
    """One bag (a folder, .mcap or .db3), or all bags in a folder.

    topic: of color images, raw or compressed; None takes the only camera. depth_topic: of depth images
    registered to the color image (16UC1, 32FC1, or compressedDepth); None takes the only topic with "depth"
    in its name. tolerance: seconds between a color image and its depth at most. every: keep every n-th
    frame. Images and depth are rectified where camera_info says that they are distorted. Validation takes
    whole bags, or the end of a single one.
    """

    def __init__(
        self,
        root: Path,
        split: str = "train",
        topic: str | None = None,
        depth_topic: str | None = None,
        tolerance: float = 0.02,
        every: int = 1,
        validation_share: float = 0.1,
        seed: int = 0,
    ) -> None:
        check_split("rosbag", split, official_test=False)
        if every < 1:
            raise Clip2DepthError(f"rosbag: every must be at least 1, it is {every}.")
        self.name = f"rosbag {split} of {root}"
        self._rectifiers = Rectifiers(limit=None)
        bags = [BagIndex(path, topic, depth_topic) for path in _find_bags(root)]
        frames = [(bag, *pair) for bag in bags for pair in bag.pairs(tolerance)[::every]]
        names = [str(bag.path) for bag, *_ in frames]
        chosen = split_frames(names, split, validation_share, seed, str(root))
        self._frames = [frames[i] for i in chosen]
        pause = LONGEST_PAUSE * every
        places = []
        for bag in bags:
            stamps = np.array([color.stamp * 1e-9 for one, _, color, _ in self._frames if one is bag])
            places += [(str(bag.path), int(number)) for number in frame_numbers(stamps, pause)]
        self._succession = Succession(places)

    def __len__(self) -> int:
        return len(self._frames)

    def following(self, index: int) -> int | None:
        return self._succession.after(index)

    def __getitem__(self, index: int) -> Frame:
        bag, *pair = self._frames[index]
        frame = bag.read(*pair)
        check_sizes(frame, f"{bag.path}, {bag.topic} and {bag.depth_topic}")
        return rectified(frame, self._rectifiers)


def _find_bags(root: Path) -> list[Path]:
    if is_bag(root):
        return [root]
    bags = sorted(p for p in root.iterdir() if is_bag(p)) if root.is_dir() else []
    if not bags:
        raise Clip2DepthError(f"There is no rosbag2 recording at {root}; {SOURCE}")
    return bags
