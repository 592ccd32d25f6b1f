# SPDX-License-Identifier: Apache-2.0
"""Video files and camera devices, through OpenCV."""

from __future__ import annotations

import glob
import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.frame import Frame
from clip2depth_ros.sources.base import DEFAULT_FPS, Source


class VideoSource(Source):
    """The frames of a video file. Stamps are the file's own times, from zero."""

    def __init__(self, path: Path, **common) -> None:
        super().__init__(**common)
        self.name = str(path)
        self._path = path
        self._capture = self._open()
        recorded = self._capture.get(cv2.CAP_PROP_FPS)
        self._rate = self._given_fps or (recorded if 0 < recorded < 10_000 else DEFAULT_FPS)
        self.fps = self._rate / self.every
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        # What the container says, which is exact for most files and a guess for some.
        self.length = -(-count // self.every) if count > 0 else None

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise Clip2DepthError(
                f"{self._path} is no video that OpenCV reads (nor an image, a folder or a bag); convert it "
                "to MP4."
            )
        return capture

    def __iter__(self) -> Iterator[Frame]:
        self.close()
        self._capture = self._open()
        self.bad_images = 0
        index = frames = 0
        image = None
        last = -1
        while self._capture.grab():
            if index % self.every == 0:
                # Before retrieve: the position is the grabbed frame's.
                stamp = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                if self._given_fps or stamp <= last:
                    stamp = round(index / self._rate * 1e9)
                ok, image = self._capture.retrieve(image)
                if ok:
                    last = stamp
                    frames += 1
                    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
                    camera = self._resolve_camera(image.shape[1], image.shape[0], None)
                    yield Frame(image, stamp, "camera", camera, f"{index:06d}")
                else:
                    self._count_bad(f"frame {index}")
            index += 1
        self._end(frames)

    def close(self) -> None:
        self._capture.release()


class DeviceSource(Source):
    """A camera that the system shows as /dev/videoN. Live: frames that nobody waited for are lost."""

    live = True

    def __init__(self, spec: str, **common) -> None:
        super().__init__(**common)
        device = Path(f"/dev/video{spec}" if spec.isdigit() else spec)
        self.name = str(device)
        if not device.exists():
            there = ", ".join(sorted(glob.glob("/dev/video*"))) or "none"
            raise Clip2DepthError(f"There is no camera device {device}; there are: {there}.")
        self._capture = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise Clip2DepthError(
                f"The camera device {device} cannot be opened: it is in use, is no camera, or its group "
                "(often "
                "'video') does not hold this user."
            )
        # Old frames are worthless.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if self._given_fps:
            self._capture.set(cv2.CAP_PROP_FPS, self._given_fps)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = (rate if 0 < rate < 10_000 else DEFAULT_FPS) / self.every

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        image = None
        while self._capture.grab():
            stamp = time.time_ns()
            if index % self.every == 0:
                ok, image = self._capture.retrieve(image)
                if ok:
                    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
                    camera = self._resolve_camera(image.shape[1], image.shape[0], None)
                    yield Frame(image, stamp, "camera", camera, f"{index:06d}")
                else:
                    self._count_bad(f"frame {index}")
            index += 1
        raise Clip2DepthError(
            f"The camera device {self.name} gives no more frames after {index}; was it unplugged?"
        )

    def close(self) -> None:
        self._capture.release()
