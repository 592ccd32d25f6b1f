# SPDX-License-Identifier: Apache-2.0
"""The table as Markdown: machine, versions, and a row for each measurement."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from benchmark.machine.processor import processor
from clip2depth_ros import __version__
from clip2depth_ros.engines.probe import GpuFacts, gpu_facts, tensorrt_version
from clip2depth_ros.errors import Clip2DepthError

COLUMNS = (
    "network", "input", "engine", "precision", "network alone, ms", "95 %", "with transfers, ms", "95 %",
    "CPU time, ms", "ratio", "memory, MB", "largest deviation", "99th percentile",
)  # fmt: skip


def machine() -> list[str]:
    """The machine and the versions, one line each."""
    gpu = gpu_facts()
    cores = len(os.sched_getaffinity(0))
    lines = [
        f"CPU: {processor()}, {cores} cores for this process, load {os.getloadavg()[0]:.1f} at the start",
        f"GPU: {_gpu(gpu) if isinstance(gpu, GpuFacts) else f'none ({gpu})'}",
        f"TensorRT: {_tensorrt('tensorrt')}; TensorRT RTX: {_tensorrt('tensorrt_rtx')}; cuda-bindings: "
        f"{_version('cuda-bindings')}",
        f"PyTorch: {_version('torch')}",
        f"OpenVINO: {_version('openvino')}",
        f"clip2depth_ros {__version__}, Python {platform.python_version()}, {platform.system()} "
        f"{platform.release().split('-')[0]}",
    ]
    return lines


def heading() -> str:
    """The first two lines of the table."""
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * 4}{'---:|' * (len(COLUMNS) - 4)}"


def line(
    network: str, size: tuple[int, int], engine: str, precision: str, row: dict, base: float | None
) -> str:
    """One row. base: denominator of the ratio, seconds: the network's time on OpenVINO in fp32."""
    cells = [network, f"{size[1]}x{size[0]}", engine, precision]
    if "missing" in row:
        cells += [""] * (len(COLUMNS) - 4)
        return f"| {' | '.join(cells)} |"
    alone = row["network"]
    cells += [f"{1e3 * t:.2f}" for t in alone] if alone else ["", ""]
    cells += [f"{1e3 * t:.2f}" for t in (*row["whole"], row["processor"])]
    cells.append(f"{ratio_time(row) / base:.2f}" if base else "")
    cells.append(f"{row['memory'] / 1e6:.0f}")
    cells += [f"{100 * row[name]:.3g} %" for name in ("max_deviation", "deviation_99")]
    return f"| {' | '.join(cells)} |"


def ratio_time(row: dict) -> float:
    """Time for the ratio, seconds: wall time on a GPU, processor time on a CPU, which may be shared."""
    return row["processor"] if row["network"] is None else row["whole"][0]


def _gpu(gpu: GpuFacts) -> str:
    return (
        f"{gpu.name} (compute capability {gpu.compute_capability}, {gpu.memory / 2**30:.0f} GiB), driver "
        f"{gpu.driver or 'unknown'}, CUDA {gpu.cuda}"
    )


def _tensorrt(library: str) -> str:
    try:
        return tensorrt_version(library)
    except Clip2DepthError as error:
        return f"none ({error})"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
