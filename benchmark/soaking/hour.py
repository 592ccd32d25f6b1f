# SPDX-License-Identifier: Apache-2.0
"""An hour of depth_node over DDS: a misbehaving camera, subscribers that start and stop, load for a third."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from soaking import camera, peers, watcher

from clip2depth_ros.demo.children import Child, Children, private_environment

TOPICS = (
    ("PointCloud2", "clip2depth/points"),
    ("LaserScan", "clip2depth/scan"),
    ("Image", "clip2depth/depth/std_dev"),
    ("Image", "clip2depth/depth/image_rect"),
)


INCOMING, OUTGOING = 50, 60
"""Queue sizes of images and depth images, large enough that no message is lost in a count."""
QUEUED = (INCOMING * 3 + OUTGOING * 4) * max(width * height for width, height in camera.SIZES) / 2**20
"""Memory of these queues when they are full of the largest images, MiB."""


@dataclass
class Hour:
    """Results. Every sent image is in one of the counts below `sent`."""

    sent: int = 0
    processed: int = 0
    overtaken: int = 0
    refused: int = 0
    in_flight: int = 0
    """Sent just before a camera was killed: it is unknown whether they were transmitted."""
    unexplained: int = 0
    cameras_killed: int = 0
    visitors: int = 0
    memory: list[float] = field(default_factory=list)
    """Memory of the node after one minute, at half time, at the end, MiB."""
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    idle_rate: float = 0.0
    """Fraction of the images outside of the load that became depth."""
    loaded_rate: float = 0.0
    latency: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Median, 95th percentile and maximum outside of the load and of wrong clocks, seconds."""
    faults: list[str] = field(default_factory=list)


def run(folder: Path, seconds: float, seed: int) -> Hour:
    """Run for `seconds`, the middle third with all cores busy; return the counts."""
    rng = np.random.default_rng([seed, 2])
    hour = Hour()
    frames, camera_log, watch_log = folder / "frames.npz", folder / "camera.log", folder / "watch.log"
    peers.render_frames(frames, seed, 45)
    environment, _ = private_environment(os.environ, folder / "ros")
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    # The watcher gets little processor time too, but must not miss anything.
    deeper = {
        f"qos_overrides./clip2depth/{t}.publisher.depth": OUTGOING for t in ("depth/image_rect", "quality")
    }
    usage: list[tuple[float, float, int, int]] = []
    with Children() as children:
        node = children.start(
            "the node", peers.node(image__queue=INCOMING, **deeper), environment, folder / "node.txt"
        )
        children.start("the watcher", peers.watcher(watch_log), environment, folder / "watcher.txt")
        time.sleep(8.0)  # the camera waits only for the node; the watcher must not miss the first depth
        started = time.time()
        end = started + seconds

        def start_camera(number: int) -> Child:
            command = peers.camera(frames, camera_log, seed, started, seconds)
            return children.start("the camera", command, environment, folder / f"camera{number}.txt")

        camera_process = start_camera(0)
        kills = np.sort(rng.uniform(0.02, 0.98, max(1, int(seconds / 240)))) * seconds + started
        killed_at: list[int] = []
        visitors: list[tuple[float, Child]] = []
        load: list[Child] = []
        next_visit, next_look = started + 5.0, started
        while time.time() < end + 3.0:
            now = time.time()
            if node.code is not None:
                hour.faults.append(f"the node ended with {node.code}:\n{node.last_lines()}")
                break
            if camera_process.code is not None and now < end - 5:
                hour.faults.append(f"the camera ended with {camera_process.code}")
                break
            if now >= next_look:
                usage.append((now, *_usage(node.pid)))
                next_look = now + 5.0
            if len(killed_at) < len(kills) and now >= kills[len(killed_at)]:
                os.killpg(camera_process.pid, signal.SIGKILL)
                killed_at.append(time.time_ns())
                camera_process.end()
                camera_process = start_camera(len(killed_at))
            if now >= next_visit and now < end - 20:
                topic = TOPICS[int(rng.integers(len(TOPICS)))]
                child = children.start(
                    f"visitor{hour.visitors}", peers.visitor(*topic), environment, folder / "visitor.txt"
                )
                visitors.append((now + float(rng.uniform(3, 20)), child))
                hour.visitors += 1
                next_visit = now + float(rng.uniform(5, 40))
            for due, child in [v for v in visitors if v[0] <= now]:
                # every second visitor is killed, like a laptop that is closed
                if rng.random() < 0.5:
                    os.killpg(child.pid, signal.SIGKILL)
                child.end()
                visitors.remove((due, child))
            loaded = started + seconds / 3 <= now < started + 2 * seconds / 3
            if loaded and not load:
                busy = [sys.executable, "-c", "while True: pass"]
                load = [
                    children.start("load", busy, environment, folder / "load.txt")
                    for _ in range(os.cpu_count() or 1)
                ]
            if load and not loaded:
                for child in load:
                    child.end(0.0)
                load = []
            time.sleep(0.05)
        hour.cameras_killed = len(killed_at)
        time.sleep(2.0)
    sent, seen = np.fromfile(camera_log, camera.RECORD), np.fromfile(watch_log, watcher.RECORD)
    _count(hour, sent, seen, killed_at)
    _read_usage(hour, usage, started)
    _rates(hour, sent, seen, started, seconds, seed)
    text = (folder / "node.txt").read_text(errors="replace")
    if "Traceback" in text:
        hour.faults.append("a traceback in the node's log:\n" + text[text.index("Traceback") :][:2000])
    if len(text) > 100_000 + 2000 * seconds / 60:
        hour.faults.append(f"the node's log has {len(text)} characters")
    return hour


def _usage(pid: int) -> tuple[float, int, int]:
    """Private memory in MiB, open descriptors and threads of a process.

    Shared memory is not included, because it is counted in every process that maps it.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return int(facts["RssAnon"].split()[0]) / 1024, descriptors, int(facts["Threads"])


def _count(hour: Hour, sent: np.ndarray, seen: np.ndarray, killed_at: list[int]) -> None:
    depth, quality = seen[seen["kind"] == watcher.DEPTH], seen[seen["kind"] == watcher.QUALITY]
    if not len(quality):
        hour.faults.append("no depth was published at all")
        return
    last = quality[-1]
    hour.sent = len(sent)
    hour.processed, hour.overtaken, hour.refused = (int(last[n]) for n in ("processed", "dropped", "bad"))
    hour.in_flight = sum(1 for at in killed_at if _last_before(sent, at))
    counted = hour.processed + hour.overtaken + hour.refused
    # images of the camera's last second may arrive after the last quality message
    after = int(
        np.count_nonzero(sent["sent"] > np.max(sent["sent"][np.isin(sent["stamp"], quality["stamp"])]))
    )
    missing = hour.sent - counted - after
    hour.unexplained = max(0, missing - hour.in_flight)
    if after > 3:
        hour.faults.append(f"the last {after} images came to nothing")
    if missing < 0:
        hour.faults.append(f"{-missing} more images were counted than sent")
    broken = int(np.count_nonzero(~sent["good"]))
    if abs(hour.refused - broken) > 0.02 * broken + hour.overtaken:
        hour.faults.append(f"{hour.refused} images were refused, {broken} were broken")
    a, b = Counter(depth["stamp"].tolist()), Counter(quality["stamp"].tolist())
    if difference := sum(((a - b) + (b - a)).values()):
        hour.faults.append(f"{difference} depth images and quality messages have no counterpart")
    if len(quality) != hour.processed:
        hour.faults.append(f"{hour.processed} images were processed, {len(quality)} were published")
    unknown = np.count_nonzero(~np.isin(depth["stamp"], sent["stamp"]))
    if unknown:
        hour.faults.append(f"{unknown} depth images have a stamp that no image had")
    of_broken = np.count_nonzero(np.isin(depth["stamp"], sent["stamp"][~sent["good"]]))
    if of_broken:
        hour.faults.append(f"{of_broken} broken images became depth")
    if depth["wrong"].any():
        hour.faults.append(f"{np.count_nonzero(depth['wrong'])} depth images hold wrong values")


def _last_before(sent: np.ndarray, at: int) -> bool:
    """Whether the last image before `at` was sent within 50 ms of it."""
    before = sent["sent"][sent["sent"] <= at]
    return before.size > 0 and at - before[-1] < 50_000_000


def _read_usage(hour: Hour, usage: list[tuple[float, float, int, int]], started: float) -> None:
    if not usage:
        return
    early = next((u for u in usage if u[0] > started + 60), usage[len(usage) // 4])
    for _, memory, descriptors, threads in (early, usage[len(usage) // 2], usage[-1]):
        hour.memory.append(round(memory, 1))
        hour.descriptors.append(descriptors)
        hour.threads.append(threads)
    # Fast DDS does not release the memory of its queues, and under load each of them is filled with the
    # largest images at some time.
    if hour.memory[-1] > hour.memory[0] + QUEUED + 32:
        hour.faults.append(f"the node's memory grew: {hour.memory} MiB")
    if hour.threads[-1] > hour.threads[0] + 4:
        hour.faults.append(f"the node's threads grew: {hour.threads}")
    if hour.descriptors[-1] > hour.descriptors[0] + 20:
        hour.faults.append(f"the node's descriptors grew: {hour.descriptors}")


def _rates(hour: Hour, sent: np.ndarray, seen: np.ndarray, started: float, seconds: float, seed: int) -> None:
    quality = seen[seen["kind"] == watcher.QUALITY]
    at = sent["sent"] / 1e9 - started
    loaded = (at >= seconds / 3) & (at < 2 * seconds / 3)
    became = np.isin(sent["stamp"], quality["stamp"])
    for name, which in (("idle_rate", ~loaded), ("loaded_rate", loaded)):
        good = which & sent["good"]
        setattr(hour, name, float(became[good].mean()) if good.any() else 0.0)
    clocks = {phase: camera.plan(seed, int(phase))[3] for phase in np.unique(sent["phase"])}
    right = np.array([clocks[p] == 0.0 for p in sent["phase"]])
    calm = sent["stamp"][right & ~loaded & sent["good"]]
    latency = quality["latency"][np.isin(quality["stamp"], calm)]
    if latency.size:
        hour.latency = tuple(float(np.percentile(latency, p)) for p in (50, 95, 100))
