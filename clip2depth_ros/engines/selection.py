# SPDX-License-Identifier: Apache-2.0
"""Which engine runs a bundle: tried in order, each refusal kept with its reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines import probe
from clip2depth_ros.engines.base import (
    PRECISIONS,
    TOLERANCES,
    Engine,
    EngineUnavailable,
    first_line,
    self_check,
)
from clip2depth_ros.engines.cache import RTX
from clip2depth_ros.engines.openvino import computes_bf16, computes_int8
from clip2depth_ros.engines.tensorrt import cuda
from clip2depth_ros.engines.tensorrt.builder import check_targets, import_tensorrt
from clip2depth_ros.errors import Clip2DepthError

log = logging.getLogger(__name__)

ENGINE_NAMES = ("tensorrt", "tensorrt_rtx", "pytorch", "openvino", "opencv")
_TENSORRT = ("tensorrt", RTX)
_ON_CPU_ALONE = ("openvino", "opencv")
# what an engine on the CPU imports, and what brings it; OpenCV is everywhere
_PACKAGES = {"openvino": ("openvino", "openvino"), "pytorch": ("torch", "'clip2depth_ros[pytorch]'")}

Progress = Callable[[str], None]


def open_engine(
    bundle: Bundle,
    name: str = "auto",
    *,
    threads: int = 0,
    precision: str | None = None,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
    device: str | None = None,
) -> Engine:
    """Open a bundle in the named engine, or in the best there is for "auto", and check that it computes
    right.

    "auto" tries TensorRT, TensorRT RTX, PyTorch on CUDA, OpenVINO, PyTorch on the CPU, and OpenCV; on a GPU
    in fp16, then fp32; on the CPU in fp32, OpenVINO before that in bf16 where the processor has instructions
    for it, then in int8 where the bundle holds an int8 model. An engine from a cache that fails the check is
    compiled anew, once, and replaces the cached one. Every step is logged once, and is a sentence of the
    engine's `choice`.

    threads: CPU threads for inference, 0 = as the engine sees fit. precision: one of PRECISIONS, None = in
    that order of trying. cache_dir: of built TensorRT engines, None = the user's cache folder.
    progress: called with a line at a time, from other threads too, while TensorRT builds (which takes minutes
    on a Jetson); BuildCancelled from it stops the build and is raised here. device: "cpu", "cuda", "cuda:1",
    ..., None = a GPU where there is one.

    Raises Clip2DepthError when a name is unknown, when the bundle is not whole, or when no engine that was
    asked for opens and passes the check: then with every step's reason.
    """
    _check(name, precision, threads, device)
    steps: list[str] = []
    for attempt in _attempts(name, precision, device, bundle, steps):
        try:
            engine = _opened(attempt, bundle, threads, cache_dir, progress, device)
        except EngineUnavailable as error:
            steps.append(f"{attempt.what}: {error}")
            log.warning("%s", steps[-1])
            continue
        except Clip2DepthError:  # the bundle itself, or a build that was called off
            raise
        except Exception as error:
            # a library of some other version: what nobody foresaw must not keep the next engine from running
            if name != "auto":
                raise
            steps.append(f"{attempt.what}: failed unexpectedly ({type(error).__name__}: {first_line(error)})")
            log.warning("%s", steps[-1], exc_info=True)
            continue
        if attempt.strict and engine.difference > TOLERANCES["fp32"]:
            # nobody asked for bf16, and within its own tolerance it may still be too rough to take unasked
            engine.close()
            steps.append(
                f"{attempt.engine}: bf16 is {engine.difference:.2%} off on the check sample: not taken"
            )
            log.info("%s", steps[-1])
            continue
        steps.append(
            f"{attempt.what}: chosen, {engine.difference:.2%} off on the check sample, on {engine.device}"
            + (f"; {attempt.why}" if attempt.why else "")
        )
        log.info("%s", steps[-1])
        engine.choice = tuple(steps)
        return engine
    raise EngineUnavailable(
        f"{'No engine runs' if name == 'auto' else f'The {name} engine does not run'} bundle {bundle.path}: "
        f"{'; '.join(step.rstrip('.') for step in steps)}."
    )


@dataclass(frozen=True)
class _Attempt:
    """One engine in one precision."""

    engine: str
    precision: str
    on_cpu: bool
    strict: bool = False
    """bf16 on the CPU because it is faster, not because it was asked for: it has to be as near as fp32."""
    why: str = ""
    """Why this precision, where there was a choice."""

    @property
    def what(self) -> str:
        return f"{_where(self.engine, self.on_cpu)} {self.precision}"


def _where(engine: str, on_cpu: bool) -> str:
    """PyTorch is the one that runs on either."""
    return engine if engine != "pytorch" else "pytorch on the CPU" if on_cpu else "pytorch on CUDA"


def _check(name: str, precision: str | None, threads: int, device: str | None) -> None:
    if name not in ("auto", *ENGINE_NAMES):
        raise Clip2DepthError(f"No engine is called '{name}'; known are: auto, {', '.join(ENGINE_NAMES)}.")
    if precision is not None and precision not in PRECISIONS:
        raise Clip2DepthError(f"No precision is called '{precision}'; known are: {', '.join(PRECISIONS)}.")
    if threads < 0:
        raise Clip2DepthError(f"threads must be 0 (all cores) or more, it is {threads}.")
    if device not in (None, "cpu"):
        cuda.device_index(device)
        if name in _ON_CPU_ALONE:
            raise Clip2DepthError(f"The {name} engine runs on the CPU, not on '{device}'.")
    elif device == "cpu" and name in _TENSORRT:
        raise Clip2DepthError(f"The {name} engine runs on CUDA devices, not on 'cpu'.")


def _attempts(
    name: str, precision: str | None, device: str | None, bundle: Bundle, steps: list[str]
) -> Iterator[_Attempt]:
    """What is worth trying, best first; what is not, is noted in `steps` with its reason."""
    on_gpu = (precision,) if precision else ("fp16", "fp32")
    if device != "cpu":
        for engine in (*_TENSORRT, "pytorch"):
            if name not in ("auto", engine):
                continue
            reason = "has no int8" if precision == "int8" else _missing(engine, cuda.device_index(device))
            if reason:
                steps.append(f"{_where(engine, False)}: {reason}")
                log.info("%s", steps[-1])
            else:
                yield from (_Attempt(engine, p, on_cpu=False) for p in on_gpu)
    # a GPU that was asked for is not swapped for the CPU
    if device in (None, "cpu"):
        for engine in ("openvino", "pytorch", "opencv"):
            if name not in ("auto", engine):
                continue
            if engine in _PACKAGES and find_spec(_PACKAGES[engine][0]) is None:
                steps.append(f"{_where(engine, True)}: not installed (pip install {_PACKAGES[engine][1]})")
                log.info("%s", steps[-1])
            else:
                yield from _on_cpu(engine, precision, bundle)


def _on_cpu(engine: str, precision: str | None, bundle: Bundle) -> Iterator[_Attempt]:
    if precision or engine != "openvino":
        yield _Attempt(engine, precision or "fp32", on_cpu=True)
        return
    if native := computes_bf16():
        yield _Attempt(engine, "bf16", on_cpu=True, strict=True, why="the processor computes bf16")
    no_bf16 = "bf16 was not taken" if native else "the processor does not compute bf16"
    quantized = bundle.manifest.int8 is not None and computes_int8()
    if quantized:
        yield _Attempt(engine, "int8", on_cpu=True, why=f"{no_bf16}, and the bundle holds an int8 model")
    no_int8 = "int8 was refused" if quantized else "the bundle holds no int8 model"
    yield _Attempt(engine, "fp32", on_cpu=True, why=f"{no_bf16}, and {no_int8}")


def _missing(engine: str, index: int) -> str:
    """Why an engine cannot run on this CUDA device in any precision, "" when nothing speaks against it.

    Asked of the driver first, so that a machine without a GPU does not import PyTorch to learn that.
    """
    gpu = probe.gpu_facts(index)
    if isinstance(gpu, str):
        return f"no CUDA device ({gpu})"
    if engine in _TENSORRT:
        try:
            trt = import_tensorrt(engine)
            if engine == RTX:
                check_targets(trt, "fp32", [gpu.compute_capability])
        except EngineUnavailable as error:
            return str(error)
    return ""


def _opened(
    attempt: _Attempt,
    bundle: Bundle,
    threads: int,
    cache_dir: str | Path | None,
    progress: Progress | None,
    device: str | None,
) -> Engine:
    """The engine, after its self-check. Raises EngineUnavailable.

    One from a cache that fails the check is compiled anew, once: the file may be what is wrong.
    """

    def make(*, anew: bool) -> Engine:
        # imported here: each brings along what the others do not need
        if attempt.engine in _TENSORRT:
            from clip2depth_ros.engines.tensorrt.engine import TensorRtEngine, TensorRtRtxEngine

            kind = TensorRtRtxEngine if attempt.engine == RTX else TensorRtEngine
            return kind(
                bundle,
                precision=attempt.precision,
                cache_dir=cache_dir,
                progress=progress,
                device=device,
                anew=anew,
            )
        if attempt.engine == "pytorch":
            from clip2depth_ros.engines.pytorch import PyTorchEngine

            where = "cpu" if attempt.on_cpu else device
            return PyTorchEngine(bundle, precision=attempt.precision, threads=threads, device=where)
        if attempt.engine == "opencv":
            from clip2depth_ros.engines.opencv import OpenCvEngine

            return OpenCvEngine(bundle, precision=attempt.precision, threads=threads)
        from clip2depth_ros.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(bundle, threads=threads, precision=attempt.precision, anew=anew)

    engine = make(anew=False)
    try:
        return _checked(engine, bundle)
    except EngineUnavailable as error:
        if engine.cached is None:
            raise
        log.warning("%s It came from the cache, %s: it is compiled anew and replaced.", error, engine.cached)
    return _checked(make(anew=True), bundle)


def _checked(engine: Engine, bundle: Bundle) -> Engine:
    try:
        engine.difference = self_check(engine, bundle)
    except BaseException:
        engine.close()
        raise
    return engine
