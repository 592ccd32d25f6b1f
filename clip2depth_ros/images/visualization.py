# SPDX-License-Identifier: Apache-2.0
"""Visualization of depth: colors with a fixed metric range, panels, contact sheets and videos.

Used by `clip2depth run --video`, the demo and the training reports; numpy and OpenCV only. Images are RGB,
(H, W, 3) uint8, as everywhere in this package.

The color of a depth depends only on that depth and on the range, not on other pixels. So a wall at a constant
distance keeps its color from frame to frame, and scale jitter or a wrong scale are visible.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.replacing import PartialFile, write_whole, writing

NEAR, FAR = 0.4, 10.0  # meters, a room's range; red is near, blue is far
UNKNOWN = (90, 90, 90)  # RGB of an unknown depth (NaN): gray is not in the color table
BACKGROUND, INK = (24, 24, 24), (235, 235, 235)
FONT = cv2.FONT_HERSHEY_SIMPLEX
STRIP = 26  # pixels, height of a line of text
TICKS = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 50.0, 80.0, 100.0)
FULL = "no space is left on the disk"
MIN_FREE = 2**22  # bytes that must be free while a video is written
DISK_CHECK_FRAMES = 10  # images between two checks of the free space

# By file extension: the best codecs of OpenCV's wheels, which have no H.264 encoder.
CODECS = {".webm": "VP80", ".mp4": "mp4v", ".avi": "MJPG"}

# Reversed turbo, so that near depth has a warm color.
_TABLE = cv2.cvtColor(
    cv2.applyColorMap(np.arange(255, -1, -1, dtype=np.uint8).reshape(1, -1), cv2.COLORMAP_TURBO),
    cv2.COLOR_BGR2RGB,
)[0]


def _check_range(near: float, far: float) -> None:
    if not 0.0 < near < far < np.inf:
        raise Clip2DepthError(
            f"the color range must be 0 < near < far in meters, not near {near:g} and far {far:g}"
        )


def color_depth(
    depth: np.ndarray, near: float = NEAR, far: float = FAR, out: np.ndarray | None = None
) -> np.ndarray:
    """Color a depth image, evenly in log depth between `near` and `far`.

    depth: (H, W) float, meters. NaN, infinite and non-positive values are unknown and become `UNKNOWN`;
    depths outside the range get the color of the nearer limit.
    out: (H, W, 3) uint8 to fill, or None for a new one.
    Returns (H, W, 3) uint8 RGB. Raises Clip2DepthError for an impossible range or a depth that is not 2-D.
    """
    _check_range(near, far)
    depth = np.asarray(depth, dtype=np.float32)
    if depth.ndim != 2:
        raise Clip2DepthError(f"a depth image has two axes, this one has the shape {depth.shape}")
    known = np.isfinite(depth) & (depth > 0.0)
    steps = np.log(np.where(known, depth, near) / np.float32(near))
    steps *= np.float32(255.0 / np.log(far / near))
    index = np.rint(np.clip(steps, 0.0, 255.0)).astype(np.uint8)
    out = np.take(_TABLE, index, axis=0, out=out, mode="clip")
    out[~known] = UNKNOWN
    return out


def legend(width: int, near: float = NEAR, far: float = FAR, height: int = STRIP) -> np.ndarray:
    """Legend of the colors: a bar from `near` to `far`, ticks in meters; (height, width, 3) uint8 RGB."""
    _check_range(near, far)
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    margin, tail = 6, 112  # pixels on the left, and on the right for the unit and the gray square
    bar = max(1, width - margin - tail)
    depths = near * (far / near) ** np.linspace(0.0, 1.0, bar, dtype=np.float32)
    image[4:11, margin : margin + bar] = color_depth(depths[None], near, far)
    edge = -10  # the last pixel that a number covers
    for tick in [near, *(t for t in TICKS if near < t < far), far]:
        x = margin + round((bar - 1) * float(np.log(tick / near) / np.log(far / near)))
        text = f"{tick:g}"
        (text_width, _), _ = cv2.getTextSize(text, FONT, 0.36, 1)
        left = max(0, x - text_width // 2)
        if left <= edge + 4:
            continue
        cv2.line(image, (x, 11), (x, 13), INK, 1)
        cv2.putText(image, text, (left, height - 5), FONT, 0.36, INK, 1, cv2.LINE_AA)
        edge = left + text_width
    left = width - tail + 10
    cv2.putText(image, "m", (left, height - 5), FONT, 0.36, INK, 1, cv2.LINE_AA)
    image[8:16, left + 22 : left + 32] = UNKNOWN
    cv2.putText(image, "unknown", (left + 38, height - 9), FONT, 0.36, INK, 1, cv2.LINE_AA)
    return image


def text_strip(text: str, width: int, height: int = STRIP, size: float = 0.45) -> np.ndarray:
    """One line of text on a dark strip, (height, width, 3) uint8 RGB;
    the font shrinks if the text is too long."""
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    (text_width, _), _ = cv2.getTextSize(text, FONT, size, 1)
    size *= min(1.0, (width - 12) / max(1, text_width))
    cv2.putText(image, text, (6, height - 8), FONT, size, INK, 1, cv2.LINE_AA)
    return image


def side_by_side(
    columns: Sequence[tuple[str, np.ndarray]],
    *,
    near: float = NEAR,
    far: float = FAR,
    caption: str = "",
    height: int | None = None,
    with_legend: bool = True,
) -> np.ndarray:
    """Images next to each other with a label above each, the color legend and a caption below.

    columns: (label, image) pairs; an image is (H, W, 3) uint8 RGB, or (H, W) float meters, which is converted
    by color_depth.
    height: of the images in pixels; None: the height of the first image.
    Returns (H', W', 3) uint8 RGB. Raises Clip2DepthError for no columns.
    """
    if not columns:
        raise Clip2DepthError("a panel needs at least one image")
    if height is None:
        height = int(columns[0][1].shape[0])
    parts = []
    for label, image in columns:
        image = np.asarray(image)
        if image.ndim == 2:
            image = color_depth(image, near, far)
        rows, cols = image.shape[:2]
        if rows != height:
            width = max(1, round(cols * height / rows))
            kind = cv2.INTER_AREA if height < rows else cv2.INTER_NEAREST
            image = cv2.resize(image, (width, height), interpolation=kind)
        parts.append(np.vstack([text_strip(label, image.shape[1]), image]))
    gap = np.full((height + STRIP, 2, 3), BACKGROUND, np.uint8)
    row = [part for pair in zip([gap] * len(parts), parts, strict=True) for part in pair][1:]
    panel = [np.hstack(row)]
    width = panel[0].shape[1]
    if with_legend:
        panel.append(legend(width, near, far))
    if caption:
        panel.append(text_strip(caption, width, size=0.4))
    return np.vstack(panel)


def sheet(images: Sequence[np.ndarray], columns: int = 1, gap: int = 4) -> np.ndarray:
    """Images in a grid, row by row, each cell as large as the largest; (H, W, 3) uint8 RGB."""
    if not images:
        raise Clip2DepthError("a contact sheet needs at least one image")
    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    height = max(p.shape[0] for p in images)
    width = max(p.shape[1] for p in images)
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), BACKGROUND, np.uint8)
    for number, image in enumerate(images):
        y, x = (number // columns) * (height + gap), (number % columns) * (width + gap)
        grid[y : y + image.shape[0], x : x + image.shape[1]] = image
    return grid


def save_image(path: str | Path, image: np.ndarray, quality: int = 88) -> Path:
    """Write an RGB image as .jpg or .png, by the file extension; makes the folder. Raises Clip2DepthError."""
    path = Path(path)
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise Clip2DepthError(f"images are written as .jpg or .png, not as '{path.name}'")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix.lower() != ".png" else []
    ok, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not ok:
        raise Clip2DepthError(f"OpenCV could not encode an image of the shape {image.shape} for {path}")
    write_whole(path, encoded.tobytes(), sync=False)
    return path


@contextlib.contextmanager
def _without_native_stderr() -> Iterator[None]:
    """Drop a harmless line about the codec's tag that OpenCV's FFmpeg prints to the C library's stderr."""
    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, AttributeError, ValueError):  # no stderr at all
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


class VideoWriter:
    """Writes a video file, image by image; its size is that of the first image.

    The file extension selects the codec among those in OpenCV's wheels (no H.264). `.webm` is VP8, which
    browsers and players support. `.mp4` is MPEG-4 part 2, which is ten times faster to write; players support
    it, most browsers do not.

        with VideoWriter("depth.webm", fps=10) as video:
            video.write(image)

    Raises Clip2DepthError when the extension is unknown or the file cannot be written.
    """

    def __init__(self, path: str | Path, fps: float):
        self.path = Path(path)
        self.fps = float(fps)
        self.frames = 0
        self._writer: cv2.VideoWriter | None = None
        self._partial: PartialFile | None = None
        self._full = False
        self._size = (0, 0)
        if self.path.suffix.lower() not in CODECS:
            raise Clip2DepthError(f"videos are written as {', '.join(CODECS)}, not as '{self.path.name}'")
        if not 0.0 < self.fps < 1000.0:
            raise Clip2DepthError(f"a video needs a frame rate between 0 and 1000 per second, not {fps}")

    def _open(self, image: np.ndarray) -> cv2.VideoWriter:
        height, width = image.shape[:2]
        self._size = (width + width % 2, height + height % 2)  # codecs need even sizes
        code = cv2.VideoWriter_fourcc(*CODECS[self.path.suffix.lower()])  # pyright: ignore[reportAttributeAccessIssue]
        with writing(self.path):
            self._partial = PartialFile(self.path)
        with _without_native_stderr():
            writer = cv2.VideoWriter(str(self._partial.path), code, self.fps, self._size)
        if not writer.isOpened():
            self._partial.discard()
            raise Clip2DepthError(
                f"cannot write the video {self.path} ({width}x{height}, {CODECS[self.path.suffix.lower()]}): "
                "check that the folder can be written to, or choose another file extension "
                f"({', '.join(CODECS)})"
            )
        return writer

    def write(self, image: np.ndarray) -> None:
        """Append an image, (H, W, 3) uint8 RGB; an image of another size is letterboxed."""
        if self._writer is None:
            self._writer = self._open(image)
        if self.frames % DISK_CHECK_FRAMES == 0:
            self._check_disk()
        width, height = self._size
        rows, cols = image.shape[:2]
        if rows > height or cols > width:
            scale = min(height / rows, width / cols)
            size = (max(1, int(cols * scale)), max(1, int(rows * scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            rows, cols = image.shape[:2]
        if (cols, rows) != self._size:
            image = cv2.copyMakeBorder(
                image, 0, height - rows, 0, width - cols, cv2.BORDER_CONSTANT, value=BACKGROUND
            )
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Finish the file and move it to its path. May be called twice.

        Raises Clip2DepthError when the disk was full; an older video at this path is kept then.
        """
        if self._writer is None:
            return
        with _without_native_stderr():
            self._writer.release()
        self._writer = None
        try:
            # OpenCV's writer reports no failure. A truncated video has fewer images, or none.
            if self._full or _frames_in(self._partial.path) < self.frames:
                raise Clip2DepthError(f"{self.path} cannot be written: {FULL}.")
            with writing(self.path):
                self._partial.put_in_place()
        finally:
            self._partial.discard()

    def _check_disk(self) -> None:
        """Raises Clip2DepthError when the disk is nearly full,
        because FFmpeg also has buffered data to write."""
        free = os.statvfs(self.path.parent)
        if free.f_bavail * free.f_frsize < MIN_FREE:
            self._full = True
            raise Clip2DepthError(f"{self.path} cannot be written: {FULL}.")

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _frames_in(path: Path) -> int:
    """Number of images in a video by its index, if the first one can be decoded; 0 for a broken video."""
    with _without_native_stderr():
        video = cv2.VideoCapture(str(path))
        try:
            return round(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() and video.grab() else 0
        finally:
            video.release()
