# SPDX-License-Identifier: Apache-2.0
"""Times of the pipeline's stages by input size: `python benchmark/pipeline.py [--bundle NAME] [--frames N]`.

Every row is the median over the frames, in milliseconds, with the 95th percentile of the sum and the
processor time of all threads; the sizes alternate frame by frame. Depth is resized to the image's size, as
for its message. The images are noise with structure at all scales, so that no stage profits from an empty
image; the noise moves, so that the stabilizer finds motion; the camera has a lens to rectify. The scale
searches the floor in every frame; the scan uses the floor of a fixed mounting. --jpeg: images are JPEG, and
decoding is an extra column.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE
from clip2depth_ros.camera import Camera
from clip2depth_ros.engines import ENGINE_NAMES, open_engine
from clip2depth_ros.images.compressed import decode_rgb
from clip2depth_ros.images.frame import STAGES, Floor, Frame
from clip2depth_ros.outputs import LaserScan, PointCloud, PointsSettings
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import ScaleSettings

SIZES = ((320, 240), (640, 480), (1242, 375), (1280, 720), (1920, 1080), (3840, 2160))
COLUMNS = (*STAGES, "depth", "points", "scan")
MOUNTING = {"height": 0.6, "pitch": 0.1}
# Motion from frame to frame as a fraction of the image's width, and the number of frames until it reverses.
SPEED, TURN = 0.004, 20
WARM_UP = 4  # frames, which allocate buffers and maps
FRAME_TIME = 33_333_333  # nanoseconds
DISTORTION = (-0.1, 0.02, 0.0, 0.0, 0.0)


def structured_noise(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3) uint8: noise with coarse, middle and fine grain."""
    image = np.zeros((height, width, 3), np.float32)
    for cells in (6, 30, 150):
        grain = rng.random((cells, cells, 3), np.float32)
        image += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image * 85, 0, 255).astype(np.uint8)


def measure(pipeline: Pipeline, camera: Camera, stride: int, jpeg: bool) -> Iterator[dict[str, float]]:
    """Seconds of every stage, frame by frame; "cpu": of all threads."""
    rng = np.random.default_rng(0)
    step = max(1, round(SPEED * camera.width))
    scene = structured_noise(camera.width + step * TURN, camera.height, rng)
    cloud, scan, floor = PointCloud(PointsSettings(stride)), LaserScan(), Floor.from_mounting(**MOUNTING)
    ranges = np.empty(scan.prepare(camera.undistorted()), np.float32)
    buffer = np.empty((*cloud.shape(camera.width, camera.height), 4), np.float32)
    message = np.empty((camera.height, camera.width), np.float32)
    for index in itertools.count():
        left = step * (TURN - abs(index % (2 * TURN) - TURN))
        image, shrink = np.ascontiguousarray(scene[:, left : left + camera.width]), 1
        coded = cv2.imencode(".jpg", image)[1] if jpeg else None
        processor, started = time.process_time(), time.perf_counter()
        if coded is not None:
            most = min(pipeline.shrink_for(camera.size), stride)
            shrink = max(n for n in (1, 2, 4, 8) if n <= most)
            image = decode_rgb(coded, shrink=shrink)
        decoded = time.perf_counter() - started
        result = pipeline.process(Frame(image, index * FRAME_TIME, "camera", camera, shrink=shrink))
        times = {"decode": decoded, **result.facts.times}
        for name, build, arguments in (
            ("depth", result.fill_depth, (message,)),
            ("points", cloud.build, (result, buffer)),
            ("scan", scan.build, (result, floor, ranges)),
        ):
            started = time.perf_counter()
            build(*arguments)
            times[name] = time.perf_counter() - started
        times["cpu"] = time.process_time() - processor
        yield times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE)
    parser.add_argument("--engine", default="auto", choices=("auto", *ENGINE_NAMES))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--stride", type=int, default=2, help="stride of the point cloud")
    parser.add_argument("--jpeg", action="store_true")
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
        columns = ("decode", *COLUMNS) if args.jpeg else COLUMNS
        print(f"{'milliseconds':>12} " + " ".join(f"{s:>9}" for s in (*columns, "sum", "p95", "cpu")))
        runs = []
        for width, height in SIZES:
            ideal = Camera.from_fov(width, height, 1.1)
            camera = Camera(width, height, ideal.fx, ideal.fy, ideal.cx, ideal.cy, DISTORTION)
            pipeline = Pipeline(engine, scale=ScaleSettings(**MOUNTING))
            runs.append(measure(pipeline, camera, args.stride, args.jpeg))
        frames = [[next(run) for run in runs] for _ in range(args.frames + WARM_UP)][WARM_UP:]
        for (width, height), times in zip(SIZES, zip(*frames, strict=True), strict=True):
            total = [sum(t[column] for column in columns) for t in times]
            numbers = [np.median([t[column] for t in times]) for column in columns]
            numbers += [np.median(total), np.percentile(total, 95), np.median([t["cpu"] for t in times])]
            print(f"{f'{width}x{height}':>12} " + " ".join(f"{n * 1e3:9.2f}" for n in numbers), flush=True)


if __name__ == "__main__":
    main()
