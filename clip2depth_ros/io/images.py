# SPDX-License-Identifier: Apache-2.0
"""Folders of images and single images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.compressed import read_rgb
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.source import DEFAULT_FPS, Source

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class ImageSource(Source):
    """The images of a folder in natural order (frame2 before frame10), or a single image."""

    def __init__(self, path: Path, **common) -> None:
        super().__init__(**common)
        self.name = str(path)
        self._known = self._read_camera(path)
        folder = self._image_folder(path)
        paths = [path] if path.is_file() else image_files(folder)
        if not paths:
            raise Clip2DepthError(f"The folder {folder} holds no image ({', '.join(IMAGE_SUFFIXES)}).")
        self._rate = self._given_fps or self._recorded_fps() or DEFAULT_FPS
        self._paths = paths[:: self.every]
        self.length = len(self._paths)
        self.fps = self._rate / self.every

    def __iter__(self) -> Iterator[Frame]:
        self.bad_images = 0
        frames = 0
        # A calibration describes the pixels as they are stored. Without one, the image is turned upright by
        # its EXIF orientation, as people expect of a phone's image.
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

    # What a folder has beyond its images; the RGB-D layout overrides these.

    def _image_folder(self, path: Path) -> Path:
        return path

    def _read_camera(self, path: Path) -> Camera | None:
        file = path / "camera.json"
        return Camera.from_file(file) if file.is_file() and self._given_camera is None else None

    def _recorded_fps(self) -> float | None:
        return None

    def _complete(self, frame: Frame) -> Frame:
        return frame


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder in natural order."""
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    return sorted(files, key=natural_key)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key of file names in natural order: digits by value, the rest by letter."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
