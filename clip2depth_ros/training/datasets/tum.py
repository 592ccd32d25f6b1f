# SPDX-License-Identifier: Apache-2.0
"""TUM RGB-D sequences: color, depth and motion capture, joined by time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from clip2depth_ros.camera import Camera, Rectifiers
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.tum import CAMERAS, SOURCE, Entry, read_frame, read_sequence, sequence_camera
from clip2depth_ros.training.datasets.base import (
    DataSet,
    Succession,
    check_sizes,
    frame_numbers,
    naming,
    rectified,
)
from clip2depth_ros.training.datasets.splits import check_split, split_frames

LONGEST_PAUSE = 0.1  # seconds between frames that still follow each other


class Tum(DataSet):
    """One sequence (a folder with rgb.txt and depth.txt), or all sequences in a folder.

    camera: 1, 2 or 3 for freiburg1 to 3; None reads it from the sequence's name. tolerance: seconds between
    a color image, its depth image and its pose at most. Images and depth are rectified. Poses come from
    groundtruth.txt where that exists. Validation takes whole sequences, or the end of a single one.
    """

    def __init__(
        self,
        root: Path,
        split: str = "train",
        camera: int | None = None,
        tolerance: float = 0.02,
        validation_share: float = 0.1,
        seed: int = 0,
    ) -> None:
        check_split("tum", split, official_test=False)
        self.name = f"tum {split} of {root}"
        self._rectifiers = Rectifiers(limit=None)
        sequences = (
            [root] if (root / "rgb.txt").is_file() else sorted(p.parent for p in root.glob("*/rgb.txt"))
        )
        if not sequences:
            raise Clip2DepthError(f"There is no rgb.txt in {root} or in a folder of it; {SOURCE}")
        frames, places = [], []
        for sequence in sequences:
            of_sequence = _camera(sequence, camera)
            found = _with_depth(sequence, tolerance)
            frames += [(entry, of_sequence) for entry in found]
            numbers = frame_numbers(np.array([entry.time for entry in found]), LONGEST_PAUSE)
            places += [(sequence.name, int(number)) for number in numbers]
        chosen = split_frames([place[0] for place in places], split, validation_share, seed, str(root))
        self._frames = [frames[i] for i in chosen]
        self._succession = Succession([places[i] for i in chosen])

    def __len__(self) -> int:
        return len(self._frames)

    def following(self, index: int) -> int | None:
        return self._succession.after(index)

    def __getitem__(self, index: int) -> Frame:
        entry, camera = self._frames[index]
        with naming(SOURCE):
            frame = read_frame(entry)
        name = f"{entry.color.parent.parent.name}/{frame.name}"
        frame = replace(frame, camera=camera, name=name)
        check_sizes(frame, entry.color)
        return rectified(frame, self._rectifiers)


def _camera(sequence: Path, number: int | None) -> Camera:
    camera = sequence_camera(sequence) if number is None else CAMERAS.get(number)
    if camera is None:
        raise Clip2DepthError(
            f"{sequence}: its name does not say which camera took it (freiburg1, 2 or 3); give 'camera'."
        )
    return camera


def _with_depth(folder: Path, tolerance: float) -> list[Entry]:
    """Every frame that has a depth image."""
    if not (folder / "depth.txt").is_file():
        raise Clip2DepthError(f"There is no {folder / 'depth.txt'}; {SOURCE}")
    frames = [entry for entry in read_sequence(folder, tolerance) if entry.depth is not None]
    if not frames:
        raise Clip2DepthError(f"{folder}: no color image has a depth image within {tolerance:g} s; {SOURCE}")
    return frames
