#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares nav2's costmaps with the true obstacles of simulated drives.

    python benchmark/costmap.py [--drives 16 3 ...] [--depth truth|mini] [--costmaps TOPIC ...] [--tf-delay S]
    python benchmark/costmap.py --model [--drives ...] [--depth ...]

It publishes a drive's images, camera_info, odometry and tf (odom -> base_link -> camera), runs depth_node
with a bundle, or publishes scan and points of the true depth itself, and compares the running costmaps with
the drive's true obstacles. You start nav2; if no costmap is found, the commands for it are printed. It needs
tf2_msgs, which ROS from PyPI lacks. --model needs neither nav2 nor ROS: it uses models of nav2's two layers.

marked   fraction of the directions, 1 degree each, with a nearest obstacle of 0.1 to 1 m height within 2.8 m,
         in which a lethal cell is within 20 % of its distance; next column: within 0.25 m
false    fraction of the lethal cells in view within 2.8 m that are before every obstacle by more than 20 % of
         its distance and farther than 0.25 m from any; next column: by more than 0.25 m
clear s  seconds for which a cell stays lethal after the person in it has left: median and 90th percentile
kept     cells that left the view, or whose drive ended, before they were cleared

All from the third second of each drive on, because odometry gives no scale before.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.obstacles.layers import ObstacleLayer, VoxelLayer
from benchmark.obstacles.truth import HEADER, LOW, Comparison, Counts, Truth
from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.engines import open_engine
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.images.frame import DepthFrame, Floor, FrameFacts
from clip2depth_ros.outputs import FloorLimits, LaserScan, PointCloud, ScanSettings
from clip2depth_ros.pipeline import Pipeline
from clip2depth_ros.scale import FloorFinder, ScaleSettings
from clip2depth_ros.simulation import Drive

DRIVES = (16, 3, 5, 8, 11, 13)
RATE = 10.0
SETTLED = 3_000_000_000
"""Time in a drive from which grids count, nanoseconds."""
LEVEL = Floor.from_mounting(1.0).normal
EVERY = 2
"""Updates of the model per grid: nav2's costmap publishes 5 per second."""


def true_frames(truth: Truth) -> Iterator[DepthFrame]:
    """A drive's true depth as the pipeline's output, with the floor that is found in it."""
    finder = FloorFinder()
    for frame in truth.frames:
        facts = FrameFacts(floor=finder.find(frame.depth, frame.camera, LEVEL))
        yield DepthFrame(frame.depth, frame.image, frame.camera, frame.stamp, frame.frame_id, facts)


def network_frames(truth: Truth, pipeline: Pipeline) -> Iterator[DepthFrame]:
    """A bundle's depth of a drive, scaled by odometry without noise."""
    pipeline.reset()
    for frame in truth.frames:
        frame.odometry = frame.pose
        yield pipeline.process(frame)


def model(truth: Truth, frames: Iterator[DepthFrame], costmaps: list[str]) -> dict[str, Counts]:
    """The result of the models of nav2's layers for scan and points of these frames, by output."""
    scan, cloud = LaserScan(), PointCloud()
    layers = {"scan": ObstacleLayer(truth.shape, truth.corner)}
    layers |= {"points": VoxelLayer(truth.shape, truth.corner)}
    layers = {name: layers[name] for name in costmaps}
    compared = {name: Comparison(truth) for name in layers}
    floor = None
    for index, (view, frame) in enumerate(zip(truth.views, frames, strict=True)):
        floor = frame.facts.floor or floor
        if "scan" in layers and floor is not None:
            ranges = scan.build(frame, floor)
            ahead = view.pose[:3, :3] @ scan.rotation.T
            angles = scan.angle_min + scan.angle_increment * np.arange(len(ranges))
            angles += math.atan2(ahead[1, 0], ahead[0, 0])
            layers["scan"].add(view.pose[:2, 3], angles, ranges.astype(np.float64))
        if "points" in layers:
            limits = None
            if floor is not None:
                mounted = Floor(view.pose[2, :3], view.pose[2, 3], 1.0)
                limits = FloorLimits(floor, mounted, LOW, ScanSettings.floor_tolerance)
            points = cloud.build(frame, floor=limits)[..., :3].reshape(-1, 3).astype(np.float64)
            layers["points"].add(view.pose[:3, 3], points @ view.pose[:3, :3].T + view.pose[:3, 3])
        if index % EVERY == 0:
            for name, layer in layers.items():
                compared[name].add(layer.lethal, view, count=view.stamp >= SETTLED)
    return {name: comparison.end() for name, comparison in compared.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drives", type=int, nargs="+", default=DRIVES, metavar="SEED")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--depth", default="mini", help="truth, or a bundle (default mini)")
    parser.add_argument("--model", action="store_true", help="models of nav2's layers, without nav2 and ROS")
    parser.add_argument("--outputs", nargs="+", default=["scan", "points"], choices=["scan", "points"])
    parser.add_argument(
        "--costmaps",
        nargs="+",
        default=["/local_costmap/costmap"],
        metavar="TOPIC",
        help="OccupancyGrids to compare",
    )
    parser.add_argument("--tf-delay", type=float, default=0.0, help="delay of tf after the image, seconds")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="image of the costmap beside the true obstacles"
    )
    parser.add_argument("--monitor", action="store_true", help="also evaluate nav2's collision monitor")
    args = parser.parse_args()
    total: dict[str, Counts] = {}
    player = None
    try:
        if args.model:
            run = _model_run(args)
        else:
            from benchmark.obstacles.live import open_player

            player = open_player(args)
            run = player.play
        print(f"{args.depth}, {len(args.drives)} drives of {args.seconds:g} s at {RATE:g} images a second")
        print(f"{'':28}{HEADER}")
        for seed in args.drives:
            truth = Truth(Drive(seed, fps=RATE, seconds=args.seconds))
            for name, counts in run(truth, seed).items():
                print(f"{f'sim:{seed}':8}{name:20}{counts.row()}", flush=True)
                total.setdefault(name, Counts()).add(counts)
    except Clip2DepthError as error:
        raise SystemExit(str(error)) from None
    finally:
        if player is not None:
            player.close()
    for name, counts in total.items():
        print(f"{'all':8}{name:20}{counts.row()}")


def _model_run(args: argparse.Namespace):
    if args.depth == "truth":
        return lambda truth, seed: model(truth, true_frames(truth), args.outputs)
    engine = open_engine(open_bundle(args.depth))
    pipeline = Pipeline(engine, scale=ScaleSettings(odometry=True))
    return lambda truth, seed: model(truth, network_frames(truth, pipeline), args.outputs)


if __name__ == "__main__":
    main()
