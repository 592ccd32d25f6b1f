# SPDX-License-Identifier: Apache-2.0
"""TUM RGB-D sequences: colour, depth and motion capture, each with its own clock ticks, joined by time."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from clip2depth_ros.bounded import MAX_TABLE, read_bounded, reading
from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.transforms import matrix_of, pose_between

from .base import DataSet, Rectification, Sample, Succession, check_sizes, frame_numbers, read_depth_png
from .listed import read_colour
from .splits import check_split, split_frames

SOURCE = "get the sequences from https://cvg.cit.tum.de/data/datasets/rgbd-dataset/download and unpack them."

UNITS_PER_METRE = 5000.0
LONGEST_PAUSE = 0.1  # seconds between frames that still follow each other

# The colour cameras of the three robots, as the data set's page gives them; freiburg3's images are rectified.
CAMERAS = {
    1: Camera(640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    2: Camera(640, 480, 520.9, 521.0, 325.1, 249.7, (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    3: Camera(640, 480, 535.4, 539.2, 320.1, 247.6),
}


class Tum(DataSet):
    """One sequence (a folder with rgb.txt and depth.txt), or all sequences in a folder.

    camera: 1, 2 or 3 for freiburg1 to 3; None reads it from the sequence's name. tolerance: seconds between
    a colour image, its depth image and its pose at most. Images and depth are rectified. Poses come from
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
        self._rectification = Rectification()
        sequences = (
            [root] if (root / "rgb.txt").is_file() else sorted(p.parent for p in root.glob("*/rgb.txt"))
        )
        if not sequences:
            raise Clip2DepthError(f"There is no rgb.txt in {root} or in a folder of it; {SOURCE}")
        frames, places = [], []
        for sequence in sequences:
            found = _read_sequence(sequence, _camera(sequence, camera), tolerance)
            frames += found
            numbers = frame_numbers(np.array([frame[0] for frame in found]), LONGEST_PAUSE)
            places += [(sequence.name, int(number)) for number in numbers]
        chosen = split_frames([place[0] for place in places], split, validation_share, seed, str(root))
        self._frames = [frames[i] for i in chosen]
        self._succession = Succession([places[i] for i in chosen])

    def __len__(self) -> int:
        return len(self._frames)

    def following(self, index: int) -> int | None:
        return self._succession.after(index)

    def __getitem__(self, index: int) -> Sample:
        time, colour, depth_file, pose, camera = self._frames[index]
        image = read_colour(colour, SOURCE)
        depth = read_depth_png(depth_file, UNITS_PER_METRE, SOURCE)
        check_sizes(image, depth, camera, colour)
        image, depth, camera = self._rectification(image, depth, camera)
        name = f"{colour.parent.parent.name}/{colour.stem}"
        return Sample(image, depth, camera, name, pose=pose, stamp=round(time * 1e9))


def _camera(sequence: Path, number: int | None) -> Camera:
    if number is None:
        named = re.search(r"freiburg(\d)", sequence.resolve().name)
        number = int(named[1]) if named else None
    if number not in CAMERAS:
        raise Clip2DepthError(
            f"{sequence}: its name does not say which camera took it (freiburg1, 2 or 3); give 'camera'."
        )
    return CAMERAS[number]


def _read_sequence(folder: Path, camera: Camera, tolerance: float) -> list[tuple]:
    """Time (s), colour file, depth file, pose or None, and camera of every frame that has a depth."""
    colours, depths = (_read_index(folder / f"{name}.txt") for name in ("rgb", "depth"))
    times = np.array([time for time, _ in colours])
    poses = _read_poses(folder / "groundtruth.txt")
    frames = []
    for i, j in match_times(times, np.array([time for time, _ in depths]), tolerance):
        time = float(times[i])
        pose = None if poses is None else pose_at(*poses, time, tolerance)
        frames.append((time, folder / colours[i][1], folder / depths[j][1], pose, camera))
    if not frames:
        raise Clip2DepthError(f"{folder}: no colour image has a depth image within {tolerance:g} s; {SOURCE}")
    return frames


def match_times(first: np.ndarray, second: np.ndarray, tolerance: float) -> list[tuple[int, int]]:
    """Pairs (i, j) of ascending times (N,) and (M,) at most `tolerance` apart, closest first come, no time
    used twice, as the data set's own tool does; in the order of `first`."""
    if not len(second):
        return []
    right = np.searchsorted(second, first)
    candidates = []
    for j in (right - 1, right):
        inside = (j >= 0) & (j < len(second))
        apart = np.abs(first - second[np.clip(j, 0, len(second) - 1)])
        candidates += [(apart[i], int(i), int(j[i])) for i in np.flatnonzero(inside & (apart <= tolerance))]
    taken, used = {}, set()
    for _, i, j in sorted(candidates):
        if i not in taken and j not in used:
            taken[i] = j
            used.add(j)
    return sorted(taken.items())


def pose_at(
    times: np.ndarray, positions: np.ndarray, quaternions: np.ndarray, time: float, tolerance: float
) -> np.ndarray | None:
    """(4, 4) pose between the two measured ones around `time`; None where one is over `tolerance` away.

    times: (N,) ascending, seconds; positions: (N, 3) metres; quaternions: (N, 4) x y z w.
    """
    right = int(np.searchsorted(times, time))
    if right < len(times) and times[right] == time:
        left = right
    else:
        left = right - 1
        if left < 0 or right == len(times):
            return None
    if max(time - times[left], times[right] - time) > tolerance:
        return None
    span = times[right] - times[left]
    along = (time - times[left]) / span if span else 0.0
    one, two = ((positions[i], quaternions[i] / np.linalg.norm(quaternions[i])) for i in (left, right))
    return matrix_of(*pose_between(one, two, along))


def _read_index(path: Path) -> list[tuple[float, str]]:
    """(time, file) of every line, in the order of time."""
    if not path.is_file():
        raise Clip2DepthError(f"There is no {path}; {SOURCE}")
    entries = []
    with reading(path):
        lines = read_bounded(path, MAX_TABLE).decode().splitlines()
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        try:
            entries.append((float(words[0]), words[1]))
        except (ValueError, IndexError):
            raise Clip2DepthError(
                f"{path}, line {number}: a line takes a time and a file, not '{printable(line)}'."
            ) from None
    return sorted(entries)


def _read_poses(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Times (N,), positions (N, 3) and quaternions (N, 4), in the order of time; None without a file."""
    if not path.is_file():
        return None
    with reading(path):
        lines = read_bounded(path, MAX_TABLE).decode().splitlines()
        rows = np.loadtxt(lines, ndmin=2, comments="#")
    if rows.ndim != 2 or rows.shape[1] != 8:
        raise Clip2DepthError(f"{path}: a line takes a time, a position and a quaternion, 8 numbers.")
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return rows[:, 0], rows[:, 1:4], rows[:, 4:]
