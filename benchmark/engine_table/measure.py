# SPDX-License-Identifier: Apache-2.0
"""One row of the table: `python measure.py BUNDLE ENGINE DEVICE PRECISION SECONDS THREADS`.

In its own process, so that the memory is this engine's, and a crash costs only one row.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmark.engine_table.device_times import device_times
from benchmark.engine_table.networks import answers
from benchmark.machine.memory import peak_memory
from clip2depth_ros.bundle import open_bundle
from clip2depth_ros.engines import EngineUnavailable, open_engine
from clip2depth_ros.engines.tensorrt import cuda
from clip2depth_ros.errors import Clip2DepthError

WARM_UP = 3


def measure(bundle_path: str, engine: str, device: str, precision: str, seconds: float, threads: int) -> dict:
    """The values of a row: seconds, bytes, relative errors; or only `missing`, the reason for none."""
    bundle = open_bundle(bundle_path)
    images, depth = answers(bundle)
    before = _memory(device)
    started = time.perf_counter()
    try:
        opened = open_engine(bundle, engine, threads=threads, precision=precision, device=device)
    except Clip2DepthError as error:
        return {"missing": str(error)}
    with opened:
        row = {"device": opened.device, "open": time.perf_counter() - started}
        row["check"] = opened.difference
        deviations = []
        for image, expected in zip(images, depth, strict=True):
            deviations.append(np.abs(opened.infer(np.ascontiguousarray(image)) - expected) / expected)
        row["max_deviation"] = float(np.max(deviations))
        row["deviation_99"] = float(np.percentile(deviations, 99))
        frame = np.ascontiguousarray(images[0])
        for _ in range(WARM_UP):
            opened.infer(frame)
        times, busy = [], []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 5:
            started, worked = time.perf_counter(), time.process_time()
            opened.infer(frame)
            times.append(time.perf_counter() - started)
            busy.append(time.process_time() - worked)
        row["whole"] = _percentiles(times)
        row["processor"] = float(np.median(busy))
        row["frames"] = len(times)
        on_device = device_times(opened, len(times))
        row["network"] = _percentiles(on_device) if len(on_device) else None
        row["memory"] = _memory(device) - before
    return row


def _percentiles(times) -> tuple[float, float]:
    """Median and 95th percentile."""
    return float(np.median(times)), float(np.percentile(times, 95))


def _memory(device: str) -> int:
    """Bytes in use: of the whole GPU, or this process's peak so far."""
    if device == "cpu":
        return peak_memory()
    try:
        return cuda.memory_in_use()
    except (cuda.CudaError, EngineUnavailable):  # the engine, opened next, reports the reason
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bundle", "engine", "device", "precision"):
        parser.add_argument(name)
    parser.add_argument("seconds", type=float)
    parser.add_argument("threads", type=int)
    print(json.dumps(measure(*vars(parser.parse_args()).values())))


if __name__ == "__main__":
    main()
