# SPDX-License-Identifier: Apache-2.0
"""Video files and camera devices, through OpenCV."""

from __future__ import annotations

import glob
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import reading
from clip2depth_ros.images.compressed import check_size
from clip2depth_ros.images.frame import Frame
from clip2depth_ros.io.source import DEFAULT_FPS, HIGHEST_FPS, LOWEST_FPS, Source

# Seconds: a year. Larger times come from damaged files and leave a message's range.
LONGEST = 3.2e7


class _CaptureSource(Source):
    """Common part of files and devices: frames are grabbed first and decoded only if needed."""

    _capture: cv2.VideoCapture
    _image: np.ndarray | None = None

    def _retrieve(self, index: int, stamp: int) -> Frame | None:
        """The grabbed frame, whose image is valid until the next call; None, and counted, for a bad one."""
        try:
            ok, self._image = self._capture.retrieve(self._image)
        except cv2.error:
            ok = False
        if not ok:
            self._count_bad(f"frame {index}")
            return None
        image = cv2.cvtColor(self._image, cv2.COLOR_BGR2RGB, dst=self._image)  # pyright: ignore[reportCallIssue]
        camera = self._resolve_camera(image.shape[1], image.shape[0], None)
        return Frame(image, stamp, "camera", camera, f"{index:06d}")

    def close(self) -> None:
        self._capture.release()


class VideoSource(_CaptureSource):
    """The frames of a video file. Stamps are the file's own times, from zero."""

    def __init__(self, path: Path, **common) -> None:
        super().__init__(**common)
        self.name = str(path)
        self._path = path
        self._capture = self._open()
        with reading(f"The video {path}"):
            self._read_facts()

    def _read_facts(self) -> None:
        recorded = self._capture.get(cv2.CAP_PROP_FPS)
        self._rate = self._given_fps or (recorded if LOWEST_FPS <= recorded <= HIGHEST_FPS else DEFAULT_FPS)
        self.fps = self._rate / self.every
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        # By the container: exact for most files, an estimate for some.
        self.length = -(-count // self.every) if count > 0 else None

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        size = tuple(int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        # FFmpeg opens anything that looks like a video; the size is 0 where it cannot decode it.
        if not capture.isOpened() or 0 in size:
            raise Clip2DepthError(
                f"{self._path} is not a video that OpenCV can read (nor an image, a folder or a bag); "
                "convert it to MP4."
            )
        try:
            check_size(*size)
        except Clip2DepthError as error:
            raise Clip2DepthError(f"The video {self._path} is not read: {error}.") from None
        return capture

    def __iter__(self) -> Iterator[Frame]:
        self.close()
        self._capture = self._open()
        self._image = None
        self.bad_images = 0
        index = frames = 0
        last = -1
        while self._grab():
            if index % self.every == 0:
                stamp = self._stamp()
                if self._given_fps or stamp is None or stamp <= last:
                    stamp = round(index / self._rate * 1e9)
                frame = self._retrieve(index, stamp)
                if frame is not None:
                    last = stamp
                    frames += 1
                    yield frame
            index += 1
        self._end(frames)

    def _grab(self) -> bool:
        with reading(f"The video {self._path}"):
            return self._capture.grab()

    def _stamp(self) -> int | None:
        """The grabbed frame's time, before it is decoded; None where the file has no valid one."""
        seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e-3
        return round(seconds * 1e9) if 0 <= seconds < LONGEST else None


class DeviceSource(_CaptureSource):
    """A camera device /dev/videoN. Live: frames that are not fetched in time are lost."""

    live = True

    def __init__(self, spec: str, **common) -> None:
        super().__init__(**common)
        device = Path(f"/dev/video{spec}" if spec.isdecimal() else spec)
        self.name = str(device)
        if not device.exists():
            there = ", ".join(sorted(glob.glob("/dev/video*"))) or "none"
            raise Clip2DepthError(f"There is no camera device {device}; there are: {there}.")
        self._capture = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise Clip2DepthError(
                f"The camera device {device} cannot be opened: it is in use, is not a camera, or "
                "this user is not in its group (often 'video')."
            )
        # Old frames are useless.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if self._given_fps:
            self._capture.set(cv2.CAP_PROP_FPS, self._given_fps)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = (rate if LOWEST_FPS <= rate <= HIGHEST_FPS else DEFAULT_FPS) / self.every

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while self._capture.grab():
            stamp = time.time_ns()
            if index % self.every == 0:
                frame = self._retrieve(index, stamp)
                if frame is not None:
                    yield frame
            index += 1
        raise Clip2DepthError(
            f"The camera device {self.name} gives no more frames after {index}; was it unplugged?"
        )
