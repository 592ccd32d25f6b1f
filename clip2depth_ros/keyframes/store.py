# SPDX-License-Identifier: Apache-2.0
"""Keyframes on disk: bounded, spread over the seen places, and consistent after any crash."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import read_bounded

CELL = 0.5
"""Meters: edge of the cubes that divide space into places."""
HEADINGS = 12
"""Number of sectors of the horizon that divide the views from one place."""
VISITS = 3
"""Largest number of kept visits of one view."""
SAME_VISIT = 30.0
"""Seconds after which a return to a view is another visit; a shorter absence is a step across the border."""
VISIT_FRAMES = 16
"""Largest number of keyframes of one visit: more than driving through a cube gives."""
RENEWAL = 3600.0
"""Seconds for which a view with VISITS visits takes no further one, to limit the wear of disks."""
BLOCK = 4096
"""Bytes on disk per keyframe, in addition to its image."""
STRETCH = 20.0
"""Meters of driving after which odometry has drifted too far to compare poses."""
APART, PAUSE = 1000.0, 5.0
"""Meters and seconds between stretches in a snapshot, so that their poses are not compared. The time between
two drives becomes a PAUSE, too."""
QUALITY = 92
"""Quality of the JPEG files."""
SAME_CAMERA = 0.005
"""Largest relative difference of intrinsics of one camera."""
MOST_BYTES = 4096
"""Largest size of a JSON file with a pose."""
CAMERA, IMAGES, POSES = "camera.json", "rgb", "poses"


@dataclass(frozen=True, slots=True)
class Keyframe:
    """One kept image."""

    number: int
    """Of the file; later keyframes have larger ones."""
    stamp: int
    """Nanoseconds."""
    segment: int
    """Counts the stretches of unbroken odometry."""
    stretch: int
    """Counts the parts of all segments within which poses may be compared."""
    view: tuple[int, ...]
    """Place and heading, as cells; in its segment."""
    visit: int
    """Counts the passes through all views."""
    size: int
    """Bytes of the JPEG file."""
    pose: tuple[float, ...]
    """12 numbers: (3, 4) row by row, points of the optical frame in odometry's fixed frame, meters."""


class KeyframeStore:
    """A folder of keyframes of one camera.

    Each is a JPEG file rgb/NUMBER.jpg and a JSON file poses/NUMBER.json; both are written under another name
    and renamed, the JSON file last, and only complete pairs count. When `max_bytes` are exceeded, the oldest
    visit of the most visited view is removed; a view never has more than VISITS visits. One process at a
    time. Raises Clip2DepthError when the folder cannot be used.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.camera: Camera | None = None
        self.frames: dict[int, Keyframe] = {}
        """By number, oldest first."""
        self.bytes = 0
        """Of all keyframes, on disk."""
        self._views: dict[tuple[int, ...], dict[int, list[int]]] = {}
        try:
            for part in (IMAGES, POSES):
                (folder / part).mkdir(parents=True, exist_ok=True)
            self._load()
        except OSError as error:
            raise Clip2DepthError(
                f"The folder {folder} cannot be used: {error.strerror or error}."
            ) from error
        self._last: Keyframe | None = None
        self._driven = 0.0
        self._next = max(self.frames, default=-1) + 1
        self._segment = max((f.segment for f in self.frames.values()), default=-1) + 1
        self._stretch = max((f.stretch for f in self.frames.values()), default=-1) + 1
        self._visit = max((f.visit for f in self.frames.values()), default=-1) + 1

    @property
    def views(self) -> int:
        """How many views there are keyframes of."""
        return len(self._views)

    def wants(self, pose: np.ndarray, stamp: int) -> bool:
        """Whether the view from a pose has room: another visit, or another keyframe of this one."""
        visits = self._views.get(self._view(pose))
        if not visits:
            return True
        last = visits[max(visits)]
        away = self._away(last, stamp)
        if away <= SAME_VISIT:
            return len(last) < VISIT_FRAMES
        return len(visits) < VISITS or away > RENEWAL

    def begin_segment(self) -> None:
        """Begin a segment: later poses cannot be compared with earlier ones."""
        if self._last is not None:
            self._segment += 1
            self._begin_stretch()

    def add(self, image: np.ndarray, pose: np.ndarray, stamp: int, camera: Camera) -> Keyframe:
        """Keep an image, and remove keyframes beyond the limits.

        image: (H, W, 3) uint8 RGB, rectified. pose: (4, 4), points of its optical frame in odometry's fixed
        frame. camera: the image's; keyframes of another one are removed. stamp: nanoseconds.
        Raises Clip2DepthError when it cannot be written.
        """
        coded, jpeg = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, QUALITY)
        )
        if not coded:
            raise Clip2DepthError(
                f"An image of {image.shape[1]}x{image.shape[0]} pixels cannot be a JPEG file."
            )
        try:
            self._hold_camera(camera)
            frame = self._placed(pose, stamp, jpeg.size)
            write_whole(self._image(frame.number), jpeg.tobytes())
            write_whole(self._pose(frame.number), json.dumps(_fields(frame)).encode())
        except OSError as error:
            raise Clip2DepthError(
                f"A keyframe cannot be written to {self.folder}: {error.strerror or error}."
            ) from error
        self._enter(frame)
        self._driven += self._step(pose)
        self._last = frame
        self._next += 1
        self._make_room(frame)
        return frame

    def snapshot(self, folder: Path) -> int:
        """Write all keyframes into a new folder, as `clip2depth adapt` reads it; how many there are.

        The images are hard links, which need no space and remain when the store removes its own. Poses of
        different stretches are APART. camera.json has the mean rate as `fps`.
        Raises Clip2DepthError when the folder cannot be written.
        """
        if self.camera is None:
            raise Clip2DepthError(f"There is no keyframe in {self.folder} yet.")
        try:
            (folder / IMAGES).mkdir(parents=True)
            poses, stamps, before, seconds = [], [], None, 0.0
            places = {
                stretch: n for n, stretch in enumerate(sorted({f.stretch for f in self.frames.values()}))
            }
            for frame in self.frames.values():
                source, target = self._image(frame.number), folder / IMAGES / f"{frame.number:06d}.jpg"
                try:
                    os.link(source, target)
                except OSError:  # a file system without hard links
                    shutil.copyfile(source, target)
                pose = list(frame.pose)
                pose[3] += APART * places[frame.stretch]
                poses.append(f"{frame.number:06d} " + " ".join(f"{value:.7g}" for value in pose))
                if before is not None:
                    gap = (frame.stamp - before.stamp) * 1e-9
                    usual = frame.stretch == before.stretch and 0 < gap < PAUSE
                    seconds += gap if usual else PAUSE
                before = frame
                stamps.append(f"{frame.number:06d} {seconds:.9f}")
            camera = json.loads(self.camera.to_json())
            camera["fps"] = round((len(stamps) - 1) / seconds, 3) if seconds else 1.0
            (folder / CAMERA).write_text(json.dumps(camera, indent=2) + "\n", encoding="utf-8")
            (folder / "stamps.txt").write_text("\n".join(stamps) + "\n", encoding="utf-8")
            (folder / "poses.txt").write_text("\n".join(poses) + "\n", encoding="utf-8")
        except OSError as error:
            raise Clip2DepthError(f"{folder} cannot be written: {error.strerror or error}.") from error
        return len(self.frames)

    def _load(self) -> None:
        """Load complete keyframes, and remove incomplete files."""
        for part in (IMAGES, POSES):
            for path in (self.folder / part).glob(".*"):
                path.unlink()
        with contextlib.suppress(Clip2DepthError):
            self.camera = Camera.from_file(self.folder / CAMERA)
        known = {}
        for path in (self.folder / POSES).glob("*.json"):
            frame = _read(path)
            if (
                frame is not None
                and self.camera is not None
                and _size(self._image(frame.number)) == frame.size
            ):
                known[frame.number] = frame
            else:
                path.unlink()
        for path in (self.folder / IMAGES).glob("*.jpg"):
            if not (path.stem.isdigit() and int(path.stem) in known):
                path.unlink()
        for number in sorted(known):
            self._enter(known[number])
        if known:  # the limit may have changed
            self._make_room(known[max(known)])

    def _hold_camera(self, camera: Camera) -> None:
        if self.camera is not None and _alike(self.camera, camera):
            return
        for number in list(self.frames):
            self._remove(number)
        self._last = None
        self.camera = camera
        write_whole(self.folder / CAMERA, camera.to_json().encode())

    def _placed(self, pose: np.ndarray, stamp: int, size: int) -> Keyframe:
        """The next keyframe, with its view and its visit."""
        if self._driven + self._step(pose) > STRETCH:
            self._begin_stretch()
        view = self._view(pose)
        visits = self._views.get(view)
        last = max(visits) if visits else None
        if last is None or self._away(visits[last], stamp) > SAME_VISIT:
            visit, self._visit = self._visit, self._visit + 1
        else:
            visit = last
        numbers = tuple(float(value) for value in pose[:3].ravel())
        return Keyframe(self._next, stamp, self._segment, self._stretch, view, visit, size, numbers)

    def _view(self, pose: np.ndarray) -> tuple[int, ...]:
        x, y, z = (math.floor(value / CELL) for value in pose[:3, 3])
        heading = math.atan2(pose[1, 2], pose[0, 2]) / math.tau % 1.0
        return (self._segment, x, y, z, int(heading * HEADINGS) % HEADINGS)

    def _away(self, visit: list[int], stamp: int) -> float:
        """Seconds since the last keyframe of a visit."""
        return abs(stamp - self.frames[visit[-1]].stamp) * 1e-9

    def _step(self, pose: np.ndarray) -> float:
        """Metres since the last keyframe of this segment."""
        if self._last is None or self._last.segment != self._segment:
            return 0.0
        return math.dist(pose[:3, 3], self._last.pose[3::4])

    def _begin_stretch(self) -> None:
        self._stretch += 1
        self._driven = 0.0

    def _make_room(self, newest: Keyframe) -> None:
        visits = self._views[newest.view]
        while len(visits) > VISITS:
            self._remove_visit(newest.view, min(visits))
        while self.bytes > self.max_bytes and len(self.frames) > 1:
            full = [view for view, visits in self._views.items() if set(visits) != {newest.visit}]
            if not full:
                self._remove(next(iter(self.frames)))
                continue
            view = min(full, key=lambda view: (-len(self._views[view]), min(self._views[view])))
            oldest = min(self._views[view])
            self._remove_visit(view, oldest)

    def _remove_visit(self, view: tuple[int, ...], visit: int) -> None:
        for number in list(self._views[view][visit]):
            self._remove(number)

    def _enter(self, frame: Keyframe) -> None:
        self.frames[frame.number] = frame
        self.bytes += frame.size + BLOCK
        self._views.setdefault(frame.view, {}).setdefault(frame.visit, []).append(frame.number)

    def _remove(self, number: int) -> None:
        frame = self.frames.pop(number)
        self.bytes -= frame.size + BLOCK
        visits = self._views[frame.view]
        visits[frame.visit].remove(number)
        if not visits[frame.visit]:
            del visits[frame.visit]
        if not visits:
            del self._views[frame.view]
        # without its pose an image does not count
        self._pose(number).unlink(missing_ok=True)
        self._image(number).unlink(missing_ok=True)

    def _image(self, number: int) -> Path:
        return self.folder / IMAGES / f"{number:06d}.jpg"

    def _pose(self, number: int) -> Path:
        return self.folder / POSES / f"{number:06d}.json"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically, also across a power failure.

    Raises OSError.
    """
    fresh = path.with_name(f".{path.name}")
    with open(fresh, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def _fields(frame: Keyframe) -> dict:
    return {name: getattr(frame, name) for name in Keyframe.__slots__}


def _read(path: Path) -> Keyframe | None:
    """The keyframe of a file, None for an incomplete file."""
    try:
        fields = json.loads(read_bounded(path, MOST_BYTES))
        view, pose = tuple(map(int, fields.pop("view"))), tuple(map(float, fields.pop("pose")))
        frame = Keyframe(**{name: int(value) for name, value in fields.items()}, view=view, pose=pose)
    except (Clip2DepthError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None
    whole = len(pose) == 12 and all(map(math.isfinite, pose)) and path.stem == f"{frame.number:06d}"
    return frame if whole else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _alike(first: Camera, second: Camera) -> bool:
    """Whether two rectified cameras are the same."""
    pairs = zip(
        (first.fx, first.fy, first.cx, first.cy), (second.fx, second.fy, second.cx, second.cy), strict=True
    )
    return first.size == second.size and all(abs(a / b - 1) < SAME_CAMERA for a, b in pairs if b)
