#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cost of each network on each engine of this machine, and its error against PyTorch in FP32.

    python benchmark/engines.py            mini at its own size, in under a minute
    python benchmark/engines.py --all --output benchmark/results/engines_cpu.md

"Network alone" is measured by CUDA events on the GPU, without transfers; "with transfers" is the wall time of
the whole call, from an image in memory to depth in memory. Deviation is |depth - PyTorch's| / PyTorch's, over
all pixels of the images. CPU time: of all threads, per call. Ratio: a GPU's wall time, or a CPU's CPU time,
to the CPU time of OpenVINO in fp32; on a busy machine, use this column. Memory: the increase of the GPU's
memory, or on a CPU of this process's peak, over the state before the engine was opened. All networks but mini
at 224x160 have random weights, so their deviations describe the arithmetic, not the depth. Rows that cannot
be run here stay empty, and the reason is given below the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.engine_table.networks import SIZES, bundle_of, needs
from benchmark.engine_table.table import heading, line, machine, ratio_time
from clip2depth_ros.engines.probe import GpuFacts, gpu_facts

HERE = Path(__file__).resolve().parent

# engine, device, precision
CONFIGURATIONS = (
    ("openvino", "cpu", "fp32"),
    ("openvino", "cpu", "bf16"),
    ("pytorch", "cpu", "fp32"),
    ("pytorch", "cuda", "fp32"),
    ("pytorch", "cuda", "bf16"),
    ("pytorch", "cuda", "fp16"),
    ("tensorrt", "cuda", "fp32"),
    ("tensorrt", "cuda", "bf16"),
    ("tensorrt", "cuda", "fp16"),
    ("tensorrt_rtx", "cuda", "fp32"),
    ("tensorrt_rtx", "cuda", "bf16"),
    ("tensorrt_rtx", "cuda", "fp16"),
)
BASE = CONFIGURATIONS[0]
ROW_TIMEOUT = 3600.0  # seconds; includes TensorRT's build
QUICK = {"mini": SIZES["mini"][:1]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="every network at every size")
    parser.add_argument("--network", choices=tuple(SIZES), help="only this network, at every size")
    parser.add_argument("--seconds", type=float, help="seconds per row (default: 2; with --all 5)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1; 0: all cores)")
    parser.add_argument("--bundles", type=Path, help="folder for the networks (default: a temporary one)")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    args = parser.parse_args()
    chosen = SIZES if args.all else QUICK
    if args.network:
        chosen = {args.network: SIZES[args.network]}
    seconds = args.seconds or (5.0 if args.all else 2.0)
    with tempfile.TemporaryDirectory() as scratch:
        lines = _table(chosen, args.bundles or Path(scratch), seconds, args.threads)
    if args.output:
        command = " ".join(["python", "benchmark/engines.py", *_told(args)])
        args.output.parent.mkdir(parents=True, exist_ok=True)
        head = f"# Engines\n\nWritten by `{command}`; what the columns mean stands there.\n\n"
        args.output.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _table(chosen: dict, folder: Path, seconds: float, threads: int) -> list[str]:
    """The table's lines, printed as they are measured."""
    lines: list[str] = []

    def say(text: str = "") -> None:
        lines.append(text)
        print(text, flush=True)

    reasons: dict[str, list[str]] = {}
    for fact in machine():
        say(f"- {fact}")
    say()
    say(heading())
    for network, sizes in chosen.items():
        for size in sizes:
            base = None
            for configuration in CONFIGURATIONS:
                row = _row(network, size, configuration, folder, seconds, threads)
                if configuration == BASE and "whole" in row:
                    base = ratio_time(row)
                engine, device, precision = configuration
                where = f"{engine} ({'GPU' if device == 'cuda' else 'CPU'})"
                say(line(network, size, where, precision, row, base))
                if "missing" in row:
                    what = f"{network} {size[1]}x{size[0]}" if "network" in row else "all networks"
                    reasons.setdefault(f"{where} {precision}: {row['missing']}", []).append(what)
    if reasons:
        say()
        say("Empty rows:")
        say()
        for reason, where in reasons.items():
            say(f"- {reason} [{', '.join(dict.fromkeys(where))}]")
    return lines


def _row(
    network: str, size: tuple[int, int], configuration: tuple, folder: Path, seconds: float, threads: int
) -> dict:
    """The values of a row, or only `missing`, the reason; with `network` if only this network is affected."""
    gpu = gpu_facts()
    if configuration[1] == "cuda" and not isinstance(gpu, GpuFacts):
        return {"missing": f"no GPU here: {gpu}"}
    ships = (network, size) == ("mini", SIZES["mini"][0])
    if not ships and needs():
        return {"missing": needs(), "network": network}
    bundle = bundle_of(network, size, folder)
    command = [
        sys.executable, HERE / "engine_table" / "measure.py", bundle.path, *configuration, seconds, threads
    ]  # fmt: skip
    ended = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, text=True, timeout=ROW_TIMEOUT, check=False
    )
    if ended.returncode:
        return {"missing": f"the process ended with {ended.returncode}", "network": network}
    row = json.loads(ended.stdout.splitlines()[-1])
    return row | {"network": network} if "missing" in row else row


def _told(args: argparse.Namespace) -> list[str]:
    """The arguments that affect the measurement."""
    words = ["--all"] if args.all else []
    for name in ("network", "seconds", "threads"):
        if getattr(args, name):
            words += [f"--{name}", f"{getattr(args, name):g}" if name != "network" else args.network]
    return words


if __name__ == "__main__":
    sys.exit(main())
