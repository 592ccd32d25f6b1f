# SPDX-License-Identifier: Apache-2.0
"""SIGKILLs at random moments, and the state afterwards: node, run, export, adaptation and caches."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from soaking import peers

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.demo.children import Child, Children, private_environment
from clip2depth_ros.errors import Clip2DepthError

PATIENCE = 120.0
CLI = [sys.executable, "-c", "import sys; from clip2depth_ros.cli import main; sys.exit(main())"]


@dataclass
class Kills:
    """How often each program was killed, how often during its work, and the faults afterwards."""

    killed: dict[str, int] = field(default_factory=dict)
    in_work: dict[str, int] = field(default_factory=dict)
    """Of these, killed after something had been written or published."""
    started_again: int = 0
    """Nodes that hung at the start, were ended by their watchdog, and restarted as by the launch files."""
    faults: list[str] = field(default_factory=list)


def run(folder: Path, count: int, seed: int) -> Kills:
    """`count` kills, distributed over the PROGRAMS."""
    kills = Kills()
    for name, (share, kill) in PROGRAMS.items():
        place = folder / name
        place.mkdir()
        kills.killed[name] = kills.in_work[name] = 0
        kill(place, max(1, round(count * share)), np.random.default_rng([seed, *name.encode()]), kills)
    return kills


def _images(folder: Path, count: int) -> Path:
    """A folder with a few frames of a simulated drive, its camera and its poses."""
    from clip2depth_ros.io import open_source

    (folder / "rgb").mkdir(parents=True)
    poses = []
    for number, frame in enumerate(open_source("sim:3", odometry=True)):
        if number == count:
            break
        cv2.imwrite(str(folder / f"rgb/{number:06d}.png"), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        frame.camera.to_file(folder / "camera.json")
        if frame.odometry is not None:
            poses.append(f"{number} " + " ".join(f"{value:.9g}" for value in frame.odometry[:3].reshape(-1)))
    (folder / "poses.txt").write_text("\n".join(poses) + "\n")
    return folder


def _killed(
    command: list[str],
    environment: dict[str, str],
    log: Path,
    after: float,
    ready: Callable[[], bool] = lambda: True,
) -> bool:
    """Start, wait until it is ready, then `after` seconds, and kill. False if it ended earlier."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    end = time.monotonic() + PATIENCE
    while not ready() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(after)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def _whole(command: list[str], environment: dict[str, str], timeout: float = 600) -> tuple[int, str]:
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    return ended.returncode, ended.stdout + ended.stderr


def _environment(folder: Path) -> dict[str, str]:
    return dict(os.environ) | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}


def _check_next_run(kills: Kills, name: str, number: int, outcome: tuple[int, str], code: int = 0) -> None:
    """The next run of the same command must succeed without a traceback."""
    if outcome[0] != code or "Traceback" in outcome[1]:
        kills.faults.append(f"{name} {number}: exit status {outcome[0]} afterwards:\n{outcome[1][-1500:]}")


def _run(folder: Path, count: int, rng: np.random.Generator, kills: Kills) -> None:
    images, output = _images(folder / "drive", 60), folder / "out"
    command = [*CLI, "run", "--input", str(images), "--output", str(output), "--scale-odometry", "--video"]
    environment = _environment(folder)
    for number in range(3 * count):
        if kills.killed["run"] == count:
            break
        shutil.rmtree(output, ignore_errors=True)
        works = lambda: any(output.glob("**/*.png"))  # noqa: E731
        early = rng.random() < 0.3
        ready = (lambda: True) if early else works
        if not _killed(command, environment, folder / "log.txt", float(rng.uniform(0, 2)), ready):
            continue
        kills.killed["run"] += 1
        kills.in_work["run"] += works()
        for path in output.glob("**/*.png"):
            if cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is None:
                kills.faults.append(f"run {number}: {path.name} is half a file")
        if (output / "summary.json").exists():
            json.loads((output / "summary.json").read_text())
        if number % 5 == 4:
            _check_next_run(kills, "run", number, _whole(command, environment))
            leftover = [p.name for p in output.rglob("*") if p.name.endswith((".part", ".tmp"))]
            if leftover:
                kills.faults.append(f"run {number}: {leftover} stayed")


def _caches(folder: Path, count: int, rng: np.random.Generator, kills: Kills) -> None:
    """Killed during compilation, every time with a new cache; the next start must give the same depth."""
    images, environment = _images(folder / "drive", 3), _environment(folder)
    cache, output = folder / "cache", folder / "out"
    command = [*CLI, "run", "--input", str(images), "--output", str(output), "--no-stabilize"]
    _check_next_run(kills, "caches", -1, _whole(command, environment))
    right = _depths(output)
    for number in range(3 * count):
        if kills.killed["caches"] == count:
            break
        if number % 4 == 0:  # three of four times on the remains of the previous kill
            shutil.rmtree(cache, ignore_errors=True)
        shutil.rmtree(output, ignore_errors=True)
        begun = lambda: any(cache.rglob("*.part")) or any(cache.rglob("*.compiled"))  # noqa: E731
        waits = number % 4 == 0 and rng.random() < 0.7
        ready = begun if waits else (lambda: True)
        after = float(rng.uniform(0, 0.02) if waits else rng.uniform(0.3, 1.5))
        if not _killed(command, environment, folder / "log.txt", after, ready):
            continue
        kills.killed["caches"] += 1
        kills.in_work["caches"] += begun()
        if number % 2:
            shutil.rmtree(output, ignore_errors=True)
            _check_next_run(kills, "caches", number, _whole(command, environment))
            found = _depths(output)
            same = len(found) == len(right) and all(
                np.array_equal(a, b) for a, b in zip(found, right, strict=True)
            )
            if not same:
                kills.faults.append(f"caches {number}: another depth afterwards")


def _depths(output: Path) -> list[np.ndarray]:
    return [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted(output.glob("**/*.png"))]


def _export(folder: Path, count: int, rng: np.random.Generator, kills: Kills) -> None:
    """Replacing a valid bundle: afterwards the old one or the new one must be there, complete."""
    environment = _environment(folder)
    checkpoint = _checkpoint(folder)
    output = folder / "bundle"
    command = [*CLI, "export", "--checkpoint", str(checkpoint), "--output", str(output), "--check-seed", "1"]
    began = time.monotonic()
    code, said = _whole(command, environment)
    took = time.monotonic() - began
    if code:
        raise Clip2DepthError(f"the export does not work: {said[-1500:]}")
    for number in range(3 * count):
        if kills.killed["export"] == count:
            break
        before = (output / "manifest.json").stat().st_mtime_ns
        partial = set(folder.rglob("*.part*"))  # from the previous kill
        writes = lambda known=partial: bool(set(folder.rglob("*.part*")) - known)  # noqa: E731
        late = rng.random() < 0.7
        after = float(rng.uniform(0, 0.1) if late else took * rng.uniform(0.1, 0.9))
        if not _killed(command, environment, folder / "log.txt", after, writes if late else lambda: True):
            continue
        kills.killed["export"] += 1
        kills.in_work["export"] += (output / "manifest.json").stat().st_mtime_ns != before or writes()
        try:
            Bundle(output).model()
        except Clip2DepthError as error:
            kills.faults.append(f"export {number}: {error}")
            _whole(command, environment)
    _check_next_run(kills, "export", count, _whole(command, environment))
    left = sorted(p.name for p in [*output.iterdir(), *output.parent.iterdir()] if ".part" in p.name)
    if left:
        kills.faults.append(f"export: {left} stayed")


def _checkpoint(folder: Path) -> Path:
    """A checkpoint from a training of a few steps."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        """
name: soak
trained_on: nothing to speak of
seed: 1
precision: "no"
network: {backbone: mini, size: [96, 128], canonical_focal_px: 120.0, weights: mini}
data:
  training: [{kind: rooms, size: [96, 128], rooms: 2, views_per_room: 2, on_the_fly: true}]
  validation: [{kind: rooms, split: validation, size: [96, 128], rooms: 2, validation_rooms: 1,
                views_per_room: 2, on_the_fly: true}]
  validation_views: 2
  workers: 0
depth: {images: 8, learning_rate: 1.0e-3, phases: [{share: 1.0, size: [96, 128], batch: 4}]}
"""
    )
    code, said = _whole(
        [*CLI, "train", "--config", str(recipe), "--output", str(folder / "trained")], _environment(folder)
    )
    if code:
        raise Clip2DepthError(f"the training for the export failed: {said[-1500:]}")
    return folder / "trained" / "checkpoint.safetensors"


def _adapt(folder: Path, count: int, rng: np.random.Generator, kills: Kills) -> None:
    """Killed and restarted until it finishes; the result is a complete bundle, or a refusal."""
    environment, output = _environment(folder), folder / "adapted"
    arguments = ["--input", "sim:9001", "--every", "2", "--steps", "40", "--threads", "2"]
    command = [*CLI, "adapt", *arguments, "--output", str(output)]
    done = 0
    while done < count:
        if not _killed(command, environment, folder / "log.txt", float(rng.uniform(2, 30))):
            _outcome(kills, done, output)
            shutil.rmtree(output, ignore_errors=True)
            continue
        done += 1
        kills.killed["adapt"] += 1
        kills.in_work["adapt"] += (folder / "adapted.adapting").exists()
        if output.exists():
            Bundle(output).model()
    code, said = _whole(command, environment)
    if code not in (0, 3) or "Traceback" in said:
        kills.faults.append(f"adapt: exit status {code} afterwards:\n{said[-1500:]}")
    _outcome(kills, count, output)


def _outcome(kills: Kills, number: int, output: Path) -> None:
    summary = output.parent / f"{output.name}-report" / "summary.json"
    if not summary.exists():
        kills.faults.append(f"adapt {number}: no report")
    elif output.exists():
        Bundle(output).model()


def _node(folder: Path, count: int, rng: np.random.Generator, kills: Kills) -> None:
    """Killed during start or work; the next one publishes, and shared memory does not fill up."""
    peers.render_frames(folder / "frames.npz", 5, 10)
    environment, _ = private_environment(os.environ, folder / "ros")
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    watch_log = folder / "watch.log"

    def seen() -> int:
        return watch_log.stat().st_size if watch_log.exists() else 0

    used = _shared_memory()
    with Children() as children:
        children.start("the watcher", peers.watcher(watch_log), environment, folder / "watcher.txt")
        camera: Child | None = None
        for number in range(count + 1):
            before, log = seen(), folder / f"node{number}.txt"
            node = children.start("the node", peers.node(), environment, log)
            if camera is None:
                command = peers.plain_camera(folder / "frames.npz", folder / "camera.log")
                camera = children.start("the camera", command, environment, folder / "camera.txt")
            early = number < count and rng.random() < 0.4
            if early:
                time.sleep(float(rng.uniform(0, 3)))
            else:
                end = time.monotonic() + PATIENCE
                while seen() == before and time.monotonic() < end:
                    time.sleep(0.02)
                    if node.code == -signal.SIGALRM:
                        kills.started_again += 1
                        log = folder / f"node{number}_again{kills.started_again}.txt"
                        node = children.start("the node", peers.node(), environment, log)
                    elif node.code is not None:
                        break
                if seen() == before:
                    kills.faults.append(f"node {number} published nothing:\n{node.last_lines()}")
                time.sleep(float(rng.uniform(0, 1.5)))
            if "Traceback" in log.read_text(errors="replace"):
                kills.faults.append(f"node {number}: a traceback:\n{node.last_lines(30)}")
            if number == count:
                node.end()
                break
            os.killpg(node.pid, signal.SIGKILL)
            node.end()
            kills.killed["node"] += 1
            kills.in_work["node"] += seen() > before
    left = _shared_memory() - used
    if left > 3 * 70 * 2**20:
        kills.faults.append(f"node: {left / 2**20:.0f} MiB of shared memory are left after {count} kills")


def _shared_memory() -> int:
    return shutil.disk_usage("/dev/shm").used


PROGRAMS = {
    "node": (0.25, _node),
    "run": (0.30, _run),
    "caches": (0.20, _caches),
    "export": (0.15, _export),
    "adapt": (0.10, _adapt),
}
"""Shares of the kills, and the functions that run them."""
