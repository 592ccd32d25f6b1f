# SPDX-License-Identifier: Apache-2.0
"""Folders of images, and the RGB-D layout: rgb/, depth/, camera.json, poses.txt."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.camera.pinhole import MAX_CAMERA_FILE
from clip2depth_ros.errors import Clip2DepthError, printable
from clip2depth_ros.files.bounded import MAX_TABLE, read_bounded, reading
from clip2depth_ros.images.compressed import read_depth, read_rgb
from clip2depth_ros.images.frame import NAN, Frame
from clip2depth_ros.io.source import DEFAULT_FPS, HIGHEST_FPS, LOWEST_FPS, Source

log = logging.getLogger(__name__)

# Units of a depth image in a metre. 16 bits of the coarsest reach 655 km, of the finest 65 mm.
DEPTH_SCALES = (0.1, 1e6)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class ImageSource(Source):
    """The images of a folder in natural order (frame2 before frame10), or a single image."""

    def __init__(self, path: Path, **common) -> None:
        super().__init__(**common)
        self.name = str(path)
        self._known = self._read_camera(path)
        folder = self._image_folder(path)
        paths = (
            [path]
            if path.is_file()
            else sorted(
                (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()),
                key=natural_key,
            )
        )
        if not paths:
            raise Clip2DepthError(f"The folder {folder} holds no image ({', '.join(IMAGE_SUFFIXES)}).")
        self._rate = self._given_fps or self._recorded_fps() or DEFAULT_FPS
        self._paths = paths[:: self.every]
        self.length = len(self._paths)
        self.fps = self._rate / self.every

    def __iter__(self) -> Iterator[Frame]:
        self.bad_images = 0
        frames = 0
        # A calibration describes the pixels as they are stored; without one, a phone's picture is better
        # upright.
        as_stored = self._given_camera is not None or self._known is not None
        for index, path in enumerate(self._paths):
            try:
                image = read_rgb(path, as_stored=as_stored)
            except Clip2DepthError as error:
                self._count_bad(path.name, str(error))
                continue
            height, width = image.shape[:2]
            camera = self._resolve_camera(width, height, self._known)
            stamp = round(index * self.every / self._rate * 1e9)
            frames += 1
            yield self._complete(Frame(image, stamp, "camera", camera, path.stem))
        self._end(frames)

    # What a folder knows beyond its images; the RGB-D layout knows more.

    def _image_folder(self, path: Path) -> Path:
        return path

    def _read_camera(self, path: Path) -> Camera | None:
        file = path / "camera.json"
        return Camera.from_file(file) if file.is_file() and self._given_camera is None else None

    def _recorded_fps(self) -> float | None:
        return None

    def _complete(self, frame: Frame) -> Frame:
        return frame


class RgbdSource(ImageSource):
    """rgb/NAME.jpg, with depth/NAME.png (16 bit, 0 = unknown), camera.json, poses.txt and stamps.txt where
    they exist.

    camera.json holds fx fy cx cy width height, depth_scale (depth's units in a metre, 1000 unless it says
    otherwise) and fps. A line of poses.txt is a frame's number and its 3x4 camera-to-world matrix, metres;
    one of stamps.txt a frame's number and its time, seconds, in place of even times at fps.
    """

    def __init__(self, path: Path, **common) -> None:
        self._folder = path
        self._scale = read_fact(path / "camera.json", "depth_scale", *DEPTH_SCALES) or 1000.0
        self._poses = read_poses(path / "poses.txt")
        self._stamps = _read_stamps(path / "stamps.txt")
        self.has_depth = (path / "depth").is_dir()
        self.has_odometry = bool(self._poses)
        super().__init__(path, **common)

    def _image_folder(self, path: Path) -> Path:
        return path / "rgb"

    def _recorded_fps(self) -> float | None:
        return read_fact(self._folder / "camera.json", "fps", LOWEST_FPS, HIGHEST_FPS)

    def _complete(self, frame: Frame) -> Frame:
        file = self._folder / "depth" / f"{frame.name}.png"
        if file.is_file():
            frame.depth = self._depth(file, frame.image.shape[:2])
        if frame.name.isdecimal():
            frame.stamp = self._stamps.get(int(frame.name), frame.stamp)
            frame.pose = self._poses.get(int(frame.name))
            frame.odometry = frame.pose if self.wants_odometry else None
        return frame

    def _depth(self, file: Path, shape: tuple[int, int]) -> np.ndarray | None:
        """(H, W) float32 metres, NaN unknown; None, with a warning, for a file that fits no image."""
        try:
            raw = read_depth(file)
        except Clip2DepthError as error:
            log.warning("%s Its frame has no true depth.", error)
            return None
        if raw.shape != shape:
            log.warning("The depth image %s is not of its image's size; its frame has no true depth.", file)
            return None
        depth = raw.astype(np.float32) / np.float32(self._scale)
        depth[raw == 0] = NAN
        return depth


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts file names as people count: digits by value, the rest by letter."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def read_fact(path: Path, name: str, low: float, high: float) -> float | None:
    """A number of camera.json; None where it, or the file, does not exist.

    Raises Clip2DepthError, which names the file, where it is no number from low to high.
    """
    if not path.is_file():
        return None
    with reading(path):
        facts = json.loads(read_bounded(path, MAX_CAMERA_FILE))
    if not isinstance(facts, dict):
        raise Clip2DepthError(f"{path} does not describe a camera: no named fields in it.")
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
            raise Clip2DepthError(f"{path}: {seconds:g} s is no time of frame {number}.")
        stamps[number] = round(seconds * 1e9)
    return stamps


def _read_table(path: Path, columns: int) -> dict[int, np.ndarray]:
    """(columns,) float64 by frame number, of lines of a number and so many numbers; empty without a file."""
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
            raise Clip2DepthError(f"{path}: {row[0]:g} is no frame number.")
    return {int(row[0]): row[1:] for row in rows}
