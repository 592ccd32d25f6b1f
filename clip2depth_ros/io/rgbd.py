# SPDX-License-Identifier: Apache-2.0
"""RGB-D folders: rgb/, depth/, camera.json, poses.txt and stamps.txt."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import numpy as np

from clip2depth_ros.camera.pinhole import MAX_CAMERA_FILE
from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.files.bounded import MAX_TABLE, read_bounded, reading
from clip2depth_ros.images.compressed import read_depth
from clip2depth_ros.images.frame import NAN, Frame
from clip2depth_ros.io.images import ImageSource, image_files
from clip2depth_ros.io.source import HIGHEST_FPS, LOWEST_FPS

log = logging.getLogger(__name__)

# Units of a depth image per meter. 16 bits of the coarsest reach 655 km, of the finest 65 mm.
DEPTH_SCALES = (0.1, 1e6)


class RgbdFolder:
    """The files of one folder, by the name of a frame.

    rgb/NAME.jpg, with depth/NAME.png (16 bit, 0 = unknown), camera.json, poses.txt and stamps.txt where they
    exist. camera.json holds fx fy cx cy width height, depth_scale (units of depth per meter, 1000 by default)
    and fps. A line of poses.txt is a frame's number and its 3x4 camera-to-world matrix, meters; a line of
    stamps.txt is a frame's number and its time, seconds, instead of regular times at fps.

    Raises Clip2DepthError, which names the file, for a damaged camera.json, poses.txt or stamps.txt.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.camera_file = folder / "camera.json"
        self.units_per_meter = read_fact(self.camera_file, "depth_scale", *DEPTH_SCALES) or 1000.0
        self.poses = read_poses(folder / "poses.txt")
        self.stamps = _read_stamps(folder / "stamps.txt")

    @property
    def fps(self) -> float | None:
        """Frames per second as camera.json says; None where it does not."""
        return read_fact(self.camera_file, "fps", LOWEST_FPS, HIGHEST_FPS)

    def images(self) -> list[Path]:
        """The files of rgb/ in natural order."""
        return image_files(self.folder / "rgb")

    def has_depth(self, name: str) -> bool:
        return self._depth_file(name).is_file()

    def depth(self, name: str) -> np.ndarray:
        """(H, W) float32 meters, NaN unknown. Raises Clip2DepthError, which names the file."""
        return read_depth_png(self._depth_file(name), self.units_per_meter)

    def pose(self, name: str) -> np.ndarray | None:
        """(4, 4) float64, optical frame to world, meters; None where it is not known."""
        return self.poses.get(int(name)) if name.isdecimal() else None

    def stamp(self, name: str) -> int | None:
        """Nanoseconds; None where the time is not recorded."""
        return self.stamps.get(int(name)) if name.isdecimal() else None

    def _depth_file(self, name: str) -> Path:
        return self.folder / "depth" / f"{name}.png"


class RgbdSource(ImageSource):
    """The frames of an RgbdFolder. A depth image that cannot be used costs a warning, not the frame."""

    def __init__(self, path: Path, **common) -> None:
        self._folder = RgbdFolder(path)
        self.has_depth = (path / "depth").is_dir()
        self.has_odometry = bool(self._folder.poses)
        super().__init__(path, **common)

    def _image_folder(self, path: Path) -> Path:
        return path / "rgb"

    def _recorded_fps(self) -> float | None:
        return self._folder.fps

    def _complete(self, frame: Frame) -> Frame:
        if self._folder.has_depth(frame.name):
            frame.depth = self._depth(frame)
        stamp = self._folder.stamp(frame.name)
        if stamp is not None:
            frame.stamp = stamp
        frame.pose = self._folder.pose(frame.name)
        frame.odometry = frame.pose if self.wants_odometry else None
        return frame

    def _depth(self, frame: Frame) -> np.ndarray | None:
        """(H, W) float32 meters, NaN unknown; None, with a warning, for a file that cannot be used."""
        try:
            depth = self._folder.depth(frame.name)
        except Clip2DepthError as error:
            log.warning("%s The frame has no ground-truth depth.", error)
            return None
        if depth.shape != frame.image.shape[:2]:
            log.warning(
                "The depth image %s of %s does not have the size of its image; the frame has no ground-truth "
                "depth.",
                frame.name,
                self.name,
            )
            return None
        return depth


def read_depth_png(path: Path, units_per_meter: float) -> np.ndarray:
    """(H, W) float32 meters, NaN unknown, of a 16-bit PNG in which 0 is unknown.

    Raises Clip2DepthError, which names the file, where it is missing or cannot be read.
    """
    if not os.path.isfile(path):  # unlike Path.is_file, False for a name that the system rejects
        raise Clip2DepthError(f"The depth image {printable(path, 200)} is missing.")
    raw = read_depth(path)
    depth = raw.astype(np.float32)
    depth *= np.float32(1.0 / units_per_meter)
    depth[raw == 0] = NAN
    return depth


def read_fact(path: Path, name: str, low: float, high: float) -> float | None:
    """A number of camera.json; None where it, or the file, does not exist.

    Raises Clip2DepthError, which names the file, where it is not a number from low to high.
    """
    if not path.is_file():
        return None
    with reading(path):
        facts = json.loads(read_bounded(path, MAX_CAMERA_FILE))
    if not isinstance(facts, dict):
        raise Clip2DepthError(f"{path} does not describe a camera: it has no named fields.")
    number = facts.get(name)
    if number is None:
        return None
    if not isinstance(number, (int, float)) or not low <= number <= high:
        shown = (
            printable(number) if isinstance(number, (str, float)) else f"of the type {type(number).__name__}"
        )
        raise Clip2DepthError(f"{path}: {name} must be a number from {low:g} to {high:g}, it is {shown}.")
    return float(number)


def read_poses(path: Path) -> dict[int, np.ndarray]:
    """Camera-to-world (4, 4) by frame number, of lines of a number and a 3x4 matrix; empty without a file."""
    poses = {}
    for number, numbers in _read_table(path, 12).items():
        pose = np.eye(4)
        pose[:3] = numbers.reshape(3, 4)
        poses[number] = pose
    return poses


def _read_stamps(path: Path) -> dict[int, int]:
    """Nanoseconds by frame number, of lines of a number and seconds; empty without a file."""
    stamps = {}
    for number, (seconds,) in _read_table(path, 1).items():
        if not 0 <= seconds < 2**33:
            raise Clip2DepthError(f"{path}: {seconds:g} s is not a valid time of frame {number}.")
        stamps[number] = round(seconds * 1e9)
    return stamps


def _read_table(path: Path, columns: int) -> dict[int, np.ndarray]:
    """(columns,) float64 by frame number, of lines of a number and `columns` more; empty without a file."""
    if not path.is_file():
        return {}
    with reading(path):
        lines = read_bounded(path, MAX_TABLE).decode().splitlines()
        lines = [line for line in lines if line.partition("#")[0].strip()]
        rows = np.loadtxt(lines, ndmin=2) if lines else np.empty((0, columns + 1))
    if rows.shape[1] != columns + 1:
        raise Clip2DepthError(
            f"{path}: a line takes a frame number and {columns} numbers, not {rows.shape[1]} numbers."
        )
    for row in rows:
        if not (0 <= row[0] < 2**53 and row[0] == int(row[0])):
            raise Clip2DepthError(f"{path}: {row[0]:g} is not a frame number.")
    return {int(row[0]): row[1:] for row in rows}
