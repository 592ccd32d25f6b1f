# SPDX-License-Identifier: Apache-2.0
"""Builds a serialized engine from a plain ONNX graph, with TensorRT from 8.5 on or with TensorRT RTX.

This file contains everything that differs between the versions:

==================================  =========================================================================
LayerNormalization                  known to the parser from 8.6 on
bf16                                from 9.0 on; used here with strongly typed networks only
progress monitor, cancelling        from 9.0 on; used wherever it exists
strongly typed networks             from 9.0 on; used here from 10.0 on, where they are the recommended way
builder flags FP16 and BF16,        gone in 11.0, as weak typing is: used before 10.0 only
precisions of single layers
explicit batch                      a flag that must be set before 10.0, ignored in 10, gone in 11.0
``max_workspace_size``              gone in 10.0: the memory pool limit is used throughout
TensorRT RTX                        a separate module with its own version numbers: strongly typed only. It
                                    compiles for given compute capabilities, also without a GPU, and needs no
                                    timing cache
==================================  =========================================================================
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from types import ModuleType

from clip2depth_ros.engines.base import EngineUnavailable, first_line
from clip2depth_ros.engines.cache import RTX, BuildCancelled
from clip2depth_ros.engines.graph import plain_graph
from clip2depth_ros.engines.half_precision import half_graph, single_precision_nodes

log = logging.getLogger(__name__)

OLDEST = (8, 5)  # name-based tensor addresses and execute_async_v3
NEWEST = 11  # the last major version whose interface was checked
# environment variable: the bits of trt.TacticSource that the builder may use; 0 = neither cuBLAS nor cuDNN
TACTICS = "CLIP2DEPTH_TACTIC_SOURCES"
WORKSPACE = 1 << 30  # bytes; a Jetson shares its memory with everything else
_TICK = 1.0  # seconds between two lines of progress


def import_tensorrt(library: str = "tensorrt") -> ModuleType:
    """The module "tensorrt" or "tensorrt_rtx".

    Raises EngineUnavailable when it is missing, broken or too old.
    """
    try:
        trt = importlib.import_module(library)
        found = version(trt)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        # OSError: libraries of CUDA that it needs are missing
        raise EngineUnavailable(f"not installed ({first_line(error)})") from None
    if library == RTX:
        return trt
    if found < OLDEST:
        raise EngineUnavailable(f"version {trt.__version__} is too old, {OLDEST[0]}.{OLDEST[1]} is needed")
    if found[0] > NEWEST:
        _warn_of_newer(trt.__version__)
    return trt


@functools.lru_cache
def _warn_of_newer(found: str) -> None:
    """Log it once in a process."""
    log.warning("TensorRT %s is newer than the newest version that was checked (%d).", found, NEWEST)


def version(trt: ModuleType) -> tuple[int, int]:
    """(major, minor) of the installed TensorRT."""
    numbers = re.findall(r"\d+", trt.__version__)[:2]
    if len(numbers) < 2:
        raise EngineUnavailable(f"has an unreadable version: {trt.__version__!r}")
    return int(numbers[0]), int(numbers[1])


@functools.lru_cache(maxsize=4)
def logger(trt: ModuleType):
    """TensorRT's log, passed on to Python's; one for the process, as TensorRT requires."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = self.last_warning = ""

        def log(self, severity, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.last_error = message
                log.error("TensorRT: %s", message)
            elif severity == trt.ILogger.WARNING:
                self.last_warning = message
                log.warning("TensorRT: %s", message)
            else:
                log.debug("TensorRT: %s", message)

    return Log()


def make(trt: ModuleType, kind: type):
    """A trt.Builder or trt.Runtime. Raises EngineUnavailable where CUDA cannot be set up.

    The usual reason is a driver that is older than the CUDA version of this TensorRT. The exception of the
    bindings is then only "factory function returned nullptr"; the reason is a warning in the log.
    """
    messages = logger(trt)
    messages.last_error = messages.last_warning = ""
    try:
        return kind(messages)
    except (TypeError, RuntimeError) as error:
        why = messages.last_error or messages.last_warning or first_line(error)
        raise EngineUnavailable(f"{named(trt)} does not start ({why.rstrip('.')})") from None


def is_rtx(trt: ModuleType) -> bool:
    """Whether the module is TensorRT RTX."""
    return trt.__name__ == RTX


def named(trt: ModuleType) -> str:
    """Library and version, as text."""
    return f"TensorRT {'RTX ' if is_rtx(trt) else ''}{trt.__version__}"


def build(
    trt: ModuleType,
    model: bytes,
    precision: str,
    timing: bytes | None,
    progress: Callable[[str], None],
    targets: Sequence[str] = (),
) -> tuple[bytes, bytes | None]:
    """Build a bundle's model.onnx; minutes on a Jetson, seconds by TensorRT RTX.

    timing: the timing cache of an earlier build, or None. targets: for TensorRT RTX, the compute capabilities
    to compile for, such as "8.6"; no GPU is needed then. progress: called with one line every second, from a
    separate thread; if it raises BuildCancelled, the build stops where TensorRT can be stopped (from 9 on).
    Returns the serialized engine and the timing cache. Raises EngineUnavailable when TensorRT cannot build
    the network, BuildCancelled when the build was stopped.
    """
    rtx = is_rtx(trt)
    found = version(trt)
    typed = rtx or found[0] >= 10
    if precision == "bf16" and not typed:
        raise EngineUnavailable(f"bf16 needs TensorRT 10, this is {trt.__version__}")
    written, single = _onnx(model, precision, typed=typed, layer_normalization=rtx or found >= (8, 6))
    builder = make(trt, trt.Builder)
    flags = trt.NetworkDefinitionCreationFlag
    network = builder.create_network(1 << int(flags.STRONGLY_TYPED if typed else flags.EXPLICIT_BATCH))
    _parse(trt, network, written)
    del written  # frees a copy of the weights, which the parser holds too while it builds
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    # TensorFloat32 has 10 bits of mantissa, like fp16; fp32 has 23
    config.clear_flag(trt.BuilderFlag.TF32)
    if not typed and precision == "fp16":
        config.set_flag(trt.BuilderFlag.FP16)
        config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
        _keep_in_single_precision(trt, network, single)
    if os.environ.get(TACTICS):
        config.set_tactic_sources(int(os.environ[TACTICS]))
    if rtx:
        _set_targets(trt, config, targets)
    cache = None if rtx else config.create_timing_cache(timing or b"")
    if cache is not None:
        config.set_timing_cache(cache, ignore_mismatch=False)

    with _Watch(progress, "seconds" if rtx else "minutes on a Jetson") as watch:
        monitor = watch.monitor(trt)
        if monitor is not None:
            config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        watch.raise_if_cancelled()
        raise EngineUnavailable(f"{named(trt)} cannot build the network ({_last_error(trt)})")
    log.info("Built in %.1f s.", watch.seconds)
    cache = None if rtx else config.get_timing_cache()
    return bytes(plan), None if cache is None else bytes(cache.serialize())


def known_targets(trt: ModuleType) -> tuple[str, ...]:
    """The compute capabilities that TensorRT RTX compiles for, such as "8.6"."""
    numbers = (name.removeprefix("SM") for name in trt.ComputeCapability.__members__ if name.startswith("SM"))
    return tuple(f"{number[:-1]}.{number[-1]}" for number in numbers)


def check_targets(trt: ModuleType, precision: str, targets: Sequence[str]) -> None:
    """Raises EngineUnavailable unless TensorRT RTX compiles for all of them in this precision."""
    known = known_targets(trt)
    for target in targets:
        if target not in known:
            raise EngineUnavailable(
                f"{named(trt)} does not compile for compute capability {target}; it does for "
                f"{', '.join(known)}"
            )
        if precision == "bf16" and float(target) < 8:
            raise EngineUnavailable(f"compute capability {target} has no bf16")


def _set_targets(trt: ModuleType, config, targets: Sequence[str]) -> None:
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        config.set_compute_capability(
            trt.ComputeCapability.__members__[f"SM{target.replace('.', '')}"], index
        )


def _onnx(model: bytes, precision: str, *, typed: bool, layer_normalization: bool) -> tuple[bytes, set[str]]:
    """The ONNX file to parse, and the nodes that stay in single precision if the builder chooses types."""
    graph = plain_graph(model, layer_normalization=layer_normalization)
    if precision == "fp32":
        return graph.SerializeToString(), set()
    if typed:
        return half_graph(graph, precision).SerializeToString(), set()
    return graph.SerializeToString(), single_precision_nodes(graph)


def _parse(trt: ModuleType, network, model: bytes) -> None:
    parser = trt.OnnxParser(network, logger(trt))
    if not parser.parse(model):
        errors = [parser.get_error(i).desc() for i in range(parser.num_errors)] or [_last_error(trt)]
        raise EngineUnavailable(f"{named(trt)} cannot read the network ({errors[0]})")


def _keep_in_single_precision(trt: ModuleType, network, names: set[str]) -> None:
    """The parser names a layer after its node; the builder chooses the type of layers that it adds."""
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.name in names:
            layer.precision = trt.float32
            layer.set_output_type(0, trt.float32)


def _last_error(trt: ModuleType) -> str:
    return logger(trt).last_error or "no reason given"


class _Watch:
    """Reports the progress of a build, from a separate thread, and passes a cancellation on to TensorRT."""

    def __init__(self, progress: Callable[[str], None], takes: str) -> None:
        self._progress, self._takes = progress, takes
        self._fraction: Callable[[], float | None] = lambda: None
        self._cancelled: BuildCancelled | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="tensorrt progress", daemon=True)
        self.seconds = 0.0

    def __enter__(self) -> _Watch:
        self._begin = time.monotonic()
        self._tell(f"building; this takes {self._takes}")
        self.raise_if_cancelled()
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.seconds = time.monotonic() - self._begin
        self._ended.set()
        self._thread.join()

    def raise_if_cancelled(self) -> None:
        if self._cancelled is not None:
            raise self._cancelled

    def monitor(self, trt: ModuleType):
        """An IProgressMonitor, or None where TensorRT has none (before 9)."""
        if not hasattr(trt, "IProgressMonitor"):
            return None
        watch = self
        phases = _Phases()
        self._fraction = phases.fraction

        class Monitor(trt.IProgressMonitor):
            # TensorRT ignores exceptions of these methods
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name, parent_phase, num_steps) -> None:
                phases.start(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name, step) -> bool:
                phases.step(phase_name, step)
                return watch._cancelled is None

            def phase_finish(self, phase_name) -> None:
                phases.finish(phase_name)

        return Monitor()

    def _tick(self) -> None:
        while not self._ended.wait(_TICK):
            fraction = self._fraction()
            seconds = time.monotonic() - self._begin
            self._tell(f"building, {seconds:.0f} s" + ("" if fraction is None else f", {fraction:.0%}"))

    def _tell(self, line: str) -> None:
        if self._cancelled is None:
            try:
                self._progress(line)
            except BuildCancelled as error:
                self._cancelled = error


class _Phases:
    """The progress of TensorRT's nested phases; called from TensorRT's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parent: dict[str, str | None] = {}
        self._steps: dict[str, int] = {}
        self._done: dict[str, float] = {}

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._parent[name], self._steps[name], self._done[name] = parent, max(1, steps), 0

    def step(self, name: str, step: int) -> None:
        with self._lock:
            if name in self._done:
                self._done[name] = step + 1

    def finish(self, name: str) -> None:
        with self._lock:
            for known in (self._parent, self._steps, self._done):
                known.pop(name, None)

    def fraction(self) -> float | None:
        """The completed fraction of the outermost phase, inner phases included; None between phases."""
        with self._lock:
            root = next((name for name, parent in self._parent.items() if parent not in self._parent), None)
            return None if root is None else self._part(root)

    def _part(self, name: str) -> float:
        inner = [self._part(child) for child, parent in self._parent.items() if parent == name]
        return min(1.0, (self._done[name] + (sum(inner) / len(inner) if inner else 0)) / self._steps[name])
