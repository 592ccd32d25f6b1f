# SPDX-License-Identifier: Apache-2.0
"""The processes of a soak test as commands: node, camera, subscribers."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import numpy as np

RATE = 30.0
"""Images per second."""
_HERE = Path(__file__).parent
_PYTHON = (sys.executable, "-u")
_NODE = "from clip2depth_ros.ros.starting import depth_node; raise SystemExit(depth_node())"


def node(**parameters: object) -> list[str]:
    """depth_node on the camera's topic; "__" in a parameter's name stands for a dot."""
    given = [f"{name.replace('__', '.')}:={value}" for name, value in parameters.items()]
    options = itertools.chain.from_iterable(("-p", each) for each in given)
    return [*_PYTHON, "-c", _NODE, "--ros-args", "-r", "image:=camera/image_raw", *options]


def watcher(log: Path) -> list[str]:
    """Records all depth and quality messages."""
    return [*_PYTHON, str(_HERE / "watcher.py"), "everything", str(log)]


def visitor(kind: str, topic: str) -> list[str]:
    """Subscribes to one topic."""
    return [*_PYTHON, str(_HERE / "watcher.py"), kind, topic]


def camera(frames: Path, log: Path, seed: int, started: float, seconds: float) -> list[str]:
    """Plays `frames` with the seed's plan, which began at `started` (seconds since 1970), for `seconds`."""
    facts = (frames, log, seed, started, seconds, RATE)
    return [*_PYTHON, str(_HERE / "camera.py"), *map(str, facts)]


def plain_camera(frames: Path, log: Path) -> list[str]:
    """A camera without misbehavior, for an hour: its plan starts in the future."""
    return camera(frames, log, 0, time.time() + 3600.0, 0.0)


def render_frames(path: Path, seed: int, count: int) -> None:
    """Frames of a simulated drive at 640x480 for the camera."""
    from clip2depth_ros.io import open_source

    with open_source(f"sim:{seed}") as source:
        frames = list(itertools.islice(source, count))
    np.savez(path, images=np.stack([f.image for f in frames]), fx=frames[0].camera.fx)
