# SPDX-License-Identifier: Apache-2.0
"""What a machine offers to the GPU engines, read from the driver without importing PyTorch."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from clip2depth_ros.engines.base import EngineUnavailable

# constants of the CUDA driver API, cuda.h
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_NO_DEVICE = 100


@dataclass(frozen=True)
class GpuFacts:
    """A CUDA device: name, compute capability such as "8.7", memory in bytes; the driver's version ("" if
    unknown) and the CUDA version that it supports; the number of devices."""

    name: str
    compute_capability: str
    memory: int
    driver: str
    cuda: str
    count: int = 1


def gpu_facts(index: int = 0) -> GpuFacts | str:
    """The facts of a CUDA device, or the reason why there is none, as one clause."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver: libcuda.so.1 is missing"
    status = driver.cuInit(0)
    if status == _NO_DEVICE:
        return "the NVIDIA driver sees no device"
    if status:
        return f"the NVIDIA driver does not start: error {status}"
    count, version, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    if not 0 <= index < count.value:
        return f"there is no CUDA device {index}, the driver sees {count.value}"
    driver.cuDriverGetVersion(ctypes.byref(version))
    if driver.cuDeviceGet(ctypes.byref(device), index):
        return f"CUDA device {index} cannot be used"
    name = ctypes.create_string_buffer(256)
    memory, major, minor = ctypes.c_size_t(), ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device)
    return GpuFacts(
        name=name.value.decode(errors="replace"),
        compute_capability=f"{major.value}.{minor.value}",
        memory=memory.value,
        driver=_driver_version(),
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        count=count.value,
    )


def require_gpu(index: int = 0) -> GpuFacts:
    """The facts of a CUDA device. Raises EngineUnavailable when there is none."""
    facts = gpu_facts(index)
    if isinstance(facts, str):
        raise EngineUnavailable(f"no CUDA device ({facts})")
    return facts


def tensorrt_version(library: str = "tensorrt") -> str:
    """The version of "tensorrt" or "tensorrt_rtx". Raises EngineUnavailable when it is not installed."""
    from clip2depth_ros.engines.tensorrt.builder import import_tensorrt

    return import_tensorrt(library).__version__


def package_version(name: str) -> str | None:
    """The version of an installed Python package, None without it; nothing is imported."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _driver_version() -> str:
    """Version of the desktop driver; a Jetson's driver is part of its system and has none."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split()
    except OSError:
        return ""
    return next((w for w in words if w[0].isdigit() and "." in w), "")
