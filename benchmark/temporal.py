#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Temporal consistency of depth: raw, averaged and stabilized, on the same frames.

    python benchmark/temporal.py [--protocol A|B|C|still ...] [--rgbd FOLDER] [--bundle NAME]
    python benchmark/temporal.py --films FOLDER         raw beside stabilized depth, one video per sequence
    python benchmark/temporal.py --picture FILE.jpg     the same in one image: pixels over time

A      measured depth of real frames (kitchen, 120 at 320x240) with flicker added, and the time at 640x480
B      the bundle's own depth of real frames: kitchen, hall, desk
C      simulated drives among walking people, true depth with flicker added
still  a static camera in a static room, true depth with flicker added

"Flicker" is the error of a network that sees single frames (depth_noise.py of the simulation). FOLDER of real
frames: $CLIP2DEPTH_RGBD or ../shared/rgbd; without it only C and still are run. The columns are explained in
clip2depth_ros/metrics/temporal.py and benchmark/steadiness/measures.py. Milliseconds are of one core, of this
thread only.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.steadiness import measures
from benchmark.steadiness.methods import OWN, Outcome, methods, run
from benchmark.steadiness.pictures import write_image, write_video
from benchmark.steadiness.sequences import FrameSequence, driven, flickered, predicted, still
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE

PROTOCOLS = ("A", "B", "C", "still")
PREDICTED = ("kitchen", "hall", "desk")
DRIVES = (1, 4, 12, 20)
"""Seeds of drives in which people walk through the image."""
PICTURED = "sim:16"
"""Sequence of the picture: the demo's drive, because real frames may not be redistributed."""
PICTURED_FRAMES = 220
Columns = dict[str, Callable[[list[Outcome]], str]]


def table(name: str, sequences: list[FrameSequence], columns: Columns) -> None:
    """Print a row for every method and a column for every measure over all sequences."""
    camera = sequences[0].camera
    print(f"{name}: {sum(map(len, sequences))} frames, {camera.width}x{camera.height}")
    columns = columns | {
        "ms": lambda outcomes: f"{measures.milliseconds(outcomes):.1f}" if any(outcomes[0].seconds) else "-"
    }
    print(f"  {'':28}" + "".join(f"{title:>11}" for title in columns))
    for method in methods(sequences[0]):
        outcomes = [run(method, sequence) for sequence in sequences]
        print(
            f"  {method:28}" + "".join(f"{measure(outcomes):>11}" for measure in columns.values()), flush=True
        )


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def common_columns(sequences: list[FrameSequence]) -> Columns:
    """Accuracy, and TAE if the poses are known; means over the sequences."""

    def mean(measure: Callable[..., float], *arguments) -> Callable[[list[Outcome]], str]:
        return lambda outcomes: percent(
            float(
                np.mean([measure(o.depths, s, *arguments) for o, s in zip(outcomes, sequences, strict=True)])
            )
        )

    columns = {"AbsRel": mean(measures.abs_rel)}
    if sequences[0].poses is None:
        return columns
    return {"TAE": mean(measures.tae_of, 1), "TAE/8": mean(measures.tae_of, 8)} | columns


def protocol_a(rgbd: Path) -> None:
    sequence = flickered(rgbd / "kitchen")
    table("kitchen, flicker added", [sequence], common_columns([sequence]))
    floor, floor_8 = (percent(measures.tae_of(sequence.truth, sequence, stride)) for stride in (1, 8))
    print(f"  measured depth itself: TAE {floor}, TAE/8 {floor_8}")
    large = flickered(rgbd / "kitchen", frames=30, size=(640, 480))
    print(f"  at 640x480 the {OWN} takes {measures.milliseconds([run(OWN, large)]):.1f} ms")


def protocol_b(rgbd: Path, bundle: str) -> None:
    for name in PREDICTED:
        sequence = predicted(rgbd / name, bundle)
        matches = sequence.matches()

        def by_flow(outcomes: list[Outcome], matches=matches) -> tuple[float, float]:
            return measures.flow_measures(outcomes[0].depths, matches)

        columns = {
            "OPW mm": lambda outcomes, by_flow=by_flow: f"{1e3 * by_flow(outcomes)[0]:.1f}",
            "rTC": lambda outcomes, by_flow=by_flow: percent(by_flow(outcomes)[1]),
        }
        table(f"{name}, bundle {bundle}", [sequence], common_columns([sequence]) | columns)


def protocol_c() -> None:
    sequences = [driven(seed) for seed in DRIVES]
    newcomers = [measures.Newcomers(sequence) for sequence in sequences]

    def moving(*ages: int) -> Callable[[list[Outcome]], str]:
        return lambda outcomes: percent(measures.moving_error(outcomes, newcomers, *ages))

    def late(arriving: bool) -> Callable[[list[Outcome]], str]:
        return lambda outcomes: f"{measures.lag(outcomes, newcomers, arriving=arriving):.1f}"

    columns = {f"moving {age}": moving(age, age) for age in measures.AGES}
    columns |= {"moving 3+": moving(3), "lag": late(True), "ghost": late(False)}
    table("simulated drives, flicker added", sequences, common_columns(sequences) | columns)
    print("  moving N: AbsRel of the pixels that belong to a moving body, in the N-th frame since they do")
    print("  lag, ghost: frames by which depth comes late where a moving body arrives, and where it leaves")


def protocol_still() -> None:
    sequence = still(DRIVES[1])
    outcome = run(OWN, sequence)
    print(f"{sequence.name}: {len(sequence)} frames, {OWN}")
    print(f"  {'frame':>6} {'AbsRel':>9} {'change':>9} {'deviation':>10}")
    for index in (0, 1, 2, 5, 10, 20, 50, 100, len(sequence) - 1):
        depth, truth = outcome.depths[index], sequence.truth[index]
        before = outcome.depths[max(0, index - 1)]
        error = float(np.nanmean(np.abs(depth - truth) / truth))
        change = float(np.nanmedian(np.abs(np.log(depth / before))))
        deviation = float(np.nanmedian(outcome.deviations[index]))
        print(f"  {index + 1:>6} {percent(error):>9} {percent(change):>9} {percent(deviation):>10}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    parser.add_argument(
        "--rgbd", type=Path, default=Path(os.environ.get("CLIP2DEPTH_RGBD", "../shared/rgbd"))
    )
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE)
    parser.add_argument("--films", type=Path, metavar="FOLDER", help="only write videos of B and C")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="only write an image of raw and stabilized depth"
    )
    args = parser.parse_args()
    if args.picture is not None:
        print(write_image(predicted(PICTURED, args.bundle, PICTURED_FRAMES), args.picture))
    if args.films is not None:
        for name in PREDICTED:
            print(write_video(predicted(args.rgbd / name, args.bundle), args.films / f"{name}.mp4"))
        for seed in DRIVES:
            print(write_video(driven(seed), args.films / f"drive_{seed}.mp4"))
    if args.picture is not None or args.films is not None:
        return
    for protocol in args.protocol:
        if protocol in "AB" and not args.rgbd.is_dir():
            print(f"protocol {protocol}: no real frames at {args.rgbd}, skipped")
            continue
        print(f"protocol {protocol}")
        if protocol == "A":
            protocol_a(args.rgbd)
        elif protocol == "B":
            protocol_b(args.rgbd, args.bundle)
        elif protocol == "C":
            protocol_c()
        else:
            protocol_still()


if __name__ == "__main__":
    main()
