#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fuzz test with hostile messages and damaged files; counts faults.

    python benchmark/hostile.py [--messages 100000] [--files 5000] [--seed 0] [--output FILE]

messages   of every type that depth_node subscribes to, passed to its callbacks; after every 200 messages a
           good frame must get exactly the depth that a new node gives it
files      of every kind that is read, each damaged in one of a dozen ways and read like a user's file

A fault is: an exception other than Clip2DepthError, a warning of NumPy (such as an overflow, which nobody
counts), a traceback in the log, an error of more than one line, depth that is neither NaN nor within the
bundle's range times the scale, 2 s of processor time for one case, 1 GB of memory. Exit status 1 if there was
any; --output writes the table as Markdown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from hostility.files import all_kinds
from hostility.mutation import damage

from benchmark.machine.memory import peak_memory, reset_peak_memory
from benchmark.machine.processor import machine
from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.errors import Clip2DepthError

SLOW, MEMORY = 2.0, 2**30


def damaged_files(count: int, seed: int) -> tuple[dict[str, list[int]], float, list[str]]:
    """By kind [read, rejected]; the slowest case in processor seconds; and the faults."""
    table: dict[str, list[int]] = {}
    slowest, faults = 0.0, []
    with tempfile.TemporaryDirectory() as place:
        kinds = all_kinds(Path(place))
        for kind in kinds:
            kind.read(Path(place) / kind.name)
        start = reset_peak_memory()  # after all imports
        for number in range(count):
            kind = kinds[number % len(kinds)]
            rng = np.random.default_rng([seed, number])
            path = Path(place) / kind.name / kind.files[int(rng.integers(len(kind.files)))]
            whole = path.read_bytes()
            path.write_bytes(damage(whole, rng))
            began = time.process_time()
            outcome = table.setdefault(kind.name, [0, 0])
            try:
                kind.read(Path(place) / kind.name)
                outcome[0] += 1
            except Clip2DepthError as error:
                outcome[1] += 1
                if "\n" in str(error) or len(str(error)) > 1500:
                    faults.append(f"{kind.name} {number}: no sentence: {str(error)[:300]!r}")
            except BaseException:
                faults.append(f"{kind.name} {number}:\n{traceback.format_exc()}")
            spent = time.process_time() - began
            slowest = max(slowest, spent)
            if spent > SLOW:
                faults.append(f"{kind.name} {number} took {spent:.1f} s")
            path.write_bytes(whole)
        grown = peak_memory() - start
    if grown > MEMORY:
        faults.append(f"memory grew by {grown / 2**20:.0f} MiB")
    return table, slowest, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    warnings.simplefilter("error", RuntimeWarning)
    lines, faults = [], []
    if args.messages:
        from hostility.node import fuzz_node

        outcome = fuzz_node(open_bundle("mini"), args.messages, args.seed)
        lines.append(
            f"{outcome.sent:,} messages: {outcome.processed:,} images were computed or dropped, "
            f"{outcome.refused:,} messages were refused with a sentence; the slowest took "
            f"{outcome.slowest:.2f} s; {len(outcome.faults)} faults"
        )
        faults += outcome.faults
    if args.files:
        table, slowest, found = damaged_files(args.files, args.seed)
        read, refused = (sum(values[i] for values in table.values()) for i in (0, 1))
        lines.append(
            f"{read + refused:,} damaged files of {len(table)} kinds: {refused:,} were refused with a "
            f"sentence, {read:,} could be read; the slowest took {slowest:.2f} s; {len(found)} faults"
        )
        faults += found
    print(*lines, sep="\n")
    for fault in faults[:20]:
        print(f"FAULT {fault}", file=sys.stderr)
    if args.output:
        given = f"--messages {args.messages} --files {args.files} --seed {args.seed}"
        command = f"`python benchmark/hostile.py {given}` on {machine()}"
        text = f"# Hostile messages and damaged files\n\n{command}:\n\n"
        args.output.write_text(text + "".join(f"- {line}\n" for line in lines))
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
