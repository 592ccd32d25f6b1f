#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures of the stabilizer that are not in benchmark/temporal.py: ego-motion, calibration, time, memory.

    python benchmark/stabilizer.py [--rgbd FOLDER] [--frames N]

ego-motion   estimated over true length of the camera's path, in stretches of STRETCH meters (the rest counts
             from half a stretch on), and the number of frames with a trusted estimate
honesty      |log depth - log ground truth| over the reported standard deviation: median over pixels and
             frames, and root mean square clipped at 10; a calibrated normal error has 0.67 and 1
time         per frame on one core, median, of this thread only, and the best of five runs of every frame
memory       of the process after a number of frames, MB

FOLDER of real frames: $CLIP2DEPTH_RGBD or ../shared/rgbd; without it only the simulated drives are run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.steadiness.methods import OWN, run
from benchmark.steadiness.sequences import FrameSequence, driven, flickered
from clip2depth_ros.camera import Camera
from clip2depth_ros.stabilizer import Stabilizer

DRIVES = (1, 4, 12, 20)
STRETCH = 1.0
SIZES = ((213, 160), (320, 240), (640, 480))


def ego_motion(sequence: FrameSequence, depths: list[np.ndarray]) -> tuple[list[float], int]:
    """Ratios of estimated to true length of every stretch, and the number of frames with a trusted motion."""
    stabilizer, ratios, trusted = Stabilizer(), [], 0
    seen, true = np.eye(4), np.eye(4)

    def close(least: float) -> None:
        nonlocal seen, true
        length = np.linalg.norm(true[:3, 3])
        if length > least:
            ratios.append(float(np.linalg.norm(seen[:3, 3]) / length))
            seen, true = np.eye(4), np.eye(4)

    for index, (depth, image) in enumerate(zip(depths, sequence.images, strict=True)):
        stable = stabilizer.update(depth, image, sequence.camera, sequence.stamps[index])
        if stable.visual_odometry is None:
            close(STRETCH / 2)
            seen, true = np.eye(4), np.eye(4)
            continue
        trusted += 1
        seen = stable.visual_odometry @ seen
        true = np.linalg.inv(sequence.poses[index]) @ sequence.poses[index - 1] @ true
        close(STRETCH)
    close(STRETCH / 2)
    return ratios, trusted


def honesty(sequence: FrameSequence) -> tuple[float, float]:
    """Median and root mean square of the errors over their standard deviations."""
    outcome = run(OWN, sequence)
    off = np.concatenate(
        [
            (np.log(depth / truth) / deviation)[np.isfinite(depth) & np.isfinite(truth)]
            for depth, truth, deviation in zip(
                outcome.depths, sequence.truth, outcome.deviations, strict=True
            )
        ]
    )
    return float(np.median(np.abs(off))), float(np.sqrt(np.mean(np.square(np.clip(off, -10, 10)))))


def milliseconds(sequence: FrameSequence, size: tuple[int, int]) -> tuple[float, float]:
    """Median over the frames, and over each frame's best of five runs."""
    images = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in sequence.images]
    depths = [cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT) for depth in sequence.raw]
    camera, runs = sequence.camera.scaled(*size), []
    for _ in range(5):
        stabilizer, taken = Stabilizer(), []
        for image, depth, stamp in zip(images, depths, sequence.stamps, strict=True):
            began = time.thread_time()
            stabilizer.update(depth, image, camera, stamp)
            taken.append(1e3 * (time.thread_time() - began))
        runs.append(taken[3:])  # the first frames allocate buffers
    return float(np.median(runs)), float(np.median(np.min(runs, axis=0)))


def memory(sequence: FrameSequence, frames: int) -> list[tuple[int, float]]:
    """Number of frames so far, and memory of the process, MB."""
    stabilizer, found = Stabilizer(), []
    camera: Camera = sequence.camera
    for index in range(frames):
        # Forward and backward, so that it never jumps.
        turn = index % (2 * len(sequence) - 2)
        at = turn if turn < len(sequence) else 2 * len(sequence) - 2 - turn
        stabilizer.update(sequence.raw[at], sequence.images[at], camera, index * 33_000_000)
        if index + 1 in (100, frames // 2, frames):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            found.append((index + 1, pages * os.sysconf("SC_PAGE_SIZE") / 1e6))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rgbd", type=Path, default=Path(os.environ.get("CLIP2DEPTH_RGBD", "../shared/rgbd"))
    )
    parser.add_argument("--frames", type=int, default=10_000, help="frames for the memory test; 0: skip it")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    sequences = [driven(seed) for seed in DRIVES]
    if (args.rgbd / "kitchen").is_dir():
        sequences.insert(0, flickered(args.rgbd / "kitchen"))
    for sequence in sequences:
        for name, depths in (("true depth", sequence.truth), ("with flicker", sequence.raw)):
            ratios, trusted = ego_motion(sequence, depths)
            told = " ".join(f"{ratio:.3f}" for ratio in ratios) or "-"
            share = f"trusted {trusted} of {len(sequence) - 1}"
            print(f"ego-motion  {sequence.name:10} {name:13} seen / true {told:30} {share}")
    for sequence in sequences:
        print("honesty     {:10} median {:.2f}  rms {:.2f}".format(sequence.name, *honesty(sequence)))
    for size in SIZES:
        print("time        {}x{}  {:.1f} ms, best {:.1f} ms".format(*size, *milliseconds(sequences[0], size)))
    if args.frames:
        for count, megabytes in memory(sequences[0], args.frames):
            print(f"memory      after {count} frames {megabytes:.1f} MB")


if __name__ == "__main__":
    main()
