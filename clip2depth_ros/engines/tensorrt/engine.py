# SPDX-License-Identifier: Apache-2.0
"""The engines of NVIDIA GPUs: TensorRT, 8.5 to 11, and TensorRT RTX."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from clip2depth_ros.bundle import Bundle
from clip2depth_ros.camera import Letterbox
from clip2depth_ros.engines import probe
from clip2depth_ros.engines.base import (
    FLOATS,
    PRECISIONS,
    Engine,
    EngineUnavailable,
    check_image,
    first_line,
    infers_alike,
)
from clip2depth_ros.engines.cache import (
    RTX,
    BuildCancelled,
    EngineKey,
    cached_engine,
    engine_folder,
    read_kernels,
    write_kernels,
)
from clip2depth_ros.engines.tensorrt import cuda
from clip2depth_ros.engines.tensorrt.builder import build, check_targets, import_tensorrt, is_rtx, make, named
from clip2depth_ros.errors import Clip2DepthError

log = logging.getLogger(__name__)


class TensorRtEngine(Engine):
    """Runs a bundle on a CUDA device, through a TensorRT engine that is built once and kept.

    precision: "fp16", "bf16" (TensorRT 10 and compute capability 8.0 on) or "fp32". cache_dir: where engines
    are kept, None = the user's cache folder. progress: called with one line at a time while it builds.
    device: "cuda", "cuda:1", ..., None = the first. anew: the kept engine computed wrongly: build it again.
    graph: whether a frame is one CUDA graph, else its steps are queued singly.

    Per frame the image goes up and the depth comes down once, both through page-locked memory and on a stream
    of its own; the image is resized and normalised on the device. Raises EngineUnavailable when there
    is no GPU, no TensorRT, or the network cannot be built.
    """

    name = "tensorrt"

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: str = "fp16",
        cache_dir: str | Path | None = None,
        progress: Callable[[str], None] | None = None,
        device: str | None = None,
        anew: bool = False,
    ) -> None:
        _check_precision(precision)
        self._buffers = None
        index = cuda.device_index(device)
        gpu = probe.require_gpu(index)
        trt = import_tensorrt(self.name)
        if is_rtx(trt):
            check_targets(trt, precision, [gpu.compute_capability])
        elif precision == "bf16" and float(gpu.compute_capability) < 8:
            raise EngineUnavailable(f"{gpu.name} (compute capability {gpu.compute_capability}) has no bf16")
        self.manifest = bundle.manifest
        self.precision = precision
        self.device = f"{gpu.name}, {named(trt)}"
        height, width = self.manifest.input_height, self.manifest.input_width
        # first of all, for a CUDA context must be there before TensorRT builds
        buffers = cuda.FrameBuffers(index, height, width)
        model = bundle.model()
        name = "" if is_rtx(trt) else gpu.name
        key = _key(bundle, trt, name, gpu.compute_capability, precision)
        machine = f"{gpu.name}, driver {gpu.driver}, CUDA {gpu.cuda}"
        kernels = read_kernels(key, machine, cache_dir) if is_rtx(trt) and not anew else None

        cancelled: list[BuildCancelled] = []

        def tell(line: str) -> None:
            try:
                if progress is not None:
                    progress(f"{self.name} {precision}: {line}")
            except BuildCancelled as error:
                cancelled.append(error)
                raise

        try:
            with buffers.on_device():
                (self._engine, self._context, kept), self.cached = cached_engine(
                    key,
                    build=lambda timing: build(trt, model, precision, timing, tell, [gpu.compute_capability]),
                    load=lambda plan: _open(trt, plan, (height, width), kernels),
                    cache_dir=cache_dir,
                    anew=anew,
                    progress=tell,
                )
            if cancelled:  # and built all the same, by a TensorRT that cannot be stopped: it is kept
                raise cancelled[0]
            self._context.set_tensor_address("image", buffers.image_address)
            self._context.set_tensor_address("depth", buffers.depth_address)
            self._buffers = buffers
            self._letterbox: Letterbox | None = None
            self._large: cuda.LargeImage | None = None
            self._frame(buffers.upload)  # once before it is captured: the first run may set things up
            self._wait()
            if kept is not None:
                with buffers.on_device():
                    compiled = bytes(kept.serialize())
                if compiled != kernels:
                    write_kernels(key, machine, compiled, cache_dir)
            self._kernels = kept  # of this cache's memory the context takes its kernels
            self._queue, self.graph = self._captured(buffers.upload)
        except BaseException:
            self._buffers = self._engine = self._context = None
            buffers.close()
            raise

    def infer(self, image: np.ndarray) -> np.ndarray:
        if self._buffers is None:
            raise Clip2DepthError(f"The {self.name} engine was closed.")
        check_image(image, self.manifest)
        np.copyto(self._buffers.image, image)
        self._queue()
        self._wait()
        return self._buffers.depth

    def fits(self, letterbox: Letterbox) -> bool:
        if self._buffers is None:
            raise Clip2DepthError(f"The {self.name} engine was closed.")
        if letterbox != self._letterbox:
            self._queue_large = self._large = None  # a graph refers to the buffers
            self._letterbox = letterbox
            self._large = self._buffers.large_image(letterbox)
            if self._large is not None:
                self._queue_large, _ = self._captured(self._large.upload)
                if not infers_alike(self, letterbox):
                    self._queue_large = self._large = None
        return self._large is not None

    def infer_image(self, image: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        if self._buffers is None or self._large is None:
            raise Clip2DepthError("The tensorrt engine was closed, or was not asked whether it fits images.")
        np.copyto(self._large.image, image)
        self._queue_large()
        self._wait()
        np.copyto(fitted, self._buffers.image)
        return self._buffers.depth

    def device_times(self, repeats: int) -> np.ndarray:
        if self._buffers is None:
            raise Clip2DepthError(f"The {self.name} engine was closed.")
        return self._buffers.times(self._execute, repeats)

    def close(self) -> None:
        if self._buffers is None:
            return
        buffers, self._buffers = self._buffers, None
        # a graph refers to the buffers and to the context, the context to its engine
        self._queue = self._queue_large = self._large = None
        self._context = None
        self._engine = self._kernels = None
        buffers.close()

    def _frame(self, upload: Callable[[], None]) -> None:
        """Queue one frame's work, of which `upload` queues what brings the image into the network's input."""
        with self._buffers.on_device():  # whichever thread calls
            upload()
            self._execute()
            self._buffers.download()

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._buffers.stream):
            raise EngineUnavailable(f"TensorRT does not run the network on {self.device}")

    def _wait(self) -> None:
        try:
            self._buffers.wait()
        except RuntimeError as error:
            raise EngineUnavailable(f"TensorRT fails on {self.device} ({first_line(error)})") from None

    def _captured(self, upload: Callable[[], None]) -> tuple[Callable[[], None], bool]:
        """What queues a frame's work, and whether that is one CUDA graph."""
        frame = partial(self._frame, upload)
        try:
            return self._buffers.capture(frame), True
        except (RuntimeError, EngineUnavailable) as error:
            log.warning(
                "The network is not captured as a CUDA graph (%s): its steps are queued one by one.",
                first_line(error),
            )
            return frame, False


class TensorRtRtxEngine(TensorRtEngine):
    """Runs a bundle on an NVIDIA desktop GPU, by TensorRT RTX: built in seconds, or before, elsewhere.

    The kernels that it compiles for the GPU when it first runs are kept beside the engine.
    """

    name = RTX


def build_ahead(
    bundle: Bundle,
    targets: Sequence[str],
    *,
    precision: str = "fp16",
    cache_dir: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    anew: bool = False,
) -> Path:
    """The file of TensorRT RTX's engine for these compute capabilities; built where there is none.

    It needs no GPU. anew: build also where there is one. Nothing has run it yet: whoever opens it checks it.
    Raises EngineUnavailable when TensorRT RTX is not installed or cannot build it, Clip2DepthError when it
    cannot be kept.
    """
    _check_precision(precision)
    trt = import_tensorrt(RTX)
    check_targets(trt, precision, targets)
    model = bundle.model()
    # in one order, so that the same targets are one file
    targets = sorted(set(targets), key=lambda target: [int(number) for number in target.split(".")])
    key = _key(bundle, trt, "", ",".join(targets), precision)
    folder = engine_folder(cache_dir)
    if anew:
        (folder / key.file_name).unlink(missing_ok=True)

    def tell(line: str) -> None:
        if progress is not None:
            progress(f"{RTX} {precision}: {line}")

    _, found = cached_engine(
        key,
        build=lambda timing: build(trt, model, precision, timing, tell, targets),
        load=lambda plan: plan,
        cache_dir=cache_dir,
        progress=tell,
    )
    path = found or folder / key.file_name
    if not path.is_file():
        raise Clip2DepthError(f"The engine cannot be kept in {folder}: name another folder with --cache.")
    return path


def _check_precision(precision: str) -> None:
    if precision not in PRECISIONS:
        raise Clip2DepthError(f"No precision is called '{precision}'; known are: {', '.join(PRECISIONS)}.")
    if precision not in FLOATS:
        raise EngineUnavailable(f"computes in {', '.join(FLOATS)}, not in {precision}")


def _key(bundle: Bundle, trt, gpu: str, compute_capability: str, precision: str) -> EngineKey:
    manifest = bundle.manifest
    return EngineKey(
        bundle=bundle.name,
        model_sha256=manifest.model_sha256.lower(),  # which Bundle.model() verifies
        tensorrt=trt.__version__,
        gpu=gpu,
        compute_capability=compute_capability,
        precision=precision,
        input_shape=(1, manifest.input_height, manifest.input_width, 3),
        library=trt.__name__,
    )


def _open(trt, plan: bytes, size: tuple[int, int], kernels: bytes | None):
    """A serialised engine's engine, context and, of TensorRT RTX, cache of kernels, filled with `kernels`.

    Raises EngineUnavailable when it is not the network's.
    """
    runtime = make(trt, trt.Runtime)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineUnavailable(f"{named(trt)} does not take this engine")
    found = {}
    for name in (engine.get_tensor_name(i) for i in range(engine.num_io_tensors)):
        found[name] = (
            engine.get_tensor_mode(name),
            engine.get_tensor_dtype(name),
            tuple(engine.get_tensor_shape(name)),
        )
    expected = {
        "image": (trt.TensorIOMode.INPUT, trt.uint8, (1, *size, 3)),
        "depth": (trt.TensorIOMode.OUTPUT, trt.float32, (1, *size)),
    }
    if found != expected:
        raise EngineUnavailable(f"the engine takes and gives {found}, expected {expected}")
    cache = None
    if is_rtx(trt):
        config = engine.create_runtime_config()
        cache = config.create_runtime_cache()
        if kernels is not None and not cache.deserialize(kernels):
            log.info("The kept kernels are of another machine or version: they are compiled again.")
        config.set_runtime_cache(cache)
        context = engine.create_execution_context(config)
    else:
        context = engine.create_execution_context()
    if context is None:
        raise EngineUnavailable("no memory on the GPU for this engine")
    return engine, context, cache
