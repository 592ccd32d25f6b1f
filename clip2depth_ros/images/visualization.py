# SPDX-License-Identifier: Apache-2.0
"""Depth made visible: colours with a fixed metric range, panels side by side, films and picture sheets.

One place for `clip2depth run --video`, the demo and the training sheets; numpy and OpenCV only. Pictures are
RGB, (H, W, 3) uint8, here as everywhere in this package; only the files know about BGR.

The colour of a depth depends on that depth and on the range alone, never on the other pixels: a wall that
keeps its distance keeps its colour from frame to frame, so flicker and a wrong scale can be seen.
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

NEAR, FAR = 0.4, 10.0  # metres, a room's range; red is near, blue is far
UNKNOWN = (90, 90, 90)  # RGB of a depth nobody knows (NaN): grey, which the colour table does not hold
BACKGROUND, INK = (24, 24, 24), (235, 235, 235)
FONT = cv2.FONT_HERSHEY_SIMPLEX
STRIP = 26  # pixels, height of a line of text
TICKS = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 50.0, 80.0, 100.0)
FULL = "no space is left on the disk"
ROOM = 2**22  # bytes that must be free beside a film
LOOK = 10  # pictures between two looks at the free space

# By the file's ending, the best that OpenCV's wheels can write: they have no H.264 encoder.
CODECS = {".webm": "VP80", ".mp4": "mp4v", ".avi": "MJPG"}

# Reversed turbo, so that what is near is warm.
_TABLE = cv2.cvtColor(
    cv2.applyColorMap(np.arange(255, -1, -1, dtype=np.uint8).reshape(1, -1), cv2.COLORMAP_TURBO),
    cv2.COLOR_BGR2RGB,
)[0]


def _check_range(near: float, far: float) -> None:
    if not 0.0 < near < far < np.inf:
        raise Clip2DepthError(
            f"the colour range must be 0 < near < far in metres, not near {near:g} and far {far:g}"
        )


def colour_depth(
    depth: np.ndarray, near: float = NEAR, far: float = FAR, out: np.ndarray | None = None
) -> np.ndarray:
    """Colour a depth image, evenly in log depth between `near` and `far`.

    depth: (H, W) float, metres. NaN, infinite and non-positive values are unknown and become `UNKNOWN`;
    depths outside the range get the colour of its end.
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
    """The key to the colours: a bar from `near` to `far`, ticks in metres; (height, width, 3) uint8 RGB."""
    _check_range(near, far)
    picture = np.full((height, width, 3), BACKGROUND, np.uint8)
    margin, tail = 6, 112  # pixels at the left end, and at the right end for the unit and the grey square
    bar = max(1, width - margin - tail)
    depths = near * (far / near) ** np.linspace(0.0, 1.0, bar, dtype=np.float32)
    picture[4:11, margin : margin + bar] = colour_depth(depths[None], near, far)
    edge = -10  # the last pixel that a number covers
    for tick in [near, *(t for t in TICKS if near < t < far), far]:
        x = margin + round((bar - 1) * float(np.log(tick / near) / np.log(far / near)))
        text = f"{tick:g}"
        (text_width, _), _ = cv2.getTextSize(text, FONT, 0.36, 1)
        left = max(0, x - text_width // 2)
        if left <= edge + 4:
            continue
        cv2.line(picture, (x, 11), (x, 13), INK, 1)
        cv2.putText(picture, text, (left, height - 5), FONT, 0.36, INK, 1, cv2.LINE_AA)
        edge = left + text_width
    left = width - tail + 10
    cv2.putText(picture, "m", (left, height - 5), FONT, 0.36, INK, 1, cv2.LINE_AA)
    picture[8:16, left + 22 : left + 32] = UNKNOWN
    cv2.putText(picture, "unknown", (left + 38, height - 9), FONT, 0.36, INK, 1, cv2.LINE_AA)
    return picture


def text_strip(text: str, width: int, height: int = STRIP, size: float = 0.45) -> np.ndarray:
    """One line of text on a dark strip, (height, width, 3) uint8 RGB; made smaller if it would not fit."""
    picture = np.full((height, width, 3), BACKGROUND, np.uint8)
    (text_width, _), _ = cv2.getTextSize(text, FONT, size, 1)
    size *= min(1.0, (width - 12) / max(1, text_width))
    cv2.putText(picture, text, (6, height - 8), FONT, size, INK, 1, cv2.LINE_AA)
    return picture


def side_by_side(
    columns: Sequence[tuple[str, np.ndarray]],
    *,
    near: float = NEAR,
    far: float = FAR,
    caption: str = "",
    height: int | None = None,
    with_legend: bool = True,
) -> np.ndarray:
    """Pictures next to each other with a label above each, the colour legend and a caption below.

    columns: (label, picture) pairs; a picture is (H, W, 3) uint8 RGB, or (H, W) float metres, which is
    coloured here.
    height: of the pictures in pixels; None takes the first one's.
    Returns (H', W', 3) uint8 RGB. Raises Clip2DepthError when there is nothing to show.
    """
    if not columns:
        raise Clip2DepthError("a panel needs at least one picture")
    if height is None:
        height = columns[0][1].shape[0]
    parts = []
    for label, picture in columns:
        picture = np.asarray(picture)
        if picture.ndim == 2:
            picture = colour_depth(picture, near, far)
        rows, cols = picture.shape[:2]
        if rows != height:
            width = max(1, round(cols * height / rows))
            kind = cv2.INTER_AREA if height < rows else cv2.INTER_NEAREST
            picture = cv2.resize(picture, (width, height), interpolation=kind)
        parts.append(np.vstack([text_strip(label, picture.shape[1]), picture]))
    gap = np.full((height + STRIP, 2, 3), BACKGROUND, np.uint8)
    row = [part for pair in zip([gap] * len(parts), parts, strict=True) for part in pair][1:]
    panel = [np.hstack(row)]
    width = panel[0].shape[1]
    if with_legend:
        panel.append(legend(width, near, far))
    if caption:
        panel.append(text_strip(caption, width, size=0.4))
    return np.vstack(panel)


def sheet(pictures: Sequence[np.ndarray], columns: int = 1, gap: int = 4) -> np.ndarray:
    """Pictures in a grid, row by row, each cell as large as the largest; (H, W, 3) uint8 RGB."""
    if not pictures:
        raise Clip2DepthError("a picture sheet needs at least one picture")
    columns = max(1, min(columns, len(pictures)))
    rows = -(-len(pictures) // columns)
    height = max(p.shape[0] for p in pictures)
    width = max(p.shape[1] for p in pictures)
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), BACKGROUND, np.uint8)
    for number, picture in enumerate(pictures):
        y, x = (number // columns) * (height + gap), (number % columns) * (width + gap)
        grid[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return grid


def save_picture(path: str | Path, picture: np.ndarray, quality: int = 88) -> Path:
    """Write an RGB picture as .jpg or .png, by the ending, and the folder. Raises Clip2DepthError."""
    path = Path(path)
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise Clip2DepthError(f"pictures are written as .jpg or .png, not as '{path.name}'")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix.lower() != ".png" else []
    ok, encoded = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not ok:
        raise Clip2DepthError(f"OpenCV could not encode a picture of the shape {picture.shape} for {path}")
    write_whole(path, encoded.tobytes(), sync=False)
    return path


@contextlib.contextmanager
def _without_native_stderr() -> Iterator[None]:
    """FFmpeg inside OpenCV prints a harmless line about the codec's tag from C, past sys.stderr: drop it."""
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


class Film:
    """A film file, written picture by picture; its size is the first picture's.

    The ending chooses the codec among those that OpenCV's wheels bring (no H.264): `.webm` is VP8, which
    browsers and players show; `.mp4` is MPEG-4 part 2, ten times faster to write, which players show and most
    browsers don't.

        with Film("depth.webm", fps=10) as film:
            film.write(picture)

    Raises Clip2DepthError when the ending is unknown or the file cannot be written.
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
            raise Clip2DepthError(f"films are written as {', '.join(CODECS)}, not as '{self.path.name}'")
        if not 0.0 < self.fps < 1000.0:
            raise Clip2DepthError(f"a film needs a frame rate between 0 and 1000 per second, not {fps}")

    def _open(self, picture: np.ndarray) -> cv2.VideoWriter:
        height, width = picture.shape[:2]
        self._size = (width + width % 2, height + height % 2)  # codecs want even sides
        code = cv2.VideoWriter_fourcc(*CODECS[self.path.suffix.lower()])
        with writing(self.path):
            self._partial = PartialFile(self.path)
        with _without_native_stderr():
            writer = cv2.VideoWriter(str(self._partial.path), code, self.fps, self._size)
        if not writer.isOpened():
            self._partial.discard()
            raise Clip2DepthError(
                f"cannot write the film {self.path} ({width}x{height}, {CODECS[self.path.suffix.lower()]}): "
                "check that the folder can be written to, or choose another ending "
                f"({', '.join(CODECS)})"
            )
        return writer

    def write(self, picture: np.ndarray) -> None:
        """Append a picture, (H, W, 3) uint8 RGB; one of another size is fitted into the film's."""
        if self._writer is None:
            self._writer = self._open(picture)
        if self.frames % LOOK == 0:
            self._look_at_disk()
        width, height = self._size
        rows, cols = picture.shape[:2]
        if rows > height or cols > width:
            scale = min(height / rows, width / cols)
            size = (max(1, int(cols * scale)), max(1, int(rows * scale)))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            rows, cols = picture.shape[:2]
        if (cols, rows) != self._size:
            picture = cv2.copyMakeBorder(
                picture, 0, height - rows, 0, width - cols, cv2.BORDER_CONSTANT, value=BACKGROUND
            )
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Finish the file, and put it in its place. Safe to call twice.

        Raises Clip2DepthError where the disk did not take all of it; an older film stays then.
        """
        if self._writer is None:
            return
        with _without_native_stderr():
            self._writer.release()
        self._writer = None
        try:
            # OpenCV's writer reports no failure. A film whose end is missing has fewer pictures, or none.
            if self._full or _pictures_in(self._partial.path) < self.frames:
                raise Clip2DepthError(f"{self.path} cannot be written: {FULL}.")
            with writing(self.path):
                self._partial.put_in_place()
        finally:
            self._partial.discard()

    def _look_at_disk(self) -> None:
        """Raise Clip2DepthError where little room is left: what FFmpeg buffers does not fit either."""
        free = os.statvfs(self.path.parent)
        if free.f_bavail * free.f_frsize < ROOM:
            self._full = True
            raise Clip2DepthError(f"{self.path} cannot be written: {FULL}.")

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pictures_in(path: Path) -> int:
    """How many pictures a film holds by its own index, and one that can be shown; 0 for a broken film."""
    with _without_native_stderr():
        film = cv2.VideoCapture(str(path))
        try:
            return round(film.get(cv2.CAP_PROP_FRAME_COUNT)) if film.isOpened() and film.grab() else 0
        finally:
            film.release()
