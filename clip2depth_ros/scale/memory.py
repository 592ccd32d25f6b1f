# SPDX-License-Identifier: Apache-2.0
"""Scale factors that are kept over restarts, in a small JSON file."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from clip2depth_ros.camera import Camera
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.files.bounded import read_bounded
from clip2depth_ros.files.replacing import cannot_write, locked, write_whole

FORMAT = 1

MAX_MEMORY = 2**22  # bytes: thousands of cameras


class ScaleMemory:
    """The factors of all cameras that share a file, by key."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._problem = ""
        self._damaged = False
        self._said: set[str] = set()

    @staticmethod
    def key(name: str, camera: Camera) -> str:
        """The key of a factor: name, size and intrinsics of the camera."""
        numbers = "/".join(f"{value:.1f}" for value in (camera.fx, camera.fy, camera.cx, camera.cy))
        return f"{name} {camera.width}x{camera.height} {numbers}"

    def problem(self) -> str:
        """The last error since the previous call, "" for none. Each error is reported once."""
        problem, self._problem = self._problem, ""
        return problem

    def recall(self, key: str) -> tuple[float, float] | None:
        """(factor, relative standard deviation) of a camera, None when the file does not hold it."""
        entry = self._read().get(key)
        if entry is None:
            return None
        try:
            scale, deviation = float(entry["scale"]), float(entry["deviation"])
        except (TypeError, KeyError, ValueError, OverflowError):
            scale = deviation = math.nan
        if not (0.01 <= scale <= 100 and 0 <= deviation <= 10):
            self._report(f"The scale memory {self.path} holds no usable factor for '{key}'; none is used.")
            return None
        return scale, deviation

    def keep(self, key: str, scale: float, deviation: float) -> bool:
        """Write a camera's factor to the file; True when it was written.

        The file is replaced atomically: a reader, or a power failure, finds the old or the new one. Processes
        that write at the same time wait for each other.
        """
        try:
            with locked(self.path):
                cameras = self._read()
                cameras[key] = {"scale": round(scale, 5), "deviation": round(deviation, 5)}
                text = json.dumps({"format": FORMAT, "cameras": cameras}, indent=2) + "\n"
                if self._damaged:
                    # It may be another file whose name was given by mistake.
                    os.replace(self.path, self.path.with_name(f"{self.path.name}.damaged"))
                write_whole(self.path, text)
        except OSError as error:
            self._report(f"The scale memory {cannot_write(self.path, error)}")
            return False
        except Clip2DepthError as error:
            self._report(f"The scale memory {error}")
            return False
        return True

    def _read(self) -> dict:
        """The cameras of the file; {} when there is no file or it is not a scale memory."""
        self._damaged = False
        if not self.path.exists():
            return {}
        try:
            text = read_bounded(self.path, MAX_MEMORY)
        except Clip2DepthError as error:
            self._damaged = self.path.is_file() and os.access(self.path, os.R_OK)
            self._report(f"The scale memory {error}")
            return {}
        try:
            content = json.loads(text)
            cameras = content["cameras"]
            if content["format"] != FORMAT or not isinstance(cameras, dict):
                raise ValueError("another format")
            json.dumps(cameras)  # what cannot be written again, such as numbers of thousands of digits
        except Exception:  # syntax, text, nesting, types
            self._damaged = True
            self._report(
                f"The scale memory {self.path} is damaged or not a scale memory; it is not used, and will "
                f"be kept as {self.path.name}.damaged when a new one is written."
            )
            return {}
        return cameras

    def _report(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._problem = text
