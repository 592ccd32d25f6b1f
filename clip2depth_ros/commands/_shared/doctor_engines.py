# SPDX-License-Identifier: Apache-2.0
"""The engines in `clip2depth doctor`: what is installed, which one runs the bundle, and why."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros.bundle import bundle_names, open_bundle
from clip2depth_ros.commands._shared.engine_options import open_chosen_engine
from clip2depth_ros.commands._shared.findings import FAIL, OK, WARN, Finding, probe
from clip2depth_ros.engines import Attempt
from clip2depth_ros.engines.probe import GpuFacts, gpu_facts, package_version, tensorrt_version
from clip2depth_ros.errors import Clip2DepthError
from clip2depth_ros.system.offline import import_openvino, openvino_core

# In a process of its own: importing PyTorch takes seconds, and a build for another machine can crash.
CUDA_PROBE = """
import json, torch
print(json.dumps([torch.version.cuda or "", torch.cuda.is_available()]))
"""
JETSON = Path("/proc/device-tree/model")


def look_at_gpu() -> Iterator[Finding]:
    """The GPU, as its driver reports it."""
    gpu = gpu_facts()
    if JETSON.is_file():
        yield Finding(OK, "Jetson", JETSON.read_text(errors="replace").strip("\0\n "))
    if isinstance(gpu, GpuFacts):
        yield Finding(
            OK,
            "GPU",
            f"{gpu.name}, compute capability {gpu.compute_capability}, {gpu.memory / 2**30:.1f} GiB; driver "
            f"{gpu.driver or 'of the system'}, CUDA {gpu.cuda}",
        )
    elif JETSON.is_file():
        yield Finding(WARN, "GPU", f"none usable: {gpu}", "in a container: --runtime nvidia; docs/jetson.md")
    else:
        yield Finding(OK, "GPU", f"none: {gpu}")


def look_at_tensorrt() -> Iterator[Finding]:
    """TensorRT and TensorRT RTX, and the CUDA bindings that they need."""
    missing = []
    for subject, library in (("TensorRT", "tensorrt"), ("TensorRT RTX", "tensorrt_rtx")):
        try:
            yield Finding(OK, subject, tensorrt_version(library))
        except Clip2DepthError as error:
            missing.append(f"{library} {error}")
    if len(missing) == 2:
        text = f"neither TensorRT nor TensorRT RTX: {'; '.join(missing)}"
        advice = "pip install 'clip2depth_ros[rtx]' on a desktop; docs/engines.md, docs/jetson.md"
        yield _without_gpu_engine("TensorRT", text, advice)
        return
    bindings = package_version("cuda-bindings")
    if bindings is None:
        text = "cuda-bindings is not installed; the TensorRT engines need it for memory on the GPU"
        yield _without_gpu_engine("CUDA", text, "pip install 'clip2depth_ros[gpu]'")
    else:
        yield Finding(OK, "CUDA", f"cuda-bindings {bindings}")


def look_at_pytorch() -> Iterator[Finding]:
    """PyTorch, which runs a bundle on a GPU without TensorRT."""
    version = package_version("torch")
    if version is None:
        text = "not installed, for train, export and the pytorch engine: pip install 'clip2depth_ros[train]'"
        yield Finding(OK, "PyTorch", text)
        return
    if not isinstance(gpu_facts(), GpuFacts):
        yield Finding(OK, "PyTorch", f"{version}, for train and export; no GPU for it here")
        return
    found, problem = probe(CUDA_PROBE)
    if found is None:
        yield Finding(WARN, "PyTorch", f"{version} does not work: {problem}", "install it again")
    elif not found[1]:
        built = f"is built for CUDA {found[0]}" if found[0] else "is built without CUDA"
        yield Finding(
            WARN,
            "PyTorch",
            f"{version} {built} and sees no GPU, so the pytorch engine cannot use it",
            "install the build for this machine's CUDA: docs/engines.md",
        )
    else:
        yield Finding(OK, "PyTorch", f"{version} with CUDA {found[0]}")


def _without_gpu_engine(subject: str, text: str, advice: str) -> Finding:
    """A missing GPU library is a warning only if there is a GPU."""
    if isinstance(gpu_facts(), GpuFacts):
        return Finding(WARN, subject, text, advice)
    return Finding(OK, subject, text)


def look_at_openvino() -> Iterator[Finding]:
    """OpenVINO and the devices that it finds."""
    if find_spec("openvino") is None:
        text = "not installed; without it the opencv engine runs the network, several times slower"
        yield Finding(WARN, "OpenVINO", text, "pip install openvino")
        return
    try:
        openvino = import_openvino()
    except ImportError as error:
        yield Finding(WARN, "OpenVINO", f"does not import ({error})", "pip install openvino")
        return
    core = openvino_core()
    devices = [f"{d} ({core.get_property(d, 'FULL_DEVICE_NAME')})" for d in core.available_devices]
    version = openvino.__version__.split("-")[0]
    if not any(d.startswith("CPU") for d in devices):
        yield Finding(WARN, "OpenVINO", f"{version} sees no CPU", "reinstall openvino for this processor")
        return
    yield Finding(OK, "OpenVINO", f"{version}; {', '.join(devices)}")


_OUTPUT = {
    "metric": "meters",
    "scale_free": "depth up to a factor, no meters before a source of scale gives one",
    "affine_inverse": "disparity up to factor and shift, no meters before a source of scale gives one",
}


def look_at_bundle(args: argparse.Namespace) -> Iterator[Finding]:
    """The bundle, all attempts of the engine's selection, the check of its depth, and its speed."""
    yield Finding(OK, "Bundles", f"known by name: {', '.join(bundle_names()) or 'none'}")
    try:
        bundle = open_bundle(args.bundle)
        image, _ = bundle.check()
        with open_chosen_engine(args, bundle) as engine:
            for attempt in engine.attempts:
                yield _attempt(attempt)
            times = []
            for _ in range(5):
                started = time.perf_counter()
                engine.infer(image)
                times.append(time.perf_counter() - started)
            yield Finding(
                OK,
                "Bundle",
                f"{bundle.name} ({bundle.manifest.backbone}, {bundle.manifest.input_width}x"
                f"{bundle.manifest.input_height}) in {engine.name} {engine.precision}: differs by "
                f"{engine.difference:.3%} from its check sample, {sorted(times)[2] * 1e3:.0f} ms a frame; "
                f"depth_kind {bundle.manifest.depth_kind}: {_OUTPUT[bundle.manifest.depth_kind]}",
            )
    except Clip2DepthError as error:
        yield Finding(
            FAIL, "Bundle", str(error), "install the package again, or select another with --bundle"
        )


def _attempt(attempt: Attempt) -> Finding:
    """One attempt of the selection. An engine that failed is a warning; one that is not installed is not."""
    if attempt.is_warning:
        advice = "update it, or choose another with --engine; docs/engines.md"
        return Finding(WARN, "Engine", str(attempt), advice)
    return Finding(OK, "Engine", str(attempt))
