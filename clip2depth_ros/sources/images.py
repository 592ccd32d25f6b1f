# SPDX-License-Identifier: Apache-2.0
"""Folders of images, and the RGB-D layout: rgb/, depth/, camera.json, poses.txt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.frame import NAN, Frame
from clip2depth_ros.sources.base import DEFAULT_FPS, Source

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
            image = read_image(path, as_stored=as_stored)
            if image is None:
                self._count_bad(path.name)
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
    """rgb/NAME.jpg, with depth/NAME.png (16 bit, 0 = unknown), camera.json and poses.txt where they exist.

    camera.json holds fx fy cx cy width height, depth_scale (depth's units in a metre, 1000 unless it says
    otherwise) and fps. A line of poses.txt is a frame's number and its 3x4 camera-to-world matrix, metres.
    """

    def __init__(self, path: Path, **common) -> None:
        self._folder = path
        self._facts = _read_facts(path / "camera.json")
        self._scale = self._facts.get("depth_scale") or 1000.0
        if not isinstance(self._scale, (int, float)) or self._scale <= 0:
            raise Clip2DepthError(
                f"{path / 'camera.json'}: depth_scale must be positive, it is {self._scale!r}."
            )
        self._poses = read_poses(path / "poses.txt")
        self.has_depth = (path / "depth").is_dir()
        self.has_odometry = bool(self._poses)
        super().__init__(path, **common)

    def _image_folder(self, path: Path) -> Path:
        return path / "rgb"

    def _recorded_fps(self) -> float | None:
        fps = self._facts.get("fps")
        return float(fps) if isinstance(fps, (int, float)) and fps > 0 else None

    def _complete(self, frame: Frame) -> Frame:
        file = self._folder / "depth" / f"{frame.name}.png"
        raw = cv2.imread(str(file), cv2.IMREAD_UNCHANGED) if file.is_file() else None
        if raw is not None and raw.ndim == 2 and raw.shape == frame.image.shape[:2]:
            frame.depth = raw.astype(np.float32) / np.float32(self._scale)
            frame.depth[raw == 0] = NAN
        if frame.name.isdigit():
            frame.pose = self._poses.get(int(frame.name))
            frame.odometry = frame.pose if self.wants_odometry else None
        return frame


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts file names as people count: digits by value, the rest by letter."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def read_image(path: Path, *, as_stored: bool = True) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB, or None when the file is no image that OpenCV reads.

    as_stored: leave a camera's note about its orientation (EXIF) unheeded.
    """
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0)
    try:
        # Through memory, because imread cannot open every path that the system can.
        coded = np.fromfile(path, np.uint8)
        image = cv2.imdecode(coded, flags) if coded.size else None
    except (OSError, cv2.error):
        return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _read_facts(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Clip2DepthError(f"{path} cannot be read: {error}.") from None
    if not isinstance(facts, dict):
        raise Clip2DepthError(f"{path} does not describe a camera: no named fields in it.")
    return facts


def read_poses(path: Path) -> dict[int, np.ndarray]:
    """Camera-to-world (4, 4) by frame number, of lines of a number and a 3x4 matrix; empty without a file."""
    if not path.is_file():
        return {}
    try:
        rows = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise Clip2DepthError(f"{path} cannot be read: {error}.") from None
    if rows.shape[1] != 13:
        raise Clip2DepthError(
            f"{path}: a line takes a frame number and 12 numbers, not {rows.shape[1]} numbers."
        )
    poses = {}
    for row in rows:
        pose = np.eye(4)
        pose[:3] = row[1:].reshape(3, 4)
        poses[int(row[0])] = pose
    return poses
