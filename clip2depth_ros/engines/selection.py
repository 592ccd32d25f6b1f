# SPDX-License-Identifier: Apache-2.0
"""Which engine runs a bundle: engines are tried in order, and every attempt is recorded with its outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.engines.attempts import Attempt, Outcome
from clip2depth_ros.engines.base import (
    PRECISIONS,
    TOLERANCES,
    Engine,
    EngineUnavailable,
    first_line,
    self_check,
)
from clip2depth_ros.engines.kind import (
    CPU,
    CUDA,
    DEVICE_NAMES,
    Candidate,
    EngineKind,
    OpenOptions,
    device_type,
)
from clip2depth_ros.engines.registry import ENGINES, engine_kind, engines_for
from clip2depth_ros.engines.tensorrt import cuda
from clip2depth_ros.errors import Clip2DepthError

log = logging.getLogger(__name__)

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
    """Open a bundle with the named engine, or with the first that works for "auto", and check its depth.

    "auto" tries TensorRT, TensorRT RTX, PyTorch on CUDA, OpenVINO, PyTorch on the CPU, and OpenCV. On a GPU
    it tries fp16, then fp32. On the CPU it tries fp32; OpenVINO first tries bf16 if the processor has
    instructions for it, then int8 if the bundle contains an int8 model. An engine from a cache that fails
    the check is compiled again, once, and replaces the cached one. Every attempt is logged once, and is in
    the engine's `attempts`.

    threads: CPU threads for inference, 0 = the engine's default. precision: one of PRECISIONS, None = in the
    order above. cache_dir: folder of built TensorRT engines, None = the user's cache folder. progress: called
    with one line at a time, also from other threads, while TensorRT builds (which takes minutes on a Jetson);
    when it raises BuildCancelled, the build stops and the exception is raised here. device: "cpu", "cuda",
    "cuda:1", ..., None = a GPU if there is one.

    Raises Clip2DepthError for an unknown name or a damaged bundle. Raises EngineUnavailable, with the reason
    of every attempt, when no engine opens and passes the check.
    """
    _check_arguments(name, precision, threads, device)
    attempts: list[Attempt] = []

    def record(attempt: Attempt, *, traceback: bool = False) -> None:
        attempts.append(attempt)
        log.log(logging.WARNING if attempt.is_warning else logging.INFO, "%s", attempt, exc_info=traceback)

    for choice in _choices(name, precision, device, bundle, record):
        options = OpenOptions(choice.candidate.precision, choice.device, threads, cache_dir, progress)
        try:
            engine = _open_checked(choice.kind, bundle, options)
        except EngineUnavailable as error:
            record(choice.attempt(Outcome.REJECTED, str(error)))
            continue
        except Clip2DepthError:  # the bundle is damaged, or the build was cancelled
            raise
        except Exception as error:
            # A library of an unknown version: its unexpected error must not stop "auto" from trying the next.
            if name != "auto":
                raise
            reason = f"failed unexpectedly ({type(error).__name__}: {first_line(error)})"
            record(choice.attempt(Outcome.REJECTED, reason), traceback=True)
            continue
        difference = f"{engine.difference:.2%} off on the check sample"
        if choice.candidate.as_accurate_as_fp32 and engine.difference > TOLERANCES["fp32"]:
            engine.close()
            record(choice.attempt(Outcome.INACCURATE, difference))
            continue
        why = f"; {choice.candidate.reason}" if choice.candidate.reason else ""
        record(choice.attempt(Outcome.CHOSEN, f"{difference}, on {engine.device}{why}"))
        engine.attempts = tuple(attempts)
        return engine
    raise EngineUnavailable(
        f"{'No engine runs' if name == 'auto' else f'The {name} engine does not run'} bundle {bundle.path}: "
        f"{'; '.join(str(attempt).rstrip('.') for attempt in attempts)}."
    )


@dataclass(frozen=True)
class _Choice:
    """One engine on one device, in one precision."""

    name: str
    kind: EngineKind
    device: str
    candidate: Candidate

    def attempt(self, outcome: Outcome, reason: str) -> Attempt:
        return _attempt(self.name, self.kind, self.device, self.candidate.precision, outcome, reason)


def _attempt(
    name: str, kind: EngineKind, device: str, precision: str | None, outcome: Outcome, reason: str
) -> Attempt:
    """An attempt that names the device only where the engine runs on more than one type of device."""
    shown = DEVICE_NAMES[device_type(device)] if len(kind.order) > 1 else ""
    return Attempt(name, precision, outcome, reason, shown)


def _check_arguments(name: str, precision: str | None, threads: int, device: str | None) -> None:
    if name not in ("auto", *ENGINES):
        raise Clip2DepthError(f"No engine is called '{name}'; known are: auto, {', '.join(ENGINES)}.")
    if precision is not None and precision not in PRECISIONS:
        raise Clip2DepthError(f"No precision is called '{precision}'; known are: {', '.join(PRECISIONS)}.")
    if threads < 0:
        raise Clip2DepthError(f"threads must be 0 (all cores) or more, it is {threads}.")
    runs_on = (CPU, CUDA) if name == "auto" else engine_kind(name).order
    if device not in (None, CPU):
        cuda.device_index(device)
        if CUDA not in runs_on:
            raise Clip2DepthError(f"The {name} engine runs on the CPU, not on '{device}'.")
    elif device == CPU and CPU not in runs_on:
        raise Clip2DepthError(f"The {name} engine runs on CUDA devices, not on 'cpu'.")


def _choices(
    name: str,
    precision: str | None,
    device: str | None,
    bundle: Bundle,
    record: Callable[[Attempt], None],
) -> Iterator[_Choice]:
    """What to try, in order. Engines that are not available are recorded with the reason, and left out."""
    # A GPU that the user asked for is not replaced by the CPU.
    for where in (CUDA, CPU) if device is None else (device,):
        for engine, kind in engines_for(device_type(where)):
            if name not in ("auto", engine):
                continue
            if reason := kind.why_unavailable(where, precision):
                record(_attempt(engine, kind, where, None, Outcome.UNAVAILABLE, reason))
                continue
            candidates = (Candidate(precision),) if precision else kind.candidates(bundle, where)
            for candidate in candidates:
                yield _Choice(engine, kind, where, candidate)


def _open_checked(kind: EngineKind, bundle: Bundle, options: OpenOptions) -> Engine:
    """The engine, after its self-check. Raises EngineUnavailable.

    An engine from a cache that fails the check is compiled again, once, because the file may be the cause.
    """
    engine = kind.open(bundle, options)
    try:
        return _checked(engine, bundle)
    except EngineUnavailable as error:
        if engine.cached is None:
            raise
        log.warning(
            "%s It came from the cache (%s); it is compiled again and replaced.", error, engine.cached
        )
    return _checked(kind.open(bundle, replace(options, rebuild=True)), bundle)


def _checked(engine: Engine, bundle: Bundle) -> Engine:
    try:
        engine.difference = self_check(engine, bundle)
    except BaseException:
        engine.close()
        raise
    return engine
