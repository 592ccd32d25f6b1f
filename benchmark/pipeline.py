# SPDX-License-Identifier: Apache-2.0
"""Times of the pipeline's stages by input size: `python benchmark/pipeline.py [--bundle NAME] [--frames N]`.

Every row is the median over the frames, in milliseconds, with the 95th percentile of the sum. The images are
noise with structure at all sizes, so nothing profits from an empty picture, and the noise moves, so that the
stabilizer has motion to find; a distorted camera makes the rectify stage work. The scale looks for the floor
in every frame; the scan takes it where a fixed mounting has it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE
from clip2depth_ros.camera import Camera
from clip2depth_ros.engines import ENGINE_NAMES, open_engine
from clip2depth_ros.frame import STAGES, Floor, Frame
from clip2depth_ros.outputs import LaserScan, PointCloud
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings

SIZES = ((320, 240), (640, 480), (1242, 375), (1280, 720), (1920, 1080))
COLUMNS = (*STAGES, "points", "scan")
MOUNTING = {"height": 0.6, "pitch": 0.1}
# How far the scene moves from frame to frame, as a part of the image's width, and when it turns back, frames.
SPEED, TURN = 0.004, 20
FRAME_TIME = 33_333_333  # nanoseconds
DISTORTION = (-0.1, 0.02, 0.0, 0.0, 0.0)


def structured_noise(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3) uint8: noise of coarse, middle and fine grain."""
    image = np.zeros((height, width, 3), np.float32)
    for cells in (6, 30, 150):
        grain = rng.random((cells, cells, 3), np.float32)
        image += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image * 85, 0, 255).astype(np.uint8)


def measure(pipeline: Pipeline, camera: Camera, frames: int, stride: int) -> dict[str, np.ndarray]:
    """Seconds of every stage of every frame."""
    rng = np.random.default_rng(0)
    step = max(1, round(SPEED * camera.width))
    scene = structured_noise(camera.width + step * TURN, camera.height, rng)
    cloud, scan, floor = PointCloud(stride), LaserScan(), Floor.from_mounting(**MOUNTING)
    ranges = np.empty(scan.prepare(camera.undistorted()), np.float32)
    buffer = np.empty((*cloud.shape(camera.width, camera.height), 4), np.float32)
    times: dict[str, list[float]] = {stage: [] for stage in COLUMNS}
    for index in range(frames + 3):
        left = step * (TURN - abs(index % (2 * TURN) - TURN))
        image = np.ascontiguousarray(scene[:, left : left + camera.width])
        result = pipeline.process(Frame(image, index * FRAME_TIME, "camera", camera))
        started = time.perf_counter()
        cloud.build(result, buffer)
        result.facts.times["points"] = time.perf_counter() - started
        started = time.perf_counter()
        scan.build(result, floor, ranges)
        result.facts.times["scan"] = time.perf_counter() - started
        if index >= 3:  # the first frames make buffers and maps
            for stage in COLUMNS:
                times[stage].append(result.facts.times[stage])
    return {stage: np.array(seconds) for stage, seconds in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE)
    parser.add_argument("--engine", default="auto", choices=("auto", *ENGINE_NAMES))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--stride", type=int, default=2, help="of the point cloud")
    args = parser.parse_args()
    bundle = open_bundle(args.bundle)
    started = time.perf_counter()
    with open_engine(bundle, args.engine, threads=args.threads) as engine:
        opened = time.perf_counter() - started
        manifest = bundle.manifest
        print(
            f"bundle {bundle.name} ({manifest.backbone}, {manifest.input_width}x{manifest.input_height}), "
            f"{engine.name} {engine.precision} on {engine.device}, opened in {opened:.2f} s; "
            f"points with stride {args.stride}"
        )
        print(f"{'milliseconds':>12} " + " ".join(f"{s:>9}" for s in (*COLUMNS, "sum", "p95")))
        for width, height in SIZES:
            ideal = Camera.from_fov(width, height, 1.1)
            camera = Camera(width, height, ideal.fx, ideal.fy, ideal.cx, ideal.cy, DISTORTION)
            pipeline = Pipeline(engine, scale=ScaleSettings(**MOUNTING))
            times = measure(pipeline, camera, args.frames, args.stride)
            total = sum(times.values())
            numbers = [np.median(times[s]) for s in COLUMNS] + [np.median(total), np.percentile(total, 95)]
            size = f"{width}x{height}"
            print(f"{size:>12} " + " ".join(f"{n * 1e3:9.2f}" for n in numbers), flush=True)


if __name__ == "__main__":
    main()
