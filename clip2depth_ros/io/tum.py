# SPDX-License-Identifier: Apache-2.0
"""TUM RGB-D sequences: rgb.txt, depth.txt and groundtruth.txt, joined by time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.transforms import FARTHEST, matrix_of, pose_between, unit_quaternion
from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.files.bounded import MAX_TABLE, read_bounded, reading
from clip2depth_ros.images.compressed import read_rgb
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.rgbd import read_depth_png
from clip2depth_ros.io.source import DEFAULT_FPS, Source

SOURCE = "get the sequences from https://cvg.cit.tum.de/data/datasets/rgbd-dataset/download and unpack them."

UNITS_PER_METER = 5000.0
TOLERANCE = 0.02  # seconds between a color image, its depth image and its pose
LATEST = 2.0**33  # seconds: limit of valid times

# The color cameras of the three robots, as the data set's page gives them; freiburg3's images are rectified.
CAMERAS = {
    1: Camera(640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    2: Camera(640, 480, 520.9, 521.0, 325.1, 249.7, (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    3: Camera(640, 480, 535.4, 539.2, 320.1, 247.6),
}


class TumSource(Source):
    """The color images of a sequence at their recorded times, with depth and motion-capture pose where known.

    The camera is the data set's, by the sequence's name (freiburg1 to 3), unless another is given.
    """

    def __init__(self, path: Path, **common) -> None:
        super().__init__(**common)
        self.name = str(path)
        self._known = sequence_camera(path)
        if self._known is None and self._given_camera is None and self._horizontal_fov is None:
            raise Clip2DepthError(
                f"{path} looks like a TUM RGB-D sequence, but its name does not say which camera took it "
                "(freiburg1, 2 or 3); give the camera with --camera."
            )
        frames = read_sequence(path, TOLERANCE)
        if not frames:
            raise Clip2DepthError(f"{path / 'rgb.txt'} names no image; {SOURCE}")
        self._frames = frames[:: self.every]
        self.length = len(self._frames)
        self.has_depth = any(entry.depth is not None for entry in frames)
        self.has_odometry = any(entry.pose is not None for entry in frames)
        seconds = frames[-1].time - frames[0].time
        recorded = (len(frames) - 1) / seconds if seconds > 0 else DEFAULT_FPS
        self.fps = (self._given_fps or recorded) / self.every

    def __iter__(self) -> Iterator[Frame]:
        self.bad_images = 0
        frames = 0
        for entry in self._frames:
            try:
                frame = read_frame(entry)
            except Clip2DepthError as error:
                self._count_bad(entry.color.name, str(error))
                continue
            height, width = frame.image.shape[:2]
            frame.camera = self._resolve_camera(width, height, self._known)
            if frame.depth is not None and frame.depth.shape != (height, width):
                frame.depth = None
            frame.odometry = frame.pose if self.wants_odometry else None
            frames += 1
            yield frame
        self._end(frames)


def is_sequence(path: Path) -> bool:
    """Whether a folder is laid out as a TUM RGB-D sequence."""
    return (path / "rgb.txt").is_file() and (path / "rgb").is_dir() and not (path / "camera.json").is_file()


def sequence_camera(sequence: Path) -> Camera | None:
    """The camera by the sequence's name; None where the name does not say it."""
    named = re.search(r"freiburg([1-3])", sequence.resolve().name)
    return CAMERAS[int(named[1])] if named else None


class Entry(NamedTuple):
    """The files of one frame."""

    time: float
    """Seconds, of the color image."""
    color: Path
    depth: Path | None
    pose: np.ndarray | None
    """(4, 4) float64, optical frame to world, meters."""


def read_sequence(folder: Path, tolerance: float) -> list[Entry]:
    """The color images, with the depth image and the pose at most `tolerance` seconds apart."""
    colors = read_index(folder / "rgb.txt")
    depths = read_index(folder / "depth.txt") if (folder / "depth.txt").is_file() else []
    times = np.array([time for time, _ in colors])
    matched = dict(match_times(times, np.array([time for time, _ in depths]), tolerance))
    poses = read_pose_list(folder / "groundtruth.txt")
    frames = []
    for i, (time, color) in enumerate(colors):
        pose = None if poses is None else pose_at(*poses, time, tolerance)
        depth = folder / depths[matched[i]][1] if i in matched else None
        frames.append(Entry(time, folder / color, depth, pose))
    return frames


def read_frame(entry: Entry) -> Frame:
    """The frame, without its camera. Raises Clip2DepthError, which names the file that cannot be read."""
    return Frame(
        read_rgb(entry.color),
        round(entry.time * 1e9),
        "camera",
        name=entry.color.stem,
        depth=None if entry.depth is None else read_depth_png(entry.depth, UNITS_PER_METER),
        pose=entry.pose,
    )


def match_times(first: np.ndarray, second: np.ndarray, tolerance: float) -> list[tuple[int, int]]:
    """Pairs (i, j) of ascending times (N,) and (M,) at most `tolerance` apart, closest pairs first, each
    time used once, as by the data set's own tool; in the order of `first`."""
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
    """(4, 4) pose between the two measured ones around `time`; None where one is more than `tolerance` away.

    times: (N,) ascending, seconds; positions: (N, 3) meters; quaternions: (N, 4) x y z w, of length 1.
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
    one, two = (positions[left], quaternions[left]), (positions[right], quaternions[right])
    return matrix_of(*pose_between(one, two, along))


def read_index(path: Path) -> list[tuple[float, str]]:
    """(time, file) of every line, sorted by time."""
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
            entries.append((_time(words[0]), words[1]))
        except (ValueError, IndexError):
            raise Clip2DepthError(
                f"{path}, line {number}: a line takes a time and a file, not '{printable(line)}'."
            ) from None
    return sorted(entries)


def read_pose_list(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Times (N,), positions (N, 3) and unit quaternions (N, 4), sorted by time; None without a file.

    Raises Clip2DepthError for a file with a line that is no pose.
    """
    if not path.is_file():
        return None
    with reading(path):
        lines = read_bounded(path, MAX_TABLE).decode().splitlines()
        rows = np.loadtxt(lines, ndmin=2, comments="#")
    if rows.ndim != 2 or rows.shape[1] != 8:
        raise Clip2DepthError(f"{path}: a line takes a time, a position and a quaternion, 8 numbers.")
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    quaternions = []
    for time, *position, x, y, z, w in rows.tolist():
        try:
            if not (0 <= time < LATEST and np.abs(position).max() <= FARTHEST):
                raise Clip2DepthError("its time or position is not finite or too large")
            quaternions.append(unit_quaternion(x, y, z, w))
        except Clip2DepthError as error:
            raise Clip2DepthError(f"{path}: the line of time {time:.6f} is no pose: {error}.") from None
    return rows[:, 0], rows[:, 1:4], np.array(quaternions).reshape(-1, 4)


def _time(text: str) -> float:
    """Seconds. Raises ValueError for a time outside the range of a stamp."""
    time = float(text)
    if not 0 <= time < LATEST:
        raise ValueError(text)
    return time
