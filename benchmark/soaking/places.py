# SPDX-License-Identifier: Apache-2.0
"""Full and read-only disks: the commands must report one sentence, and the node must continue.

Runs in its own mount namespace (`unshare --mount`), because it mounts small file systems: needs root.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from soaking import peers, watcher
from soaking.kills import CLI

from clip2depth_ros.demo.children import Children, private_environment


def run(folder: Path) -> dict[str, str]:
    """The result for each place; a result that begins with "FAULT" is a fault."""
    peers.render_frames(folder / "frames.npz", 5, 10)
    found = {}
    places: dict[str, Callable[[Path], str]] = {
        "results on a full disk": _full_results,
        "caches on a full disk": _full_cache,
        "a home that cannot be written": _read_only_home,
        "/dev/shm full": _full_shared_memory,
    }
    for name, place in places.items():
        inside = folder / name.replace("/", "").replace(" ", "_")
        inside.mkdir()
        found[name] = place(inside)
    return found


def _mount(target: Path, size: str, read_only: bool = False) -> Path:
    target.mkdir(exist_ok=True)
    options = f"size={size}" + (",ro" if read_only else "")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(target)], check=True)
    return target


def _full_results(folder: Path) -> str:
    disk = _mount(folder / "disk", "600k")
    command = [*CLI, "run", "--input", "sim:3", "--limit", "60", "--output", str(disk / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    said = ended.stderr.strip().splitlines()
    if ended.returncode == 0 or "Traceback" in ended.stderr or "space" not in ended.stderr:
        return f"FAULT: exit status {ended.returncode}: {ended.stderr[-800:]}"
    return f"exit status {ended.returncode}: {said[-1].replace(str(disk), 'DISK')}"


def _node(folder: Path, environment: dict[str, str], seconds: float = 8.0) -> str:
    """Run depth_node, a camera and the watcher; describes how many images became depth."""
    with Children() as children:
        node = children.start("the node", peers.node(image__queue=50), environment, folder / "node.txt")
        children.start(
            "the watcher", peers.watcher(folder / "watch.log"), environment, folder / "watcher.txt"
        )
        time.sleep(8.0)
        command = peers.plain_camera(folder.parent / "frames.npz", folder / "camera.log")
        children.start("the camera", command, environment, folder / "camera.txt")
        time.sleep(seconds + 4.0)
        code = node.code
    text = (folder / "node.txt").read_text(errors="replace")
    log = folder / "watch.log"
    seen = np.fromfile(log, watcher.RECORD) if log.exists() else np.zeros(0, watcher.RECORD)
    depth = int(np.count_nonzero(seen["kind"] == watcher.DEPTH))
    warnings = [line for line in text.splitlines() if "[WARN]" in line or "[ERROR]" in line]
    said = f"; it said: {warnings[0].split(']: ')[-1][:300]}" if warnings else ""
    if code is not None or "Traceback" in text or depth < seconds * 10:
        return f"FAULT: {depth} depth images, exit status {code}: {text[-800:]}"
    return f"{depth} depth images in {seconds:g} s{said}"


def _full_cache(folder: Path) -> str:
    disk = _mount(folder / "disk", "400k")
    environment, _ = private_environment(os.environ, folder / "ros")
    return _node(folder, environment | {"XDG_CACHE_HOME": str(disk)})


def _read_only_home(folder: Path) -> str:
    """ROS needs a log folder: without one the node must name it, with one it must work."""
    home = _mount(folder / "home", "400k", read_only=True)
    environment, _ = private_environment(os.environ, folder / "ros")
    for name in [n for n in environment if n.startswith("XDG_") or n == "ROS_HOME"]:
        del environment[name]
    environment["HOME"] = str(home)
    ended = subprocess.run(
        peers.node(),
        capture_output=True,
        text=True,
        timeout=120,
        env={n: v for n, v in environment.items() if n != "ROS_LOG_DIR"},
    )
    if ended.returncode != 2 or "ROS_LOG_DIR" not in ended.stderr or "Traceback" in ended.stderr:
        return f"FAULT: exit status {ended.returncode}: {ended.stderr[-800:]}"
    return f"refused, naming ROS_LOG_DIR; with it {_node(folder, environment)}"


def _full_shared_memory(folder: Path) -> str:
    _mount(Path("/dev/shm"), "1m")
    Path("/dev/shm/filling").write_bytes(bytes(900_000))
    environment, _ = private_environment(os.environ, folder / "ros")
    return _node(folder, environment)
