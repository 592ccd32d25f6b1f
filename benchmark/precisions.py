#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cost and error of a bundle in each precision that OpenVINO supports on this processor.

    python benchmark/precisions.py [BUNDLE] [--rounds N] [--threads N]
    ONEDNN_MAX_CPU_ISA=AVX2 python benchmark/precisions.py       as on a processor without AVX-512

One image in each precision in turn, N rounds. CPU time: of all threads, median. Ratio: to fp32 in the same
round, median. Off: |depth - expected| / expected on the bundle's check sample. ONEDNN_MAX_CPU_ISA, a variable
of OpenVINO's library: SSE41, AVX2, AVX2_VNNI, AVX512_CORE, AVX512_CORE_VNNI; it disables instructions, but
does not simulate clock, caches and memory of other processors.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.bundle.library import DEFAULT_BUNDLE
from clip2depth_ros.engines.openvino import OpenVinoEngine, computes_bf16
from clip2depth_ros.errors import Clip2DepthError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", default=DEFAULT_BUNDLE, metavar="BUNDLE")
    parser.add_argument("--rounds", type=int, default=300, metavar="N")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="0: all cores")
    args = parser.parse_args()
    bundle = open_bundle(args.bundle)
    image, expected = bundle.check()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    with contextlib.ExitStack() as stack:
        engines = {}
        # a compiled model is only valid for the same instruction set
        cache = stack.enter_context(tempfile.TemporaryDirectory())
        # bf16 without hardware support is emulated, slowly; OpenVINO does not notice disabled instructions
        for precision in ("fp32", *(("bf16",) if computes_bf16() and not limit else ()), "int8"):
            try:
                engines[precision] = stack.enter_context(
                    OpenVinoEngine(bundle, threads=args.threads, precision=precision, cache_dir=cache)
                )
            except Clip2DepthError as error:
                print(f"{precision}: {error}")
        times = {precision: [] for precision in engines}
        off = {}
        for number in range(args.rounds + 3):
            for precision, engine in engines.items():
                started = time.process_time()
                depth = engine.infer(image)
                if number >= 3:
                    times[precision].append(time.process_time() - started)
                off[precision] = np.abs(depth - expected) / expected
        device = engines["fp32"].device
    print(f"{device}{f', {limit} at most' if limit else ''}; {bundle.name}, {args.rounds} rounds")
    print(f"{'':6} {'CPU time':>10} {'ratio':>6} {'off, mean':>10} {'99 %':>7}")
    base = np.array(times["fp32"])
    for precision, taken in times.items():
        print(
            f"{precision:6} {np.median(taken) * 1e3:7.2f} ms {np.median(np.array(taken) / base):6.2f} "
            f"{off[precision].mean():10.3%} {np.percentile(off[precision], 99):7.2%}"
        )


if __name__ == "__main__":
    main()
